"""The files in a folder of corrupted images, and its manifest: what they were made from, and the hashes of the files.

A folder holds ``<corruption>.npy``, uint8 ``(S * N, H, W, 3)``: one block of the ``N`` images for each of the ``S``
severities, the least first; ``labels.npy``, their labels, block by block; and ``manifest.json``. The published archive
has all five severities and no manifest.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from freqfast import __version__
from freqfast.corruptions.registry import CORRUPTIONS, SETS, SEVERITIES, find_set
from freqfast.corruptions.tables import Table
from freqfast.files import file_sha256
from freqfast.records import differences, read_record, write_record

LABELS = "labels.npy"
MANIFEST = "manifest.json"
PHOTOGRAPHS = "photographs"


def images_file(corruption: str) -> str:
    """Name of the file that holds the images of a corruption."""
    return f"{corruption}.npy"


@dataclass(frozen=True)
class StoredFile:
    """What the manifest says of a file.

    Attributes:
        sha256: Hash of the whole file.
        bytes: Its size.
        shape: Shape of the array in it.
        freqfast: The version that wrote it.
        photographs: Hash of the photographs that it was made with; None but for frost.
    """

    sha256: str
    bytes: int
    shape: tuple[int, ...]
    freqfast: str
    photographs: str | None


@dataclass(frozen=True)
class Manifest:
    """What a folder of corrupted images was made from, and the files that are finished.

    Attributes:
        source: Name of the data set.
        images: Number of images, ``N``.
        images_sha256: Hash of their bytes, followed by their labels as little-endian int64.
        limit: How many images were asked for; None for the whole test set.
        seed: Seed of the corruptions.
        severities: The severities that every file holds, ascending.
        files: By file name; that of the labels is among them.
        classes: Names of the classes, in the order of the labels; None where they are not known.
        table: Whose parameters, see `freqfast.corruptions.find_table`.
        cells: Of a tree of JPEG files, the hash of all files of each finished ``<corruption>/<severity>``; under
            `PHOTOGRAPHS` that of the photographs of frost, if it is made with them.
        freqfast: The version that wrote it last.
    """

    schema: Literal["freqfast-corruptions-1"] = field(default="freqfast-corruptions-1", kw_only=True)
    freqfast: str = field(default=__version__, kw_only=True)
    source: str
    images: Annotated[int, Field(ge=1)]
    images_sha256: str
    limit: int | None
    seed: int
    severities: tuple[int, ...]
    files: Mapping[Annotated[str, Field(pattern=r"^[^/\\]+\.npy$")], StoredFile] = field(default_factory=dict)
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    table: Table = "cifar10"  # as version 0.1 had it at every size
    cells: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the severities."""
        if not self.severities or list(self.severities) != sorted(set(self.severities) & set(SEVERITIES)):
            raise ValueError(f"severities must be some of 1, 2, 3, 4 and 5, ascending, got {self.severities}")

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The corruptions that are finished."""
        return tuple(sort_names(file.removesuffix(".npy") for file in self.files if file != LABELS))


def sort_names(names: Iterable[str]) -> list[str]:
    """Corruptions, the published ones first and in their order."""
    return sorted(names, key=lambda name: (*CORRUPTIONS, name).index(name))


def check_limit(limit: int | None) -> None:
    """Refuse a number of images that is less than 1."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")


def find_stored_set(folder: Path | None, which: str) -> tuple[str, ...]:
    """The corruptions of a benchmark, see `freqfast.corruptions.find_set`, that a folder is of.

    Its manifest says by whose parameters it was made; without one it is of the set of which it has more.
    """
    if folder is None or not folder.is_dir():
        return SETS[which]
    if manifest := read_manifest(folder):
        return find_set(which, manifest.table)
    there = {path.stem for path in folder.iterdir()}
    return max(SETS[which], find_set(which, "imagenet"), key=lambda names: len(there.intersection(names)))


def check_required(folder: Path, there: Sequence[str], required: Sequence[str] | None) -> None:
    """Refuse a folder that lacks a corruption; the FileNotFoundError names the first."""
    if absent := [name for name in required or () if name not in there]:
        raise FileNotFoundError(f"{folder} holds no {absent[0]}; it holds {', '.join(there)}")


def read_manifest(folder: str | Path) -> Manifest | None:
    """The manifest of a folder of corrupted images; None if it has none, as the published archive.

    Raises:
        ValueError: If there is a ``manifest.json`` that `write_manifest` did not write.
    """
    path = Path(folder) / MANIFEST
    return read_record(path, Manifest, ignore_unknown=True) if path.exists() else None


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Write the manifest into its folder, whole or not at all."""
    write_record(Path(folder) / MANIFEST, replace(manifest, freqfast=__version__))


def begin_folder(folder: Path, wanted: Manifest, files: Sequence[str] = (), photographs: str | None = None) -> Manifest:
    """The manifest of a folder: the one that is there, if its settings are the wanted ones, or a new one.

    Of the files that will be written, it is an error if one is there and not in the manifest. `photographs` is the hash
    of those of frost, where they are used.
    """
    manifest = read_manifest(folder)
    if manifest and (difference := _difference(manifest, wanted, photographs)):
        raise ValueError(f"{folder} was begun with {difference}; keep its settings or choose another folder")
    known = manifest.files if manifest else {}
    for file in files:
        if file not in known and (folder / file).exists():
            raise ValueError(f"{folder / file} is there, but not in the manifest; move it or choose another folder")
    if manifest is None:
        with explained(folder / MANIFEST):
            write_manifest(folder, wanted)
    return manifest or wanted


def _difference(there: Manifest, wanted: Manifest, photographs: str | None) -> str:
    """In what a folder differs from what is wanted; an empty text if in nothing."""
    settings = [
        f"{name} {'none' if old is None else old}, not {'none' if new is None else new}"
        for name, old, new in differences(there, wanted)
        if name in ("source", "seed", "limit", "severities", "table")
    ]
    if settings:
        return "; ".join(settings)
    if there.images_sha256 != wanted.images_sha256:
        return "other images or labels"
    if None not in (there.classes, wanted.classes) and there.classes != wanted.classes:
        return "other names of classes"
    frost = there.files.get(images_file("frost"))
    made_with = frost.photographs if frost else there.cells.get(PHOTOGRAPHS)
    return "other photographs of frost" if made_with and photographs and made_with != photographs else ""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say of an error of the file system which file it stopped, and how to go on."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{path} cannot be written ({error.strerror or error}); what is finished stays, and the same call goes on "
            "from there"
        ) from None


def write_array(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], parts: Iterable[NDArray[Any]]) -> StoredFile:
    """Stream an array into a .npy file.

    Written by plain calls: a disk that fills is an error here, where under a memory map it would kill the process.
    """
    header = io.BytesIO()
    layout = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, layout)
    digest = hashlib.sha256(header.getbuffer())
    with path.open("wb") as file:
        file.write(header.getbuffer())
        for part in parts:
            content = np.ascontiguousarray(part).data
            digest.update(content)
            file.write(content)
        return StoredFile(digest.hexdigest(), file.tell(), shape, __version__, None)


def find_fault(path: Path, entry: StoredFile) -> str | None:
    """What is wrong with a file, if anything."""
    size = path.stat().st_size
    if size != entry.bytes:
        return f"it had {size} bytes, not {entry.bytes}"
    return None if file_sha256(path) == entry.sha256 else "its content had changed"
