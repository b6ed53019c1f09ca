"""Where a file departs from the schema: compared with what the writer makes of the same spectra."""

import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from freqfast.spectra_h5.reading import child, dataset_of, has, open_export, read_export
from freqfast.spectra_h5.writing import in_memory, write_export

__all__ = ["validate"]

_HDF5_OWN = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}
_FREE = {"creator", "creator_version", "file_name", "file_time", "HDF5_Version", "h5py_version"}


def validate(path: str | os.PathLike[str]) -> list[str]:
    """Everything in which a file departs from freqfast's schema; an empty list for a sound one.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    found: list[str] = []
    try:
        with open_export(path) as file:
            spectra = read_export(file)
            with in_memory() as sound:
                write_export(sound, spectra, Path(path).name)
                found += _departures(file, sound)
        missing = abs(spectra.power.sum((1, 2), dtype=np.float64) - spectra.energy)
        if bad := int((missing > 1e-4 * spectra.energy).sum()):
            found.append(f"/entry/spectra/power: in {bad} filters the power does not sum to the squared L2 norm")
    except ValueError as error:
        found.append(str(error))
    return found


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
        if not has(item, name):
            yield f"{item.name}: {name!r} is missing"
        elif isinstance(sound[name], h5py.Group):
            yield from _departures(child(item, name, h5py.Group), sound[name])
        else:
            yield from _departures(dataset_of(item, name), sound[name])
    for name in sorted(set(item) - set(sound)):
        if isinstance(added := child(item, name, h5py.HLObject), h5py.Dataset) and not _is_scale(added):
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
