"""HDF5 to spectra. Files are untrusted: nothing is read before its place and its size are known to be sane."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from freqfast.spectra import Spectra, SpectraHistory
from freqfast.spectra.h5.schema import DIMS, MAX_BYTES, SCHEMA
from freqfast.spectral.bands import Bands

__all__ = ["child", "dataset_of", "has", "layer_names", "open_export", "read_export", "read_layers", "read_spectra"]


def read_spectra(path: str | os.PathLike[str], layer: str | None = None) -> Spectra:
    """Read what `write_spectra` wrote: the same values, bit for bit.

    Args:
        path: The file.
        layer: Name of the layer, of several in the file; the first by default.

    Raises:
        FileNotFoundError: If there is no such file.
        BlockingIOError: If another program has it open for writing.
        ValueError: If it is not an export of freqfast, of a newer schema, damaged, holds values that are no spectra, or
            has no such layer.
    """
    with open_export(path) as file:
        names = layer_names(file)
        if layer not in (None, *names):
            raise ValueError(f"it has no layer {layer!r}; its layers are {', '.join(names)}")
        return read_export(file, names[0] if layer is None else layer)


def read_layers(path: str | os.PathLike[str]) -> list[Spectra]:
    """Read all layers of a file, in the order in which they were written.

    Raises:
        FileNotFoundError, BlockingIOError, ValueError: As for `read_spectra`.
    """
    with open_export(path) as file:
        names = layer_names(file)
        return [read_export(file, name) for name in names]


@contextmanager
def open_export(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """An export, open for reading; whatever is wrong with it becomes one error that names the file."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; write it with freqfast.write_spectra")
    try:
        if not path.is_file():
            raise ValueError("it is not a regular file; pass the path of an HDF5 file")
        with h5py.File(path, "r") as file:
            if "freqfast_schema" not in file.attrs:
                raise ValueError("it is no export of freqfast, for it has no attribute freqfast_schema")
            if not isinstance(schema := _attribute(file, "freqfast_schema"), int) or schema < 1:
                raise ValueError(f"its freqfast_schema must be a positive integer, got {schema!r}")
            if schema > SCHEMA:
                raise ValueError(
                    f"schema {schema} is newer than {SCHEMA}, the last that is known here; upgrade freqfast"
                )
            yield file
    except PermissionError:
        raise PermissionError(f"cannot read {path}: permission denied; change its mode or copy it") from None
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        if isinstance(error, BlockingIOError) or "already open for" in str(error):
            raise BlockingIOError(
                f"{path} is open in a program that writes it, or was when that was killed; close it there, or run "
                f"h5clear -s {path}"
            ) from None
        reason = str(error.args[0] if isinstance(error, KeyError) else error).partition("\n")[0]
        if isinstance(error, (OSError, KeyError, RuntimeError)):  # HDF5's own
            reason = f"it is truncated or damaged ({reason})" if h5py.is_hdf5(path) else "it is not an HDF5 file"
        way_out = "" if "; " in reason else "; write it again with freqfast.write_spectra"
        raise ValueError(f"{path}: {reason}{way_out}") from error


def layer_names(file: h5py.File) -> list[str]:
    """Names of the layers of an open export, the first one first, once all are known to be of a sane size."""
    names = _layer_names(file)
    _check_total(file, names)
    return names


def _layer_names(file: h5py.File) -> list[str]:
    entry = child(file, "entry", h5py.Group)
    first: str = _attribute(child(entry, "spectra", h5py.Group), "layer")
    if not has(entry, "layers"):
        return [first]
    names = list(child(entry, "layers", h5py.Group))
    if first not in names:
        raise ValueError(f"/entry/layers lacks {first!r}, the layer of /entry/spectra")
    return [first, *(name for name in names if name != first)]


def _check_total(file: h5py.File, layers: list[str]) -> None:
    """Refuse layers that share datasets, or are packed so densely, that memory would hold many times the file."""
    stored = file.id.get_filesize()
    entry = child(file, "entry", h5py.Group)
    first = child(entry, "spectra", h5py.Group)
    groups = [first, *(child(child(entry, "layers", h5py.Group), name, h5py.Group) for name in layers[1:])]
    if has(entry, "training"):
        groups.append(child(entry, "training", h5py.Group))
    declared = sum(dataset_of(group, name).nbytes for group in groups for name in (*DIMS, "epoch") if has(group, name))
    if declared > max(MAX_BYTES // 4, 100 * stored):
        raise ValueError(f"its layers declare {declared:,} bytes for the {stored:,} that the file has")


def read_export(file: h5py.File, layer: str) -> Spectra:
    """The spectra of one layer of an open export."""
    entry = child(file, "entry", h5py.Group)
    group = child(entry, "spectra", h5py.Group)
    is_first = _attribute(group, "layer") == layer
    if not is_first:
        group = child(child(entry, "layers", h5py.Group), layer, h5py.Group)
        if (name := _attribute(group, "layer")) != layer:  # two names for one group would multiply what is read
            raise ValueError(f"{group.name} holds another layer, {name!r}")
    collection = child(entry, "provenance", h5py.Group)
    fy = _array(group, "fy")
    if not np.array_equal(fy, _array(group, "fx")):
        raise ValueError(f"fy and fx of {group.name} must be equal")
    bands = _bands(group)
    target = _array(group, "target", ndim=1).tolist() if has(group, "target") else None
    if target is not None and len(target) != len(bands):
        raise ValueError(f"the target must have {len(bands)} values, one for each band, got {len(target)}")
    return Spectra(
        power=_array(group, "power"),
        frequencies=fy,
        weight=_array(group, "weight"),
        shares=_array(group, "shares"),
        bands=bands,
        layer=layer,
        target=None if target is None else dict(zip(bands.names, target, strict=True)),
        log_gain=_log_gain(group, ndim=3),
        history=_history(entry) if is_first and has(entry, "training") else None,
        provenance={name: _attribute(collection, name) for name in collection.attrs if name != "NX_class"},
    )


def _history(entry: h5py.Group) -> SpectraHistory:
    training = child(entry, "training", h5py.Group)
    arrays = {name: _array(training, name) for name in ("power", "weight", "shares")}
    return SpectraHistory(_array(training, "epoch"), **arrays, log_gain=_log_gain(training, ndim=4))


def _bands(group: h5py.Group) -> Bands:
    names = dataset_of(group, "band")
    if h5py.check_string_dtype(names.dtype) is None or names.ndim != 1 or names.size > 1024:
        raise ValueError(f"{names.name} must hold up to 1024 names, got {names.dtype}{list(names.shape)}")
    lower, upper = _array(group, "band_lower", ndim=1), _array(group, "band_upper", ndim=1)
    if not np.array_equal(lower[1:], upper[:-1]):
        raise ValueError(f"the bands must adjoin, got lower edges {lower.tolist()} and upper edges {upper.tolist()}")
    return Bands((*lower.tolist(), *upper[-1:].tolist()), tuple(names.asstr()[()].tolist()))


def has(group: h5py.Group, name: str) -> bool:
    """Whether a group has a member or link of this name, sound or not."""
    return group.get(name, getlink=True) is not None


def child(group: h5py.Group, name: str, kind: type) -> Any:
    """A group or dataset that lies in the file itself, without following any link."""
    where = f"{group.name.rstrip('/')}/{name}"
    link = group.get(name, getlink=True)
    if link is None:
        raise ValueError(f"{where} is missing")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{where} is a link to somewhere else, which is not followed")
    child = group[name]
    if not isinstance(child, kind):
        raise ValueError(f"{where} is not a {kind.__name__.lower()}")
    return child


def dataset_of(group: h5py.Group, name: str) -> h5py.Dataset:
    """A dataset whose declared size is in proportion to what the file stores."""
    dataset = child(group, name, h5py.Dataset)
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{dataset.name} is stored in another file, which is not read")
    if dataset.shape is None:
        raise ValueError(f"{dataset.name} is empty")
    size = dataset.dtype.itemsize * max(dataset.size, int(np.prod(dataset.chunks or 0, dtype=float)))
    # DEFLATE shrinks by at most a factor of 1032: what claims more was never written.
    if size > MAX_BYTES or dataset.nbytes > 1100 * dataset.id.get_storage_size():
        raise ValueError(f"{dataset.name} declares an absurd shape {dataset.shape} for what the file stores")
    return dataset


def _array(group: h5py.Group, name: str, ndim: int | None = None) -> np.ndarray:
    dataset = dataset_of(group, name)
    if dataset.dtype.kind not in "iuf" or ndim not in (None, dataset.ndim):
        raise ValueError(
            f"{dataset.name} must hold numbers in {ndim or 'some'} dimensions, got {dataset.dtype}{list(dataset.shape)}"
        )
    array: np.ndarray = dataset[()]
    return array


def _log_gain(group: h5py.Group, ndim: int) -> np.ndarray | None:
    """Log gains with their filter axis, of length 1 where the filters share them."""
    if not has(group, "log_gain"):
        return None
    log_gain = _array(group, "log_gain")
    return np.expand_dims(log_gain, ndim - 3) if log_gain.ndim == ndim - 1 else log_gain


def _attribute(item: h5py.HLObject, name: str) -> Any:
    """A scalar attribute as a Python value."""
    if name not in item.attrs:
        raise ValueError(f"{item.name} has no attribute {name!r}")
    if item.attrs.get_id(name).shape != ():
        raise ValueError(f"attribute {name!r} of {item.name} must be a scalar")
    value = item.attrs[name]
    return value.item() if isinstance(value, np.generic) else value
