"""HDF5 to spectra. Files are untrusted: hard links alone are followed, to datasets of a size that was stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from freqfast.files import require_file
from freqfast.spectra import Spectra, SpectraHistory
from freqfast.spectra.h5.schema import MAX_BYTES, SCHEMA
from freqfast.spectral.bands import Bands


def read_spectra(path: str | Path, layer: str | None = None) -> Spectra:
    """Read what `write_spectra` wrote: the same values, bit for bit.

    Args:
        path: The file.
        layer: Name of one of the file's layers; the first by default.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an export of freqfast, has another schema, is damaged, holds values that are not
            spectra, or has no such layer.

    Examples:
        >>> import tempfile, torch, freqfast
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     freqfast.write_spectra(f"{folder}/filters.h5", torch.nn.Conv2d(3, 8, 5))
        ...     read_spectra(f"{folder}/filters.h5").power.shape
        (8, 32, 32)
    """
    with _open(path) as entry:
        groups = _layers(entry)
        name = next(iter(groups)) if layer is None else layer
        if name not in groups:
            raise ValueError(f"it has no layer {layer!r}; its layers are {', '.join(groups)}")
        return _read_layer(entry, groups[name])


def read_layers(path: str | Path) -> list[Spectra]:
    """Read all layers of a file, in the order in which they were written.

    Args:
        path: The file.

    Raises:
        FileNotFoundError, ValueError: As for `read_spectra`.

    Examples:
        >>> import tempfile, torch, freqfast
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     freqfast.write_spectra(f"{folder}/filters.h5", torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)))
        ...     [spectra.layer for spectra in read_layers(f"{folder}/filters.h5")]
        ['0']
    """
    with _open(path) as entry:
        return [_read_layer(entry, group) for group in _layers(entry).values()]


@contextmanager
def _open(path: str | Path) -> Iterator[h5py.Group]:
    """The entry of an export; anything wrong with the file becomes one error that names it.

    It goes through a file of Python's, which HDF5 does not lock: network systems may not grant locks, and other
    programs, or this one through xarray, may have the file open.
    """
    require_file(path)
    with open(path, "rb") as content:
        try:
            with h5py.File(content, "r") as file:
                schema = file.attrs.get("freqfast_schema")
                if schema is None:
                    raise ValueError("it is not an export of freqfast: it has no attribute freqfast_schema")
                if schema != SCHEMA:
                    raise ValueError(f"it has schema {schema}, not {SCHEMA}; use the version of freqfast that wrote it")
                yield _member(file, "entry", h5py.Group)
        except (OSError, ValueError, LookupError, RuntimeError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            if isinstance(error, (OSError, LookupError, RuntimeError)):  # HDF5's own
                reason = f"it is not an HDF5 file of filter spectra, or it is truncated or damaged ({reason})"
            way_out = "" if "; " in reason else "; write it again with freqfast.write_spectra"
            raise ValueError(f"{path}: {reason}{way_out}") from error


def _layers(entry: h5py.Group) -> dict[str, h5py.Group]:
    """The layers' groups by name, the first layer first."""
    groups = [_member(entry, "spectra", h5py.Group)]
    if "layers" in entry:
        collection = _member(entry, "layers", h5py.Group)
        groups += [_member(collection, name, h5py.Group) for name in collection]
    return {group.attrs["layer"]: group for group in groups}


def _read_layer(entry: h5py.Group, group: h5py.Group) -> Spectra:
    names = tuple(_dataset(group, "band").asstr()[()])
    upper = _dataset(group, "band_upper")[()]
    history = None
    if "training" in entry and group == entry["spectra"]:
        training = _member(entry, "training", h5py.Group)
        history = SpectraHistory(_dataset(training, "epoch")[()], **_filters(training))
    provenance = _member(entry, "provenance", h5py.Group).attrs
    return Spectra(
        **_filters(group),
        bands=Bands((*_dataset(group, "band_lower")[()], upper[-1]), names),
        layer=group.attrs["layer"],
        target=dict(zip(names, _dataset(group, "target")[()], strict=True)) if "target" in group else None,
        history=history,
        provenance={key: value for key, value in provenance.items() if key != "NX_class"},
    )


def _filters(group: h5py.Group) -> dict[str, np.ndarray]:
    """The arrays of a layer, or of its records. Log gains that the filters share get a filter axis of length 1."""
    arrays = {name: _dataset(group, name)[()] for name in ("power", "weight", "shares")}
    if "log_gain" in group:
        log_gain = _dataset(group, "log_gain")[()]
        is_shared = np.ndim(log_gain) < np.ndim(arrays["power"])
        arrays["log_gain"] = np.expand_dims(log_gain, -3) if is_shared else log_gain
    return arrays


def _member(group: h5py.Group, name: str, kind: type) -> Any:
    """A group or dataset that lies in the file itself, without following any link."""
    is_hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
    if not is_hard or not isinstance(group[name], kind):
        where = f"{group.name.rstrip('/')}/{name}"
        raise ValueError(f"{where} is missing, a link to somewhere else, or no {kind.__name__.lower()}")
    return group[name]


def _dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """A dataset that the file itself stores, with a declared size in proportion to what is stored."""
    dataset = _member(group, name, h5py.Dataset)
    if dataset.is_virtual or dataset.external or dataset.shape is None:
        raise ValueError(f"{dataset.name} is empty, or stored in another file, which is not read")
    # DEFLATE shrinks by at most a factor of 1032: a dataset that claims more was never written.
    if dataset.nbytes > min(MAX_BYTES, 1100 * dataset.id.get_storage_size()):
        raise ValueError(f"{dataset.name} declares an absurd shape {dataset.shape} for what the file stores")
    return dataset
