"""What a convolution's spectra are, and what follows from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from freqfast.spectra.checks import (
    Scalar,
    check_array,
    check_key,
    check_log_gain,
    check_scalar,
    check_target,
    check_text,
    set_fields,
)
from freqfast.spectral.bands import Bands
from freqfast.spectral.spectrum import frequencies

__all__ = ["Spectra", "SpectraHistory"]

FLOOR_DB = -120.0
"""Where a response in dB ends, below the layer's peak: float32 weights hold nothing but rounding there."""

IMAGE_CHANNELS = 4
"""Up to this many input channels are an image's (grey, RGB, RGBA), so that one channel's phase means something."""


@dataclass(frozen=True, eq=False)
class SpectraHistory:
    """Spectra by epoch: E records of the same layer, such as `freqfast.SpectrumRecorder` keeps.

    Args:
        epochs: ``(E,)`` int64, epochs trained at each record, increasing.
        power: ``(E, O, n, n)`` float32 power spectra.
        weight: ``(E, O, I, kH, kW)`` float32 effective filters.
        shares: ``(E, O, B)`` float32 band shares.
        log_gain: ``(E, O or 1, kH, kW)`` float32 log power gains, or None for a plain convolution.

    Raises:
        ValueError: If the shapes do not agree, a value is NaN or infinite, or the epochs do not increase.
    """

    epochs: np.ndarray
    power: np.ndarray
    weight: np.ndarray
    shares: np.ndarray
    log_gain: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Make the fields arrays of their dtypes and check that they describe the same records."""
        epochs = check_array("history.epochs", self.epochs, {"epoch": None}, np.int64)
        if epochs[0] < 0 or (np.diff(epochs) <= 0).any():
            raise ValueError(f"history.epochs must increase from 0 or more, got {epochs.tolist()}")
        sizes = {"epoch": len(epochs)}
        power = check_array("history.power", self.power, sizes | {"filter": None, "fy": None, "fx": None})
        sizes["filter"] = power.shape[1]
        weight = check_array("history.weight", self.weight, sizes | {"channel": None, "ky": None, "kx": None})
        shares = check_array("history.shares", self.shares, sizes | {"band": None})
        log_gain = check_log_gain("history.log_gain", self.log_gain, sizes, weight.shape)
        set_fields(self, epochs=epochs, power=power, weight=weight, shares=shares, log_gain=log_gain)

    def __repr__(self) -> str:
        first, last = self.epochs[0], self.epochs[-1]
        return f"SpectraHistory({len(self.epochs)} records of epochs {first} to {last}, {len(self.power[0])} filters)"

    @property
    def classes(self) -> NDArray[np.int64]:
        """Index of each filter's band at each record, ``(E, O)``."""
        classes: NDArray[np.int64] = self.shares.argmax(2)
        return classes

    @property
    def proportion(self) -> NDArray[np.float64]:
        """Share of the filters that belong to each band at each record, ``(E, B)``."""
        bands = np.arange(self.shares.shape[2])
        proportion: NDArray[np.float64] = (self.classes[:, :, None] == bands).mean(1)
        return proportion

    @property
    def energy_proportion(self) -> NDArray[np.float64]:
        """Share of the layer's whole energy in each band at each record, ``(E, B)``."""
        energy = np.square(self.weight, dtype=np.float64).sum((2, 3, 4))
        in_band = np.einsum("eo,eob->eb", energy, self.shares.astype(np.float64))
        proportion: NDArray[np.float64] = in_band / np.maximum(in_band.sum(1, keepdims=True), np.finfo(float).tiny)
        return proportion


@dataclass(frozen=True, eq=False)
class Spectra:
    """The spectra of one convolution's filters. Frequencies are in cycles/pixel.

    Args:
        power: ``(O, n, n)`` float32, axes ``(filter, fy, fx)``; a filter's power sums to its squared L2 norm.
        frequencies: ``(n,)`` float64, increasing, the same for both axes; see `freqfast.frequencies`.
        weight: ``(O, I, kH, kW)`` float32, the filters that the layer applies in eval mode.
        shares: ``(O, B)`` float32, each filter's energy by band; zeros for a filter without energy.
        bands: The bands.
        layer: Name of the convolution in its model.
        target: Proportion of the filters by band that training enforced, or None; bands left out get 0.
        log_gain: ``(O or 1, kH, kW)`` float32 log power gains on the kernel's DFT grid in increasing frequency
            (already part of `weight`), or None for a plain convolution.
        history: The same by epoch, or None.
        provenance: Where the spectra come from: text and numbers by name, such as recipe and seed.

    Raises:
        ValueError: If shapes do not agree, a value is NaN or infinite, or a field breaks the rules above.
    """

    power: np.ndarray
    frequencies: np.ndarray
    weight: np.ndarray
    shares: np.ndarray
    bands: Bands
    layer: str
    target: Mapping[str, float] | None = None
    log_gain: np.ndarray | None = None
    history: SpectraHistory | None = None
    provenance: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the fields arrays of their dtypes and check that they describe the same filters."""
        grid = check_array("frequencies", self.frequencies, {"frequency": None}, np.float64)
        n, count = len(grid), len(self.bands)
        if not np.allclose(grid, frequencies(n).numpy(), rtol=0, atol=1e-6):
            raise ValueError(
                f"frequencies must be those of a {n}-point DFT in increasing order, {-(n // 2) / n:g} to "
                f"{(n - 1) // 2 / n:g} cycles/pixel, got {grid[0]:g} to {grid[-1]:g}"
            )
        power = check_array("power", self.power, {"filter": None, "fy": n, "fx": n})
        if (power < 0).any():
            raise ValueError(f"power must not be negative, got {power.min():g}")
        filters = len(power)
        weight = check_array("weight", self.weight, {"filter": filters, "channel": None, "ky": None, "kx": None})
        shares = check_array("shares", self.shares, {"filter": filters, "band": count})
        total = shares.sum(1)
        if (shares < 0).any() or not np.all((abs(total - 1) < 1e-4) | (total == 0)):
            raise ValueError("shares must not be negative and sum to 1 for each filter (0 for one without energy)")
        if self.history is not None:
            expected = (power.shape, weight.shape, shares.shape)
            recorded = tuple(a.shape[1:] for a in (self.history.power, self.history.weight, self.history.shares))
            if recorded != expected:
                raise ValueError(
                    f"the history's power, weight and shares must have shapes {expected} at each epoch, got {recorded}"
                )
        check_text("layer", self.layer)
        for name in self.bands.names:
            check_text("band name", name)
        set_fields(
            self,
            power=power,
            frequencies=grid,
            weight=weight,
            shares=shares,
            target=check_target(self.target, self.bands, filters),
            log_gain=check_log_gain("log_gain", self.log_gain, {"filter": filters}, weight.shape),
            provenance={check_key(k): check_scalar(k, v) for k, v in self.provenance.items()},
        )

    def __repr__(self) -> str:
        filters, *kernel = self.weight.shape
        bands = ", ".join(f"{name} {share:.3g}" for name, share in zip(self.bands.names, self.proportion, strict=True))
        records = "" if self.history is None else f", {len(self.history.epochs)} records"
        return f"Spectra({self.layer!r}: {filters} filters of {'x'.join(map(str, kernel))}, {bands}{records})"

    @property
    def classes(self) -> NDArray[np.int64]:
        """Index of each filter's band, ``(O,)``: its largest share, ties to the lower band."""
        classes: NDArray[np.int64] = self.shares.argmax(1)
        return classes

    @property
    def energy(self) -> NDArray[np.float64]:
        """Squared L2 norm of each filter, ``(O,)``."""
        squared: NDArray[np.float64] = np.square(self.weight, dtype=np.float64).sum((1, 2, 3))
        return squared

    @property
    def proportion(self) -> NDArray[np.float64]:
        """Share of the filters that belong to each band, ``(B,)``, sums to 1."""
        proportion: NDArray[np.float64] = np.bincount(self.classes, minlength=len(self.bands)) / len(self.shares)
        return proportion

    @property
    def energy_proportion(self) -> NDArray[np.float64]:
        """Share of the layer's whole energy in each band, ``(B,)``; zeros for a layer without energy."""
        in_band = self.energy @ self.shares.astype(np.float64)
        proportion: NDArray[np.float64] = in_band / max(in_band.sum(), np.finfo(np.float64).tiny)
        return proportion

    @property
    def response_db(self) -> NDArray[np.float32]:
        """Frequency response ``10 log10 sum_i |F_i|^2`` of each filter in dB, ``(O, n, n)``.

        It is the filter's power gain for white noise in all input channels: 0 dB is unit gain. It ends 120 dB below
        the layer's peak.
        """
        gain = self.power * np.float64(len(self.frequencies) ** 2)
        peak = gain.max() or 1.0
        return (10 * np.log10(np.maximum(gain, peak * 10 ** (FLOOR_DB / 10)))).astype(np.float32)

    @property
    def phase(self) -> NDArray[np.float32] | None:
        """Phase of each kernel's DFT about the kernel's centre, ``(O, I, n, n)``, from -pi to pi radians.

        An even kernel has phase 0 or pi, an odd one pi/2 or -pi/2. Where the response is below 1e-6 of the kernel's
        peak the phase is 0. None for layers of more than four input channels, whose filters are not seen channel by
        channel.
        """
        if self.weight.shape[1] > IMAGE_CHANNELS:
            return None
        waves = [
            np.exp(-2j * np.pi * np.outer(self.frequencies, np.arange(size) - (size - 1) / 2))
            for size in self.weight.shape[2:]
        ]
        response = np.einsum("fy,oiyx,gx->oifg", waves[0], self.weight, waves[1], optimize=True)
        size = abs(response)
        peak = size.max((2, 3), keepdims=True)
        # A part that symmetry makes zero comes out as rounding of either sign, which would tell pi from -pi.
        real, imaginary = (np.where(abs(part) > 1e-12 * peak, part, 0) for part in (response.real, response.imag))
        return np.where(size > 1e-6 * peak, np.arctan2(imaginary, real), 0).astype(np.float32)
