"""HDF5 to spectra. Files are untrusted: nothing is read before its place and its size are checked."""

import math
import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from freqfast.files import require_file
from freqfast.spectra import Spectra, SpectraHistory
from freqfast.spectra.h5.schema import DIMS, MAX_BYTES, SCHEMA
from freqfast.spectral.bands import Bands

_SECONDS = 20.0  # in which reading must end, and one more for each MB


def read_spectra(path: str | os.PathLike[str], layer: str | None = None) -> Spectra:
    """Read what `write_spectra` wrote: the same values, bit for bit.

    Args:
        path: The file.
        layer: Name of one of the file's layers; the first by default.

    Raises:
        FileNotFoundError: If there is no such file.
        BlockingIOError: If another program has it open for writing.
        ValueError: If it is not an export of freqfast, has a newer schema, is damaged, holds values that are not
            spectra, or has no such layer.

    Examples:
        >>> import tempfile, torch, freqfast
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     freqfast.write_spectra(f"{folder}/filters.h5", torch.nn.Conv2d(3, 8, 5))
        ...     read_spectra(f"{folder}/filters.h5").power.shape
        (8, 32, 32)
    """
    with _open(path) as file:
        groups = _layer_groups(file)
        if layer not in (None, *groups):
            raise ValueError(f"it has no layer {layer!r}; its layers are {', '.join(groups)}")
        name = next(iter(groups)) if layer is None else layer
        return _read_layer(file, groups[name], name)


def read_layers(path: str | os.PathLike[str]) -> list[Spectra]:
    """Read all layers of a file, in the order in which they were written.

    Args:
        path: The file.

    Raises:
        FileNotFoundError, BlockingIOError, ValueError: As for `read_spectra`.

    Examples:
        >>> import tempfile, torch, freqfast
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     freqfast.write_spectra(f"{folder}/filters.h5", torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)))
        ...     [spectra.layer for spectra in read_layers(f"{folder}/filters.h5")]
        ['0']
    """
    with _open(path) as file:
        return [_read_layer(file, group, name) for name, group in _layer_groups(file).items()]


def check_readable(path: str | os.PathLike[str]) -> None:
    """Read a file in a forked process, to find out whether reading it here would hang or crash this one.

    libhdf5 does either on some damaged files. Other errors pass: reading the file here will raise them. Reading may
    take 20 s, and 1 s more for each MB. On systems without fork, and in a pool's worker, nothing is checked.

    Args:
        path: The file.

    Raises:
        ValueError: If reading did not come to an end.

    Examples:
        >>> check_readable("no such file")
    """
    can_fork = "fork" in multiprocessing.get_all_start_methods() and not multiprocessing.current_process().daemon
    if not (can_fork and os.path.isfile(path)):
        return
    seconds = math.ceil(_SECONDS + os.path.getsize(path) / 1e6)
    trial = multiprocessing.get_context("fork").Process(target=_try_reading, args=(path, seconds), daemon=True)
    with warnings.catch_warnings(action="ignore"):  # newer Pythons warn of threads, of which the child uses none
        trial.start()
    trial.join()
    if (trial.exitcode or 0) < 0:  # it ended by a signal
        hangs = trial.exitcode == -signal.SIGALRM
        fault = f"does not end within {seconds} s" if hangs else "crashes the HDF5 library"
        raise ValueError(
            f"{path}: reading it {fault}, so it is damaged or malicious; write it again with freqfast.write_spectra"
        )


def _try_reading(path: str | os.PathLike[str], seconds: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # for what the C library says of a crash
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)  # the system's handlers also end a process that hangs in C
    signal.alarm(seconds)
    with suppress(Exception):
        read_layers(path)


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """An export, open for reading; anything wrong with it becomes one error that names the file."""
    path = Path(path)
    require_file(path)
    try:
        with _unlocked(path) as file:
            if "freqfast_schema" not in file.attrs:
                raise ValueError("it is not an export of freqfast: it has no attribute freqfast_schema")
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
                f"{path} is open in a program that writes it, or was when that program was killed; close it there, or "
                f"run h5clear -s {path}"
            ) from None
        reason = str(error.args[0] if isinstance(error, KeyError) else error).partition("\n")[0]
        if isinstance(error, (OSError, KeyError, RuntimeError)):  # HDF5's own
            damaged = f"it is truncated or damaged ({reason})"
            reason = damaged if h5py.is_hdf5(path) else "it is not an HDF5 file; name one of filter spectra"
        way_out = "" if "; " in reason else "; write it again with freqfast.write_spectra"
        raise ValueError(f"{path}: {reason}{way_out}") from error


def _unlocked(path: Path) -> h5py.File:
    """A file without HDF5's lock, which network systems may not grant: freqfast replaces files, and changes none."""
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "flag values don't match" not in str(error):
            raise
        return h5py.File(path, "r")  # this process has it open with a lock, as xarray does


def _layer_groups(file: h5py.File) -> dict[str, h5py.Group]:
    """The layers' groups by name, the first layer first; a ValueError if they declare many times the file's size."""
    entry = _child(file, "entry", h5py.Group)
    first = _child(entry, "spectra", h5py.Group)
    groups = {_attribute(first, "layer"): first}
    if _has(entry, "layers"):
        collection = _child(entry, "layers", h5py.Group)
        names = list(collection)
        if not groups.keys() <= set(names):
            raise ValueError(f"/entry/layers lacks {next(iter(groups))!r}, the layer of /entry/spectra")
        groups |= {name: _child(collection, name, h5py.Group) for name in names if name not in groups}
    read = list(groups.values())
    if _has(entry, "training"):
        read.append(_child(entry, "training", h5py.Group))
    declared = sum(_dataset(group, name).nbytes for group in read for name in (*DIMS, "epoch") if _has(group, name))
    stored = file.id.get_filesize()
    if declared > max(MAX_BYTES // 4, 100 * stored):
        raise ValueError(f"its layers declare {declared:,} bytes for the {stored:,} that the file has")
    return groups


def _read_layer(file: h5py.File, group: h5py.Group, name: str) -> Spectra:
    if (own := _attribute(group, "layer")) != name:  # two names for one group would multiply what is read
        raise ValueError(f"{group.name} holds another layer, {own!r}")
    entry = file["entry"]
    collection = _child(entry, "provenance", h5py.Group)
    fy = _array(group, "fy")
    if not np.array_equal(fy, _array(group, "fx")):
        raise ValueError(f"fy and fx of {group.name} must be equal")
    bands = _bands(group)
    target = _array(group, "target", ndim=1).tolist() if _has(group, "target") else None
    if target is not None and len(target) != len(bands):
        raise ValueError(f"the target must have {len(bands)} values, one for each band, got {len(target)}")
    history = None
    if group == entry["spectra"] and _has(entry, "training"):
        training = _child(entry, "training", h5py.Group)
        history = SpectraHistory(_array(training, "epoch"), **_filters(training))
    return Spectra(
        **_filters(group),
        frequencies=fy,
        bands=bands,
        layer=name,
        target=None if target is None else dict(zip(bands.names, target, strict=True)),
        history=history,
        provenance={key: _attribute(collection, key) for key in collection.attrs if key != "NX_class"},
    )


def _bands(group: h5py.Group) -> Bands:
    names = _dataset(group, "band")
    if h5py.check_string_dtype(names.dtype) is None or names.ndim != 1 or names.size > 1024:
        raise ValueError(f"{names.name} must hold up to 1024 names, got {names.dtype}{list(names.shape)}")
    lower, upper = _array(group, "band_lower", ndim=1), _array(group, "band_upper", ndim=1)
    if not np.array_equal(lower[1:], upper[:-1]):
        raise ValueError(f"the bands must adjoin, got lower edges {lower.tolist()} and upper edges {upper.tolist()}")
    return Bands((*lower.tolist(), *upper[-1:].tolist()), tuple(names.asstr()[()].tolist()))


def _filters(group: h5py.Group) -> dict[str, np.ndarray]:
    """The arrays of a layer, or of its records. Log gains that the filters share get a filter axis of length 1."""
    arrays = {name: _array(group, name) for name in ("power", "weight", "shares")}
    if _has(group, "log_gain"):
        log_gain = _array(group, "log_gain")
        shared = log_gain.ndim == arrays["power"].ndim - 1
        arrays["log_gain"] = np.expand_dims(log_gain, -3) if shared else log_gain
    return arrays


def _has(group: h5py.Group, name: str) -> bool:
    """Whether a group has a member or link of this name, sound or not."""
    return group.get(name, getlink=True) is not None


def _child(group: h5py.Group, name: str, kind: type) -> Any:
    """A group or dataset that lies in the file itself, without following any link."""
    where = f"{group.name.rstrip('/')}/{name}"
    if not _has(group, name):
        raise ValueError(f"{where} is missing")
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{where} is a link to somewhere else, which is not followed")
    if not isinstance(item := group[name], kind):
        raise ValueError(f"{where} is not a {kind.__name__.lower()}")
    return item


def _dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """A dataset that the file itself stores, with a declared size in proportion to what is stored."""
    dataset = _child(group, name, h5py.Dataset)
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{dataset.name} is stored in another file, which is not read")
    if dataset.shape is None:
        raise ValueError(f"{dataset.name} is empty")
    size = dataset.dtype.itemsize * max(dataset.size, int(np.prod(dataset.chunks or 0, dtype=float)))
    # DEFLATE shrinks by at most a factor of 1032: a dataset that claims more was never written.
    if size > MAX_BYTES or dataset.nbytes > 1100 * dataset.id.get_storage_size():
        raise ValueError(f"{dataset.name} declares an absurd shape {dataset.shape} for what the file stores")
    return dataset


def _array(group: h5py.Group, name: str, ndim: int | None = None) -> np.ndarray:
    dataset = _dataset(group, name)
    if dataset.dtype.kind not in "iuf" or ndim not in (None, dataset.ndim):
        raise ValueError(
            f"{dataset.name} must hold numbers in {ndim or 'some'} dimensions, got {dataset.dtype}{list(dataset.shape)}"
        )
    array: np.ndarray = dataset[()]
    return array


def _attribute(item: h5py.HLObject, name: str) -> Any:
    """A scalar attribute as a Python value."""
    if name not in item.attrs:
        raise ValueError(f"{item.name} has no attribute {name!r}")
    if item.attrs.get_id(name).shape != ():
        raise ValueError(f"attribute {name!r} of {item.name} must be a scalar")
    value = item.attrs[name]
    return value.item() if isinstance(value, np.generic) else value
