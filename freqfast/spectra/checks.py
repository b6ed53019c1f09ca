"""Checks of the fields of spectra: arrays that agree in shape, and text and numbers that a file can hold."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from freqfast.spectral.bands import Bands, band_counts

Scalar = str | int | float


def set_fields(instance: object, **fields: object) -> None:
    """Assign checked fields of a frozen dataclass, from its `__post_init__`."""
    for name, value in fields.items():
        object.__setattr__(instance, name, value)


def check_array(name: str, value: ArrayLike, sizes: Mapping[str, int | None], dtype: type = np.float32) -> np.ndarray:
    """A finite, non-empty C-ordered array of this dtype whose named dimensions have these sizes (None: any)."""
    try:
        array = np.asarray(value)
    except ValueError:  # ragged
        raise ValueError(f"{name} must be one array, got records of different shapes") from None
    fits = array.ndim == len(sizes) and array.size > 0
    if not fits or any(size not in (None, got) for size, got in zip(sizes.values(), array.shape, strict=True)):
        wanted = ", ".join(dim if size is None else f"{dim}={size}" for dim, size in sizes.items())
        raise ValueError(f"{name} must have shape ({wanted}), none of them 0, got {array.shape}")
    if array.dtype.kind not in ("iu" if dtype is np.int64 else "iuf"):
        raise ValueError(f"{name} must hold {'integers' if dtype is np.int64 else 'real numbers'}, got {array.dtype}")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which is refused below
        array = np.ascontiguousarray(array, dtype)
    if not np.isfinite(array).all():
        bad = (~np.isfinite(array)).reshape(len(array), -1).any(1).sum()
        raise ValueError(
            f"{name} holds NaN or infinite values in {bad} of {len(array)} entries along {next(iter(sizes))}"
        )
    return array


def check_log_gain(name: str, value: Any, sizes: Mapping[str, int], weight_shape: tuple[int, ...]) -> np.ndarray | None:
    """Log power gains with one row for each filter or one for all."""
    if value is None:
        return None
    shared = np.ndim(value) == len(sizes) + 2 and np.shape(value)[-3] == 1
    rows = {"filter": 1} if shared else {}
    return check_array(name, value, {**sizes, **rows, "ky": weight_shape[-2], "kx": weight_shape[-1]})


def check_target(target: Mapping[str, float] | None, bands: Bands, filters: int) -> dict[str, float] | None:
    """The target with a proportion for every band, in the bands' order; checked like an enforced one."""
    if target is None:
        return None
    band_counts(target, bands, filters)
    return {name: float(target.get(name, 0)) for name in bands.names}


def check_provenance(values: Mapping[str, object]) -> dict[str, Scalar]:
    """The provenance with plain str, int and float values (NumPy's scalars are converted)."""
    checked: dict[str, Scalar] = {}
    for key, value in values.items():
        if not check_text("a provenance name", key):
            raise ValueError("provenance names must be non-empty text, got ''")
        if isinstance(value, str):
            checked[key] = check_text(f"provenance {key!r}", value)
        elif isinstance(value, Integral) and not isinstance(value, bool) and -(2**63) <= int(value) < 2**63:
            checked[key] = int(value)
        elif isinstance(value, Real) and not isinstance(value, (bool, Integral)):
            checked[key] = float(value)
        else:
            raise ValueError(
                f"provenance {key!r} must be text, a 64-bit integer or a float, got {value!r}; convert it with str()"
            )
    return checked


def check_text(what: str, text: object) -> str:
    """Raise if a file cannot hold a text: HDF5 ends a string at its first NUL, and UTF-8 has no surrogates."""
    if not isinstance(text, str) or any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text):
        raise ValueError(f"{what} must be text without NUL characters or surrogates, got {text!r}")
    return str(text)
