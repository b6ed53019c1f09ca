"""The spectra of a convolution's filters, and what is computed from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from freqfast.records import as_html
from freqfast.spectral.bands import Bands, band_counts
from freqfast.spectral.spectrum import frequencies

Scalar = str | int | float

FLOOR_DB = -120.0
"""The least response in dB, relative to the layer's peak: below it, float32 weights hold only rounding errors."""

IMAGE_CHANNELS = 4
"""Up to this many input channels are those of an image (grey, RGB, RGBA), for which each channel's phase is kept."""


def _check_array(name: str, value: ArrayLike, sizes: Mapping[str, int | None], dtype: type = np.float32) -> np.ndarray:
    """A finite, non-empty C-ordered array of this dtype whose named dimensions have these sizes (None: any)."""
    array = np.asarray(value)
    shape = zip(sizes.values(), array.shape, strict=False)
    fits = array.ndim == len(sizes) and all(size in (None, got) for size, got in shape)
    if not (fits and array.size and np.can_cast(array.dtype, dtype, "same_kind")):
        kind = "integers" if dtype is np.int64 else "real numbers"
        wanted = ", ".join(dim if size is None else f"{dim}={size}" for dim, size in sizes.items())
        raise ValueError(f"{name} must be {kind} of shape ({wanted}), none 0, got {array.dtype}{list(array.shape)}")
    array = np.ascontiguousarray(array, dtype)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite values")
    return array


class _Filters:
    """Filters, their spectra and their band shares, by record (E) in a history, and what is computed from them."""

    power: np.ndarray
    weight: np.ndarray
    shares: np.ndarray
    log_gain: np.ndarray | None

    def _check(self, prefix: str, bands: int | None, **records: int) -> None:
        """Make the arrays ones of float32, and check that they describe the same filters."""

        def check(name: str, **sizes: int | None) -> np.ndarray:
            return _check_array(prefix + name, getattr(self, name), records | sizes)

        n = np.atleast_1d(self.power).shape[-1]
        power = check("power", filter=None, fy=n, fx=n)
        filters = power.shape[-3]
        weight = check("weight", filter=filters, channel=None, ky=None, kx=None)
        shares = check("shares", filter=filters, band=bands)
        log_gain = self.log_gain
        if log_gain is not None:
            rows = 1 if np.shape(log_gain)[-3:-2] == (1,) else filters  # 1: the filters share their gains
            log_gain = check("log_gain", filter=rows, ky=weight.shape[-2], kx=weight.shape[-1])
        vars(self).update(power=power, weight=weight, shares=shares, log_gain=log_gain)

    @property
    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of power, weight and shares, at each record."""
        return self.power.shape[-3:], self.weight.shape[-4:], self.shares.shape[-2:]

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
        epochs = _check_array("history.epochs", self.epochs, {"epoch": None}, np.int64)
        if epochs[0] < 0 or (np.diff(epochs) <= 0).any():
            raise ValueError(f"history.epochs must increase from 0 or more, got {epochs.tolist()}")
        vars(self).update(epochs=epochs)
        self._check("history.", None, epoch=len(epochs))

    def __repr__(self) -> str:
        first, last = self.epochs[0], self.epochs[-1]
        return f"SpectraHistory({len(self.epochs)} records of epochs {first} to {last}, {len(self.power[0])} filters)"


@dataclass(frozen=True, eq=False)
class Spectra(_Filters):
    """The spectra of one convolution's filters. Frequencies are in cycles/pixel.

    Args:
        power: ``(O, n, n)`` float32, axes ``(filter, fy, fx)``; a filter's power sums to its squared L2 norm.
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
        >>> Spectra(np.ones((1, 4, 4)), np.ones((1, 3, 2, 2)), [[0.9, 0.1]], bands, layer="conv1")
        Spectra('conv1': 1 filters of 3x2x2, low 1, high 0)
    """

    power: np.ndarray
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
        self._check("", len(self.bands))
        if not np.allclose(self.shares.sum(1), self.shares.any(1), atol=1e-4):
            raise ValueError("shares must sum to 1 for each filter (0 for one without energy)")
        if self.history is not None and self.history._shapes != self._shapes:
            raise ValueError(
                f"the history's power, weight and shares must have shapes {self._shapes} at each epoch, "
                f"got {self.history._shapes}"
            )
        target = self.target
        if target is not None:
            band_counts(target, self.bands, len(self.power))  # checks it
            target = {name: float(target.get(name, 0)) for name in self.bands.names}
        provenance = {k: v.item() if isinstance(v, np.generic) else v for k, v in self.provenance.items()}
        for name, value in provenance.items():
            if type(value) not in (str, int, float):
                raise ValueError(f"provenance {name!r} must be text or a number, got {value!r}; convert it with str()")
        vars(self).update(target=target, provenance=provenance)

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
    def frequencies(self) -> np.ndarray:
        """Frequencies of both axes of the power, ``(n,)`` float64, increasing; see `freqfast.frequencies`."""
        return frequencies(self.power.shape[-1]).numpy()

    @property
    def response_db(self) -> np.ndarray:
        """Frequency response ``10 log10 sum_i |F_i|^2`` of each filter in dB, ``(O, n, n)`` float32.

        It is the filter's power gain for white noise in all input channels: 0 dB is unit gain, and the least is 120 dB
        below the layer's peak.
        """
        gain = self.power * np.float64(self.power.shape[-1] ** 2)
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
