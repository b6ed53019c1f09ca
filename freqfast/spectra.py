"""A layer's spectra as plain NumPy arrays: what the exports, figures and reports read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from freqfast.bands import Bands, band_counts, band_shares
from freqfast.modulation import SpectralConv2d, effective_weight
from freqfast.spectrum import GRID, frequencies, power_spectrum
from freqfast.surgery import find_conv

__all__ = ["Spectra", "SpectraHistory", "measure_spectra"]

Scalar = str | int | float


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
        epochs = _array("history.epochs", self.epochs, {"epoch": None}, np.int64)
        if epochs[0] < 0 or (np.diff(epochs) <= 0).any():
            raise ValueError(f"history.epochs must increase from 0 or more, got {epochs.tolist()}")
        sizes = {"epoch": len(epochs)}
        power = _array("history.power", self.power, sizes | {"filter": None, "fy": None, "fx": None})
        sizes["filter"] = power.shape[1]
        weight = _array("history.weight", self.weight, sizes | {"channel": None, "ky": None, "kx": None})
        shares = _array("history.shares", self.shares, sizes | {"band": None})
        log_gain = _log_gain("history.log_gain", self.log_gain, sizes, weight.shape)
        _set(self, epochs=epochs, power=power, weight=weight, shares=shares, log_gain=log_gain)


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
        grid = _array("frequencies", self.frequencies, {"frequency": None}, np.float64)
        n, count = len(grid), len(self.bands)
        if not np.allclose(grid, frequencies(n).numpy(), rtol=0, atol=1e-6):
            raise ValueError(
                f"frequencies must be those of a {n}-point DFT in increasing order, {-(n // 2) / n:g} to "
                f"{(n - 1) // 2 / n:g} cycles/pixel, got {grid[0]:g} to {grid[-1]:g}"
            )
        power = _array("power", self.power, {"filter": None, "fy": n, "fx": n})
        if (power < 0).any():
            raise ValueError(f"power must not be negative, got {power.min():g}")
        filters = len(power)
        weight = _array("weight", self.weight, {"filter": filters, "channel": None, "ky": None, "kx": None})
        shares = _array("shares", self.shares, {"filter": filters, "band": count})
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
        _check_text("layer", self.layer)
        for name in self.bands.names:
            _check_text("band name", name)
        _set(
            self,
            power=power,
            frequencies=grid,
            weight=weight,
            shares=shares,
            target=_target(self.target, self.bands, filters),
            log_gain=_log_gain("log_gain", self.log_gain, {"filter": filters}, weight.shape),
            provenance={_key(k): _scalar(k, v) for k, v in self.provenance.items()},
        )

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


def measure_spectra(
    model: nn.Module,
    layer: str | None = None,
    bands: Bands | int | Mapping[str, Sequence] | None = None,
    n: int = GRID,
    target: Mapping[str, float] | None = None,
    history: SpectraHistory | None = None,
    provenance: Mapping[str, Scalar] | None = None,
) -> Spectra:
    """Spectra of the filters that a model's convolution applies, in float32.

    Args:
        model: Any model with a spatial convolution; it is not changed.
        layer: Name of the convolution; the first spatial one by default.
        bands: The bands; two of equal area by default. See `Bands.of` for the short forms.
        n: Points per axis of the spectra, at least the kernel's size.
        target: Proportion of the filters by band that training enforced.
        history: The same layer's spectra by epoch.
        provenance: Where the model comes from: text and numbers by name.

    Raises:
        ValueError: If the model has no such convolution, its weight is not finite, or an argument does not fit.
    """
    name, conv = find_conv(model, layer)
    bands = Bands.of(bands)
    weight = effective_weight(conv).float().cpu()
    log_gain = conv.log_gain_grid().float().cpu().numpy() if isinstance(conv, SpectralConv2d) else None
    with torch.no_grad():
        return Spectra(
            power=power_spectrum(weight, n).numpy(),
            frequencies=frequencies(n).numpy(),
            weight=weight.numpy(),
            shares=band_shares(weight, bands).numpy(),
            bands=bands,
            layer=name,
            target=target,
            log_gain=log_gain,
            history=history,
            provenance=provenance or {},
        )


def _set(instance: object, **fields: object) -> None:
    """Assign checked fields of a frozen dataclass, from its `__post_init__`."""
    for name, value in fields.items():
        object.__setattr__(instance, name, value)


def _array(name: str, value: ArrayLike, sizes: Mapping[str, int | None], dtype: type = np.float32) -> np.ndarray:
    """A finite, non-empty C-ordered array of this dtype whose named dimensions have these sizes (None: any)."""
    try:
        array = np.asarray(value)
    except ValueError:  # ragged
        raise ValueError(f"{name} must be one array, got records of different shapes") from None
    wanted = ", ".join(dim if size is None else f"{dim}={size}" for dim, size in sizes.items())
    fits = array.ndim == len(sizes) and all(
        s in (None, got) for s, got in zip(sizes.values(), array.shape, strict=True)
    )
    if not fits or not array.size:
        raise ValueError(f"{name} must have shape ({wanted}), none of them 0, got {array.shape}")
    if array.dtype.kind not in ("iu" if dtype is np.int64 else "iuf"):
        raise ValueError(f"{name} must hold {'integers' if dtype is np.int64 else 'real numbers'}, got {array.dtype}")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which the next line names
        array = np.ascontiguousarray(array, dtype)
    if not np.isfinite(array).all():
        bad = (~np.isfinite(array)).reshape(len(array), -1).any(1).sum()
        raise ValueError(
            f"{name} holds NaN or infinite values in {bad} of {len(array)} entries along {next(iter(sizes))}"
        )
    return array


def _log_gain(name: str, value: Any, sizes: Mapping[str, int], weight_shape: tuple[int, ...]) -> np.ndarray | None:
    """Log power gains with one row for each filter or one for all."""
    if value is None:
        return None
    shared = np.ndim(value) == len(sizes) + 2 and np.shape(value)[-3] == 1
    rows = {"filter": 1} if shared else {}
    return _array(name, value, {**sizes, **rows, "ky": weight_shape[-2], "kx": weight_shape[-1]})


def _target(target: Mapping[str, float] | None, bands: Bands, filters: int) -> dict[str, float] | None:
    """The target with a proportion for every band, in their order; checked as an enforced one is."""
    if target is None:
        return None
    band_counts(target, bands, filters)
    return {name: float(target.get(name, 0)) for name in bands.names}


def _key(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise ValueError(f"provenance names must be non-empty text, got {key!r}")
    return _check_text("provenance name", key)


def _scalar(key: str, value: object) -> Scalar:
    """A provenance value as a plain str, int or float (NumPy's scalars are converted)."""
    if isinstance(value, str):
        return _check_text(f"provenance {key!r}", value)
    if isinstance(value, Integral) and not isinstance(value, bool) and -(2**63) <= int(value) < 2**63:
        return int(value)
    if isinstance(value, Real) and not isinstance(value, (bool, Integral)):
        return float(value)
    raise ValueError(
        f"provenance {key!r} must be text, a 64-bit integer or a float, got {value!r}; convert it with str()"
    )


def _check_text(what: str, text: str) -> str:
    """Refuse text that a file cannot hold: HDF5 ends a string at its first NUL, and UTF-8 has no surrogates."""
    if not isinstance(text, str) or any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text):
        raise ValueError(f"{what} must be text without NUL characters or surrogates, got {text!r}")
    return str(text)
