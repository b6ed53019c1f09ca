"""Departures of a file from the schema, found by comparing it with what the writer makes of the same spectra."""

import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from freqfast.spectra.h5.reading import check_stored, open_export, read_all
from freqfast.spectra.h5.writing import export_image

__all__ = ["validate"]

_HDF5_OWN = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}
_FREE = {"creator", "creator_version", "file_name", "file_time", "HDF5_Version", "h5py_version"}


def validate(path: str | os.PathLike[str]) -> list[str]:
    """List every departure of a file from freqfast's schema.

    Args:
        path: The file.

    Returns:
        One line for each departure, none for a sound file. If the file cannot be read, the error of `read_layers`.

    Raises:
        FileNotFoundError: If there is no such file.
        BlockingIOError: If another program has it open for writing.

    Examples:
        >>> import tempfile, torch, freqfast
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     freqfast.write_spectra(f"{folder}/filters.h5", torch.nn.Conv2d(3, 8, 3))
        ...     validate(f"{folder}/filters.h5")
        []
    """
    found: list[str] = []
    try:
        with open_export(path) as file:
            layers = read_all(file)
            with h5py.File(export_image(layers, Path(path).name)) as sound:
                found += _departures(file, sound)
        for spectra in layers:
            missing = abs(spectra.power.sum((1, 2), dtype=np.float64) - spectra.energy)
            if bad := int((missing > 1e-4 * spectra.energy).sum()):
                found.append(
                    f"power of layer {spectra.layer!r}: in {bad} filters it does not sum to the squared L2 norm"
                )
    except ValueError as error:
        found.append(str(error))
    return found


def _departures(file: h5py.File, sound: h5py.File) -> Iterator[str]:
    items, expected = _items(file), _items(sound)
    for path, like in expected.items():
        if path not in items:
            yield f"/{path} is missing"
            continue
        item = items[path]
        has_numbers = isinstance(like, h5py.Dataset) and like.dtype.kind in "iuf"
        if _kind(item) != _kind(like):
            yield f"/{path}: must be {_kind(like)}, got {_kind(item)}"
        elif has_numbers and not np.allclose(check_stored(item)[()], like[()], rtol=1e-6, atol=1e-6):
            yield f"/{path}: its values do not follow from the spectra"
        for name in sorted(set(like.attrs) - _HDF5_OWN):
            wanted, got = (i.attrs.get(name, "nothing") for i in (like, item))
            if str(got) != str(wanted) and not (name in _FREE and name in item.attrs):
                yield f"/{path}: attribute {name!r} must be {wanted!r}, got {got!r}"
    for path, item in items.items():
        if path not in expected and path in sound:
            yield f"/{path}: must be another name of an object, not an object of its own"
        if path not in expected and isinstance(item, h5py.Dataset) and any(len(names) != 1 for names in _scales(item)):
            yield f"/{path}: must have one dimension scale on every dimension, got {_kind(item)}"


def _items(file: h5py.File) -> dict[str, h5py.HLObject]:
    """All groups and datasets by path, each once; links are not followed."""
    items: dict[str, h5py.HLObject] = {"": file}
    file.visititems(items.__setitem__)
    return items


def _kind(item: h5py.HLObject) -> str:
    return f"{item.dtype}{item.shape} with scales {_scales(item)}" if isinstance(item, h5py.Dataset) else "a group"


def _scales(dataset: h5py.Dataset) -> list[list[str]]:
    """Names of the dimension scales on each dimension, by the attributes: HDF5's functions crash on damaged ones."""
    if "CLASS" in dataset.attrs:
        return [["itself"]]
    found = [[dataset.file[scale] for scale in scales] for scales in dataset.attrs.get("DIMENSION_LIST", [])]
    inside = [[s.name.rsplit("/", 1)[-1] if s.parent == dataset.parent else s.name for s in scales] for scales in found]
    return inside or [[] for _ in dataset.shape]
