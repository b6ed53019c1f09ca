"""The spectra of a convolution's filters, and what is computed from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from freqfast.records import as_html
from freqfast.spectra.checks import (
    Scalar,
    check_array,
    check_log_gain,
    check_provenance,
    check_target,
    check_text,
    set_fields,
)
from freqfast.spectral.bands import Bands
from freqfast.spectral.spectrum import frequencies

FLOOR_DB = -120.0
"""The least response in dB, relative to the layer's peak: below it, float32 weights hold only rounding errors."""

IMAGE_CHANNELS = 4
"""Up to this many input channels are those of an image (grey, RGB, RGBA), for which each channel's phase is kept."""


class _Filters:
    """What is computed from filters and their band shares, by record (E) in a history."""

    weight: np.ndarray
    shares: np.ndarray

    @cached_property
    def band_index(self) -> np.ndarray:
        """Band index of each filter, ``(O,)`` or ``(E, O)`` int64: of its largest share, ties to the lower band."""
        return self.shares.argmax(-1)

    @cached_property
    def energy(self) -> np.ndarray:
        """Squared L2 norm of each filter, ``(O,)`` or ``(E, O)`` float64."""
        return np.square(self.weight, dtype=np.float64).sum((-3, -2, -1))

    @cached_property
    def proportion(self) -> np.ndarray:
        """Share of the filters that belong to each band, ``(B,)`` or ``(E, B)`` float64, sums to 1."""
        bands = np.arange(self.shares.shape[-1])
        return (self.band_index[..., None] == bands).mean(-2)

    @cached_property
    def energy_proportion(self) -> np.ndarray:
        """Share of the layer's energy in each band, ``(B,)`` or ``(E, B)`` float64; zeros if it has none."""
        in_band = np.einsum("...o,...ob->...b", self.energy, self.shares.astype(np.float64))
        return in_band / np.maximum(in_band.sum(-1, keepdims=True), np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class SpectraHistory(_Filters):
    """Spectra by epoch: E records of the same layer, such as `freqfast.SpectrumRecorder` keeps.

    Args:
        epochs: ``(E,)`` int64, epochs trained at each record, increasing.
        power: ``(E, O, n, n)`` float32 power spectra.
        weight: ``(E, O, I, kH, kW)`` float32 effective filters.
        shares: ``(E, O, B)`` float32 band shares.
        log_gain: ``(E, O or 1, kH, kW)`` float32 log power gains, or None for a plain convolution.

    Raises:
        ValueError: If the shapes do not agree, a value is NaN or infinite, or the epochs do not increase.

    Examples:
        >>> power, weight = np.ones((2, 1, 4, 4)), np.ones((2, 1, 3, 2, 2))
        >>> SpectraHistory([0, 5], power, weight, shares=[[[0.9, 0.1]], [[0.4, 0.6]]]).proportion.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
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


@dataclass(frozen=True, eq=False)
class Spectra(_Filters):
    """The spectra of one convolution's filters. Frequencies are in cycles/pixel.

    Args:
        power: ``(O, n, n)`` float32, axes ``(filter, fy, fx)``; a filter's power sums to its squared L2 norm.
        frequencies: ``(n,)`` float64, increasing, the same for both axes; see `freqfast.frequencies`.
        weight: ``(O, I, kH, kW)`` float32, the filters that the layer applies in eval mode.
        shares: ``(O, B)`` float32, each filter's shares of energy by band, zeros for a filter without energy; always of
            the power spectrum on ``max(32, 2 * max(kH, kW))`` points per axis, whatever n.
        bands: The bands.
        layer: Name of the convolution in its model.
        target: Proportion of the filters by band that training enforced, or None; bands left out get 0.
        log_gain: ``(O or 1, kH, kW)`` float32 log power gains on the kernel's DFT grid in increasing frequency
            (already part of `weight`), or None for a plain convolution.
        history: The same by epoch, or None.
        provenance: Where the spectra come from: text and numbers by name, such as recipe and seed.

    Raises:
        ValueError: If shapes do not agree, a value is NaN or infinite, or a field breaks the rules above.

    Examples:
        >>> bands = Bands.equal_area(2)
        >>> Spectra(np.ones((1, 4, 4)), frequencies(4), np.ones((1, 3, 2, 2)), [[0.9, 0.1]], bands, layer="conv1")
        Spectra('conv1': 1 filters of 3x2x2, low 1, high 0)
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
            provenance=check_provenance(self.provenance),
        )

    def __repr__(self) -> str:
        filters, *kernel = self.weight.shape
        bands = ", ".join(f"{name} {share:.3g}" for name, share in zip(self.bands.names, self.proportion, strict=True))
        records = "" if self.history is None else f", {len(self.history.epochs)} records"
        return f"Spectra({self.layer!r}: {filters} filters of {'x'.join(map(str, kernel))}, {bands}{records})"

    def _repr_html_(self) -> str:
        shares: dict[str, ArrayLike] = {"filters (%)": self.proportion, "energy (%)": self.energy_proportion}
        if self.target is not None:
            shares["target (%)"] = list(self.target.values())
        rows = zip(self.bands.names, *(100 * np.asarray(values) for values in shares.values()), strict=True)
        table = [("band", *shares), *((name, *(f"{value:.1f}" for value in values)) for name, *values in rows)]
        return as_html(repr(self), table)

    @property
    def response_db(self) -> np.ndarray:
        """Frequency response ``10 log10 sum_i |F_i|^2`` of each filter in dB, ``(O, n, n)`` float32.

        It is the filter's power gain for white noise in all input channels: 0 dB is unit gain, and the least is 120 dB
        below the layer's peak.
        """
        gain = self.power * np.float64(len(self.frequencies) ** 2)
        peak = gain.max() or 1.0
        return (10 * np.log10(np.maximum(gain, peak * 10 ** (FLOOR_DB / 10)))).astype(np.float32)

    @property
    def phase(self) -> np.ndarray | None:
        """Phase of each kernel's DFT about the kernel's centre, ``(O, I, n, n)`` float32, from -pi to pi radians.

        A convolution of PyTorch is a correlation, and so shifts an image's phases by the opposite. An even kernel has
        phase 0 or pi, an odd one pi/2 or -pi/2. Where the response is below 1e-6 of the kernel's peak the phase is 0.
        None for layers of more than four input channels, which are not those of an image.
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
        # A part that is zero by symmetry comes out as a rounding error, whose sign would decide between pi and -pi.
        real, imaginary = (np.where(abs(part) > 1e-12 * peak, part, 0) for part in (response.real, response.imag))
        return np.where(size > 1e-6 * peak, np.arctan2(imaginary, real), 0).astype(np.float32)
