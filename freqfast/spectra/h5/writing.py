"""Spectra to HDF5."""

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch import nn

from freqfast import __version__
from freqfast.files import replacing
from freqfast.spectra import Spectra, measure_spectra
from freqfast.spectra.h5.schema import ATTRIBUTES, DIMS, HISTORY, MAX_BYTES, SCHEMA
from freqfast.spectral.spectrum import frequencies

_CHUNK_BYTES = 2**18
_LIBVER = ("v110", "v110")  # HDF5's format of 2016: smaller, and its checksums find most damage before libhdf5 trips
_TEXT = h5py.string_dtype()


def write_spectra(path: str | Path, spectra: Spectra | Sequence[Spectra] | nn.Module) -> None:
    """Write spectra to an HDF5 file of freqfast's schema. An interruption leaves the old file or the new one, whole.

    Args:
        path: The file, replaced if it exists.
        spectra: Spectra of one layer, or of several layers of one model, the first of which viewers open (see
            `freqfast.spectra.measure_layers`); or a model, whose first spatial convolution is measured.

    Raises:
        ValueError: If the model has no spatial convolution, an array is larger than 2 GiB, or one file cannot hold the
            layers.
        OSError: If the folder does not exist or cannot be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_spectra(f"{folder}/filters.h5", nn.Conv2d(3, 8, 5))
    """
    if isinstance(spectra, nn.Module):
        spectra = measure_spectra(spectra)
    layers = list(spectra) if isinstance(spectra, Sequence) else [spectra]
    _check_layers(layers)
    # In memory first, so that HDF5 never holds a file that a full disk or a signal leaves half written. HDF5's own file
    # image is not used: with HDF5 1.14 it has a wrong checksum, which no reader accepts.
    image = io.BytesIO()
    with h5py.File(image, "w", libver=_LIBVER) as file:
        _fill(file, layers, Path(path).name)
    with replacing(path) as temporary:
        temporary.write_bytes(image.getbuffer())


def _check_layers(layers: Sequence[Spectra]) -> None:
    """Raise if one file cannot hold the layers."""
    for each in layers:
        if not isinstance(each, Spectra):
            raise TypeError(f"spectra must be Spectra, a list of them, or a model, got {type(each).__name__}")
    names = [spectra.layer for spectra in layers]
    if not layers or len(set(names)) < len(names):
        raise ValueError(f"a file holds one or more layers of different names, got {names}")
    if len(names) > 1 and "/" in "".join(names):
        raise ValueError(f"a name with a slash cannot name an HDF5 group, got {names}; write files of one layer")
    if any(one.history is not None or one.provenance != layers[0].provenance for one in layers[1:]):
        raise ValueError("the layers of a file have one provenance, and only the first has a history; reorder them")


def _fill(file: h5py.File, layers: Sequence[Spectra], name: str) -> None:
    file.attrs.update(
        NX_class="NXroot",
        default="entry",
        creator="freqfast",
        creator_version=__version__,
        file_name=name,
        file_time=datetime.now().astimezone().isoformat(timespec="seconds"),
        HDF5_Version=h5py.version.hdf5_version,
        h5py_version=h5py.version.version,
        freqfast_schema=SCHEMA,
    )
    entry = file.create_group("entry")
    entry.attrs.update(NX_class="NXentry", default="spectra")
    entry.create_dataset("title", data=_title(layers[0]), dtype=_TEXT, track_times=False)
    entry.create_group("provenance").attrs.update(NX_class="NXcollection", **layers[0].provenance)
    first = _write_layer(entry, "spectra", layers[0])
    if (history := layers[0].history) is not None:
        by_epoch = {name: getattr(history, name) for name in HISTORY}
        training = _nxdata(entry, "training", by_epoch, {"epoch": history.epochs, **_scales(layers[0])})
        last = str(len(history.epochs) - 1)
        training.attrs.update(
            layer=layers[0].layer,
            title=f"{_title(layers[0])}, by epoch",
            default_slice=np.array([last, "0", ".", "."], dtype=_TEXT),
        )
    if len(layers) > 1:
        collection = entry.create_group("layers", track_order=True)  # the model's order, not the alphabet's
        collection.attrs["NX_class"] = "NXcollection"
        collection[layers[0].layer] = first  # a second name for the same group
        for spectra in layers[1:]:
            _write_layer(collection, spectra.layer, spectra)


def _write_layer(parent: h5py.Group, name: str, spectra: Spectra) -> h5py.Group:
    arrays: dict[str, np.ndarray | None] = {name: getattr(spectra, name, None) for name in DIMS}
    arrays["band_lower"] = np.array(spectra.bands.edges[:-1])
    arrays["band_upper"] = np.array(spectra.bands.edges[1:])
    arrays["target"] = None if spectra.target is None else np.array(list(spectra.target.values()))
    group = _nxdata(parent, name, arrays, _scales(spectra))
    signals = np.array(["response_db"], dtype=_TEXT)
    group.attrs.update(layer=spectra.layer, title=_title(spectra), auxiliary_signals=signals)
    return group


def _title(spectra: Spectra) -> str:
    """What a viewer writes above the spectra."""
    known = [f"{name} {spectra.provenance[name]}" for name in ("recipe", "seed") if name in spectra.provenance]
    return ", ".join([f"Power spectra of the filters of {spectra.layer or 'a layer'}", *known])


def _scales(spectra: Spectra) -> dict[str, np.ndarray]:
    """The dimension scales of a layer's datasets, by dimension."""
    filters, channels, kh, kw = spectra.weight.shape
    return {
        "filter": np.arange(filters),
        "channel": np.arange(channels),
        "ky": np.arange(kh),
        "kx": np.arange(kw),
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
        group.create_dataset(dim, data=scales[dim], track_times=False).make_scale(dim)
        group[dim].attrs.update(ATTRIBUTES.get(dim, {}))
    for key, array in present.items():
        dataset = group.create_dataset(key, data=array, **_storage(key, array, dims[key]))
        dataset.attrs.update(ATTRIBUTES[key])
        for axis, dim in enumerate(dims[key]):
            dataset.dims[axis].attach_scale(group[dim])
    return group


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
