"""Filter spectra in HDF5: write, read, validate. Opens with a picture in silx, h5web and HDFView, by name in xarray.

Schema 1, where ``@`` marks attributes, ``[dims]`` HDF5 dimension scales of the same group, ``?`` what may be absent::

    {
      "@NX_class": "NXroot", "@default": "entry", "@freqfast_schema": 1,
      "@creator": "freqfast", "@creator_version": "...", "@file_name": "...", "@file_time": "ISO 8601 with zone",
      "@HDF5_Version": "...", "@h5py_version": "...",
      "entry": {
        "@NX_class": "NXentry", "@default": "spectra",
        "spectra": {
          "@NX_class": "NXdata", "@signal": "power", "@axes": ["filter", "fy", "fx"],
          "@layer": "name of the convolution in its model",
          "power":             "float32[filter, fy, fx]; sums to the filter's squared L2 norm",
          "weight":            "float32[filter, channel, ky, kx]; the filters as applied in eval mode",
          "shares":            "float32[filter, band]; each filter's energy by band, sums to 1 (0 without energy)",
          "classes":           "int64[filter]; index of the band with the largest share",
          "band_lower":        "float64[band]; cycles/pixel, included",
          "band_upper":        "float64[band]; cycles/pixel, excluded but for the last",
          "proportion":        "float64[band]; share of the filters",
          "energy_proportion": "float64[band]; share of the layer's energy",
          "target?":           "float64[band]; proportion that training enforced",
          "log_gain?":         "float32[filter, gain_fy, gain_fx], without filter where all filters share gains",
          "filter": "int64", "channel": "int64", "ky": "int64", "kx": "int64", "band": "UTF-8 name",
          "fy": "float64, cycles/pixel", "fx": "same as fy",
          "gain_fy?": "float64, cycles/pixel, the kernel's DFT grid", "gain_fx?": "float64, cycles/pixel"
        },
        "training?": {
          "@NX_class": "NXdata", "@signal": "power", "@axes": ["epoch", "filter", "fy", "fx"],
          "@default_slice": ["last record", "0", ".", "."],
          "power": "float32[epoch, filter, fy, fx]", "weight": "float32[epoch, filter, channel, ky, kx]",
          "shares": "float32[epoch, filter, band]", "log_gain?": "float32[epoch, filter?, gain_fy, gain_fx]",
          "epoch": "int64, epochs trained", "...": "the other scales as in spectra"
        },
        "provenance": {"@NX_class": "NXcollection", "@<name>": "UTF-8 text, int64 or float64"}
      }
    }

Readers ignore names that they do not know, so additions keep the schema's number; any other change raises it. Files are
untrusted: links are not followed, storage outside the file and declared sizes out of proportion are refused before
anything is read.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch import nn

from freqfast._version import __version__
from freqfast.bands import Bands
from freqfast.files import replacing
from freqfast.spectra import Spectra, SpectraHistory, measure_spectra
from freqfast.spectrum import frequencies

__all__ = ["SCHEMA", "read_spectra", "validate", "write_spectra"]

SCHEMA = 1
"""Version of the schema that this module writes, and the newest that it reads."""

MAX_BYTES = 2**31
"""Largest dataset that is written or read: half a million spectra of 32x32."""

_CHUNK_BYTES = 2**18
_CPP = "cycles/pixel"
_DIMS = {
    "power": ("filter", "fy", "fx"),
    "weight": ("filter", "channel", "ky", "kx"),
    "shares": ("filter", "band"),
    "classes": ("filter",),
    "band_lower": ("band",),
    "band_upper": ("band",),
    "proportion": ("band",),
    "energy_proportion": ("band",),
    "target": ("band",),
    "log_gain": ("filter", "gain_fy", "gain_fx"),
}
_LONG_NAMES = {
    "power": "power per frequency",
    "weight": "filter weight",
    "shares": "share of the filter's energy",
    "classes": "index of the filter's band",
    "band_lower": f"lower edge ({_CPP})",
    "band_upper": f"upper edge ({_CPP})",
    "proportion": "share of the filters",
    "energy_proportion": "share of the layer's energy",
    "target": "enforced share of the filters",
    "log_gain": "log power gain (nepers of power)",
    "ky": "y in the kernel (pixel)",
    "kx": "x in the kernel (pixel)",
    **{name: f"{name} ({_CPP})" for name in ("fy", "fx", "gain_fy", "gain_fx")},
}
_TEXT = h5py.string_dtype()
_HDF5_OWN = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}
_FREE = {"creator", "creator_version", "file_name", "file_time", "HDF5_Version", "h5py_version"}


def write_spectra(path: str | os.PathLike[str], spectra: Spectra | nn.Module) -> None:
    """Write spectra to an HDF5 file of the schema above. An interruption leaves the old file or the new one, whole.

    Args:
        path: The file, replaced if it exists.
        spectra: What to write; a model is measured first (`measure_spectra` with its defaults).

    Raises:
        ValueError: If the model has no spatial convolution, or an array is larger than `MAX_BYTES`.
        OSError: If the folder does not exist or cannot be written.
    """
    if not isinstance(spectra, Spectra):
        spectra = measure_spectra(spectra)
    # Built in memory, so that HDF5 never holds a file that a full disk or a signal leaves half written.
    with _in_memory() as file:
        _write(file, spectra, Path(path).name)
        file.flush()
        image = file.id.get_file_image()
    try:
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(image)
    except OSError as error:
        if error.errno is None:  # says it all already
            raise
        raise type(error)(f"cannot write {path}: {error.strerror}; choose another path") from None


def read_spectra(path: str | os.PathLike[str]) -> Spectra:
    """Read what `write_spectra` wrote: the same values, bit for bit.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an export of freqfast, of a newer schema, damaged, or holds values that are no spectra.
    """
    with _open(path) as file:
        return _read(file)


def validate(path: str | os.PathLike[str]) -> list[str]:
    """Everything in which a file departs from the schema above; an empty list for a sound one.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    found: list[str] = []
    try:
        with _open(path) as file:
            spectra = _read(file)
            with _in_memory() as sound:
                _write(sound, spectra, Path(path).name)
                found += _departures(file, sound)
        missing = abs(spectra.power.sum((1, 2), dtype=np.float64) - spectra.energy)
        if bad := int((missing > 1e-4 * spectra.energy).sum()):
            found.append(f"/entry/spectra/power: in {bad} filters the power does not sum to the squared L2 norm")
    except ValueError as error:
        found.append(str(error))
    return found


# Writing


def _in_memory() -> h5py.File:
    return h5py.File("spectra.h5", "w", driver="core", backing_store=False)


def _write(file: h5py.File, spectra: Spectra, name: str) -> None:
    file.attrs.update(
        NX_class="NXroot",
        default="entry",
        creator="freqfast",
        creator_version=__version__,
        file_name=os.fsencode(name).decode(errors="replace"),
        file_time=datetime.now().astimezone().isoformat(timespec="seconds"),
        HDF5_Version=h5py.version.hdf5_version,
        h5py_version=h5py.version.version,
        freqfast_schema=SCHEMA,
    )
    entry = file.create_group("entry")
    entry.attrs.update(NX_class="NXentry", default="spectra")
    if "NX_class" in spectra.provenance:
        raise ValueError("provenance must not be named NX_class, which tells readers the kind of a group; rename it")
    entry.create_group("provenance").attrs.update(NX_class="NXcollection", **spectra.provenance)
    edges, target, scales = spectra.bands.edges, spectra.target, _scales(spectra)
    arrays = {
        "power": spectra.power,
        "weight": spectra.weight,
        "shares": spectra.shares,
        "classes": spectra.classes,
        "band_lower": np.array(edges[:-1]),
        "band_upper": np.array(edges[1:]),
        "proportion": spectra.proportion,
        "energy_proportion": spectra.energy_proportion,
        "target": None if target is None else np.array(list(target.values())),
        "log_gain": spectra.log_gain,
    }
    _nxdata(entry, "spectra", arrays, scales).attrs["layer"] = spectra.layer
    if (history := spectra.history) is not None:
        by_epoch = {name: getattr(history, name) for name in ("power", "weight", "shares", "log_gain")}
        training = _nxdata(entry, "training", by_epoch, {"epoch": history.epochs, **scales})
        last = str(len(history.epochs) - 1)
        training.attrs.update(layer=spectra.layer, default_slice=np.array([last, "0", ".", "."], dtype=_TEXT))


def _scales(spectra: Spectra) -> dict[str, np.ndarray]:
    """The axes that the datasets of a layer have in common, by dimension."""
    filters, channels, kh, kw = spectra.weight.shape
    counts = {"filter": filters, "channel": channels, "ky": kh, "kx": kw}
    return {
        **{name: np.arange(size) for name, size in counts.items()},
        "fy": spectra.frequencies,
        "fx": spectra.frequencies,
        "band": np.array(spectra.bands.names, dtype=_TEXT),
        "gain_fy": frequencies(kh).numpy(),
        "gain_fx": frequencies(kw).numpy(),
    }


def _nxdata(
    parent: h5py.Group, name: str, arrays: Mapping[str, np.ndarray | None], scales: Mapping[str, np.ndarray]
) -> h5py.Group:
    """An NXdata group whose signal is the power, with an HDF5 dimension scale on every dimension of every dataset."""
    group = parent.create_group(name)
    present = {key: array for key, array in arrays.items() if array is not None}
    lead = ("epoch",) if "epoch" in scales else ()
    dims = {key: lead + _DIMS[key] for key in present}
    if "log_gain" in present and present["log_gain"].shape[len(lead)] == 1:  # the filters share it: no such axis
        present["log_gain"] = present["log_gain"].squeeze(len(lead))
        dims["log_gain"] = lead + _DIMS["log_gain"][1:]
    group.attrs.update(NX_class="NXdata", signal="power", axes=np.array(dims["power"], dtype=_TEXT))
    for dim in dict.fromkeys(dim for used in dims.values() for dim in used):
        _describe(group.create_dataset(dim, data=scales[dim], track_times=False)).make_scale(dim)
    for key, array in present.items():
        dataset = _describe(group.create_dataset(key, data=array, **_storage(key, array, dims[key])))
        for axis, dim in enumerate(dims[key]):
            dataset.dims[axis].attach_scale(group[dim])
    group["power"].attrs["interpretation"] = "image"
    return group


def _describe(dataset: h5py.Dataset) -> h5py.Dataset:
    name = dataset.name.rsplit("/", 1)[-1]
    dataset.attrs["long_name"] = _LONG_NAMES.get(name, name)
    if dataset.attrs["long_name"].endswith(f"({_CPP})"):
        dataset.attrs["units"] = _CPP
    return dataset


def _storage(name: str, array: np.ndarray, dims: tuple[str, ...]) -> dict[str, Any]:
    """How to store an array: small ones contiguous, others in compressed blocks of filters."""
    if array.nbytes > MAX_BYTES:
        raise ValueError(
            f"{name} takes {array.nbytes:,} bytes, at most {MAX_BYTES:,} fit; record fewer epochs or points"
        )
    if array.ndim < 3:
        return {"track_times": False}
    axis = dims.index("filter") if "filter" in dims else 0
    row = array[(0,) * (axis + 1)].nbytes
    block = max(1, min(array.shape[axis], _CHUNK_BYTES // row))
    chunks = (*(1,) * axis, block, *array.shape[axis + 1 :])
    return {"track_times": False, "chunks": chunks, "compression": "gzip", "shuffle": True}


# Reading


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """An export, open for reading; whatever is wrong with it becomes one ValueError that names the file."""
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
        reason = str(error).partition("\n")[0]
        if isinstance(error, OSError):
            reason = f"it is truncated or damaged ({reason})" if h5py.is_hdf5(path) else "it is not an HDF5 file"
        way_out = "" if "; " in reason else "; write it again with freqfast.write_spectra"
        raise ValueError(f"{path}: {reason}{way_out}") from error


def _read(file: h5py.File) -> Spectra:
    entry = _child(file, "entry", h5py.Group)
    group = _child(entry, "spectra", h5py.Group)
    collection = _child(entry, "provenance", h5py.Group)
    lower, upper = _array(group, "band_lower", ndim=1), _array(group, "band_upper", ndim=1)
    if not np.array_equal(lower[1:], upper[:-1]):
        raise ValueError(f"the bands must adjoin, got lower edges {lower.tolist()} and upper edges {upper.tolist()}")
    bands = Bands((*lower.tolist(), *upper[-1:].tolist()), tuple(_band_names(group)))
    fy = _array(group, "fy")
    if not np.array_equal(fy, _array(group, "fx")):
        raise ValueError("fy and fx must be equal")
    target = _array(group, "target", ndim=1).tolist() if _has(group, "target") else None
    if target is not None and len(target) != len(bands):
        raise ValueError(f"the target must have {len(bands)} values, one for each band, got {len(target)}")
    history = None
    if _has(entry, "training"):
        training = _child(entry, "training", h5py.Group)
        arrays = {name: _array(training, name) for name in ("power", "weight", "shares")}
        history = SpectraHistory(_array(training, "epoch"), **arrays, log_gain=_log_gain(training, ndim=4))
    return Spectra(
        power=_array(group, "power"),
        frequencies=fy,
        weight=_array(group, "weight"),
        shares=_array(group, "shares"),
        bands=bands,
        layer=_attribute(group, "layer"),
        target=None if target is None else dict(zip(bands.names, target, strict=True)),
        log_gain=_log_gain(group, ndim=3),
        history=history,
        provenance={name: _attribute(collection, name) for name in collection.attrs if name != "NX_class"},
    )


def _has(group: h5py.Group, name: str) -> bool:
    return group.get(name, getlink=True) is not None


def _child(group: h5py.Group, name: str, kind: type) -> Any:
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


def _dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """A dataset whose declared size is in proportion to what the file stores."""
    dataset = _child(group, name, h5py.Dataset)
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
    dataset = _dataset(group, name)
    if dataset.dtype.kind not in "iuf" or ndim not in (None, dataset.ndim):
        raise ValueError(
            f"{dataset.name} must hold numbers in {ndim or 'some'} dimensions, got {dataset.dtype}{list(dataset.shape)}"
        )
    array: np.ndarray = dataset[()]
    return array


def _log_gain(group: h5py.Group, ndim: int) -> np.ndarray | None:
    """Log gains with their filter axis, of length 1 where the filters share them."""
    if not _has(group, "log_gain"):
        return None
    log_gain = _array(group, "log_gain")
    return np.expand_dims(log_gain, ndim - 3) if log_gain.ndim == ndim - 1 else log_gain


def _band_names(group: h5py.Group) -> list[str]:
    dataset = _dataset(group, "band")
    if h5py.check_string_dtype(dataset.dtype) is None or dataset.ndim != 1 or dataset.size > 1024:
        raise ValueError(f"{dataset.name} must hold up to 1024 names, got {dataset.dtype}{list(dataset.shape)}")
    names: list[str] = dataset.asstr()[()].tolist()
    return names


def _attribute(item: h5py.HLObject, name: str) -> Any:
    """A scalar attribute as a Python value."""
    if name not in item.attrs:
        raise ValueError(f"{item.name} has no attribute {name!r}")
    if item.attrs.get_id(name).shape != ():
        raise ValueError(f"attribute {name!r} of {item.name} must be a scalar")
    value = item.attrs[name]
    return value.item() if isinstance(value, np.generic) else value


# Validation


def _departures(item: h5py.HLObject, sound: h5py.HLObject) -> Iterator[str]:
    """Where a group or dataset differs from what `write_spectra` makes of the same spectra."""
    for name, value in sound.attrs.items():
        if name in _HDF5_OWN:
            continue
        if name not in item.attrs:
            yield f"{item.name}: attribute {name!r} is missing"
            continue
        form, wanted = (
            (i.attrs.get_id(name).shape, h5py.check_string_dtype(i.attrs.get_id(name).dtype)) for i in (item, sound)
        )
        if form != wanted:
            kind = "variable-length UTF-8 text" if wanted[1] else "a number"
            yield f"{item.name}: attribute {name!r} must be {kind} of shape {wanted[0]}"
        elif name not in _FREE and str(item.attrs[name]) != str(value):
            yield f"{item.name}: attribute {name!r} must be {value!r}, got {item.attrs[name]!r}"
    if isinstance(sound, h5py.Dataset):
        yield from _dataset_departures(item, sound)
        return
    for name in sound:
        if not _has(item, name):
            yield f"{item.name}: {name!r} is missing"
        elif isinstance(sound[name], h5py.Group):
            yield from _departures(_child(item, name, h5py.Group), sound[name])
        else:
            yield from _departures(_dataset(item, name), sound[name])
    for name in sorted(set(item) - set(sound)):
        if isinstance(added := _child(item, name, h5py.HLObject), h5py.Dataset) and not _is_scale(added):
            yield from _scale_departures(added)


def _dataset_departures(dataset: h5py.Dataset, sound: h5py.Dataset) -> Iterator[str]:
    if (dataset.dtype, dataset.shape) != (sound.dtype, sound.shape):
        yield f"{dataset.name}: must be {sound.dtype}{sound.shape}, got {dataset.dtype}{dataset.shape}"
    elif sound.dtype.kind in "iuf" and not np.allclose(dataset[()], sound[()], rtol=0, atol=1e-6):
        yield f"{dataset.name}: its values do not follow from the spectra"
    if _is_scale(sound) != _is_scale(dataset):
        yield f"{dataset.name}: must{'' if _is_scale(sound) else ' not'} be an HDF5 dimension scale"
    elif not _is_scale(sound):
        found = list(_scale_departures(dataset))
        yield from found
        wanted = _attached(sound)
        if not found and _attached(dataset) != wanted:
            yield f"{dataset.name}: its dimension scales must be {wanted}, got {_attached(dataset)}"


def _scale_departures(dataset: h5py.Dataset) -> Iterator[str]:
    if any(len(scales) != 1 for scales in _attached(dataset)):
        yield f"{dataset.name}: every dimension must have one scale, got {_attached(dataset)}"


# HDF5's own functions for scales crash on damaged attributes, so these read the attributes.


def _is_scale(dataset: h5py.Dataset) -> bool:
    return "CLASS" in dataset.attrs and str(dataset.attrs["CLASS"]) == str(np.bytes_("DIMENSION_SCALE"))


def _attached(dataset: h5py.Dataset) -> list[list[str]]:
    """Names of the dimension scales on each dimension."""
    if "DIMENSION_LIST" not in dataset.attrs:
        return [[] for _ in dataset.shape]
    return [[dataset.file[scale].name for scale in scales] for scales in dataset.attrs["DIMENSION_LIST"]]
