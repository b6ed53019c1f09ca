"""Where a file departs from the schema: compared with what the writer makes of the same spectra."""

import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from freqfast.spectra.h5.reading import child, dataset_of, has, layer_names, open_export, read_export
from freqfast.spectra.h5.writing import export_image

__all__ = ["validate"]

_HDF5_OWN = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}
_FREE = {"creator", "creator_version", "file_name", "file_time", "HDF5_Version", "h5py_version"}


def validate(path: str | os.PathLike[str]) -> list[str]:
    """Everything in which a file departs from freqfast's schema; an empty list for a sound one.

    Of a file that cannot be read, the list says why: it is what `read_layers` refuses.

    Raises:
        FileNotFoundError: If there is no such file.
        BlockingIOError: If another program has it open for writing.
    """
    found: list[str] = []
    try:
        with open_export(path) as file:
            layers = [read_export(file, name) for name in layer_names(file)]
            with h5py.File(export_image(layers, Path(path).name)) as sound:
                found += _departures(file, sound, {})
        for spectra in layers:
            missing = abs(spectra.power.sum((1, 2), dtype=np.float64) - spectra.energy)
            if bad := int((missing > 1e-4 * spectra.energy).sum()):
                found.append(
                    f"power of layer {spectra.layer!r}: in {bad} filters it does not sum to the squared L2 norm"
                )
    except ValueError as error:
        found.append(str(error))
    return found


def _departures(item: h5py.HLObject, sound: h5py.HLObject, seen: dict[h5py.HLObject, h5py.HLObject]) -> Iterator[str]:
    """Where a group or dataset differs from what `write_spectra` makes of the same spectra.

    `seen` maps each sound object to the file's: one that has two names there must have them in the file.
    """
    if sound in seen:
        if seen[sound] != item:
            yield f"{item.name}: must be the same object as {seen[sound].name}"
        return
    seen[sound] = item
    yield from _attribute_departures(item, sound)
    if isinstance(sound, h5py.Dataset):
        yield from _dataset_departures(item, sound)
        return
    for name in sound:
        if has(item, name):
            other = child(item, name, h5py.Group) if isinstance(sound[name], h5py.Group) else dataset_of(item, name)
            yield from _departures(other, sound[name], seen)
        else:
            yield f"{item.name}: {name!r} is missing"
    for name in sorted(set(item) - set(sound)):
        if isinstance(added := child(item, name, h5py.HLObject), h5py.Dataset) and not _is_scale(added):
            yield from _scale_departures(added)


def _attribute_departures(item: h5py.HLObject, sound: h5py.HLObject) -> Iterator[str]:
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


def _dataset_departures(dataset: h5py.Dataset, sound: h5py.Dataset) -> Iterator[str]:
    if (dataset.dtype, dataset.shape) != (sound.dtype, sound.shape):
        yield f"{dataset.name}: must be {sound.dtype}{sound.shape}, got {dataset.dtype}{dataset.shape}"
    elif sound.dtype.kind in "iuf" and not np.allclose(dataset[()], sound[()], rtol=1e-6, atol=1e-6):
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
    attached = [[dataset.file[scale] for scale in scales] for scales in dataset.attrs["DIMENSION_LIST"]]
    return [[_leaf(s) if s.parent == dataset.parent else s.name for s in scales] for scales in attached]


def _leaf(item: h5py.HLObject) -> str:
    """An object's name in its group: of a group with two names, HDF5 tells either."""
    return str(item.name).rsplit("/", 1)[-1]
