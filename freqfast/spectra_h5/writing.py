"""Spectra to HDF5."""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch import nn

from freqfast._version import __version__
from freqfast.files import replacing
from freqfast.spectra import Spectra, measure_spectra
from freqfast.spectra_h5.schema import CPP, DIMS, LONG_NAMES, MAX_BYTES, SCHEMA
from freqfast.spectrum import frequencies

__all__ = ["in_memory", "write_export", "write_spectra"]

_CHUNK_BYTES = 2**18
_TEXT = h5py.string_dtype()


def write_spectra(path: str | os.PathLike[str], spectra: Spectra | nn.Module) -> None:
    """Write spectra to an HDF5 file of freqfast's schema. An interruption leaves the old file or the new one, whole.

    Args:
        path: The file, replaced if it exists.
        spectra: What to write; a model is measured first (`measure_spectra` with its defaults).

    Raises:
        ValueError: If the model has no spatial convolution, or an array is larger than 2 GiB.
        OSError: If the folder does not exist or cannot be written.
    """
    if not isinstance(spectra, Spectra):
        spectra = measure_spectra(spectra)
    # Built in memory, so that HDF5 never holds a file that a full disk or a signal leaves half written.
    with in_memory() as file:
        write_export(file, spectra, Path(path).name)
        file.flush()
        image = file.id.get_file_image()
    try:
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(image)
    except OSError as error:
        if error.errno is None:  # says it all already
            raise
        raise type(error)(f"cannot write {path}: {error.strerror}; choose another path") from None


def in_memory() -> h5py.File:
    """An HDF5 file in memory."""
    return h5py.File("spectra.h5", "w", driver="core", backing_store=False)


def write_export(file: h5py.File, spectra: Spectra, name: str) -> None:
    """Fill an empty file with spectra, under the name that the file will have."""
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
    dims = {key: lead + DIMS[key] for key in present}
    if "log_gain" in present and present["log_gain"].shape[len(lead)] == 1:  # the filters share it: no such axis
        present["log_gain"] = present["log_gain"].squeeze(len(lead))
        dims["log_gain"] = lead + DIMS["log_gain"][1:]
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
    dataset.attrs["long_name"] = LONG_NAMES.get(name, name)
    if dataset.attrs["long_name"].endswith(f"({CPP})"):
        dataset.attrs["units"] = CPP
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
