"""Corrupted test sets on disk: the layout of the published CIFAR-10-C, and a manifest that says what is there.

A folder holds ``<corruption>.npy``, uint8 ``(S * N, H, W, 3)``: one block of the ``N`` images for each of the ``S``
severities, the least first; ``labels.npy``, their labels, block by block; and ``manifest.json``. The published archive
has all five severities and no manifest.
"""

import hashlib
import io
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freqfast._version import __version__
from freqfast.corruptions.batch import MIN_SIDE, corrupt
from freqfast.corruptions.photographs import find_photographs, photographs_sha256, shrunk_photographs
from freqfast.corruptions.registry import CORRUPTIONS, SEVERITIES, find_corruption
from freqfast.files import lock_folder, remove_temporaries, replacing
from freqfast.progress import Progress
from freqfast.robustness.archive.manifest import MANIFEST, Manifest, StoredFile, read_manifest, write_manifest

_CHUNK_BYTES = 2**23  # images corrupted at a time: enough for every core, little memory


@dataclass(frozen=True)
class WrittenArchive:
    """What `write_archive` did; all by file name.

    Attributes:
        written: Files made.
        verified: Files that were there already, with the hash that the manifest has.
        damaged: Those of the files made that were there, but not sound; each with what was wrong.
    """

    written: tuple[str, ...]
    verified: tuple[str, ...]
    damaged: dict[str, str]


def write_archive(
    folder: str | Path,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    names: Sequence[str] = CORRUPTIONS,
    severities: Iterable[int] = SEVERITIES,
    seed: int = 0,
    *,
    source: str = "images",
    classes: Sequence[str] | None = None,
    limit: int | None = None,
    frost_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> WrittenArchive:
    """Corrupt a test set into a folder, file by file.

    A file appears whole or not at all. Files that an earlier call with the same settings left are verified against the
    manifest's hashes and kept; damaged ones are made anew. All settings are checked before anything is written.

    Args:
        folder: Where to write; made if it is not there.
        images: uint8 ``(N, H, W, 3)``; a memory map is read some images at a time.
        labels: ``(N,)`` integers, at least 0.
        names: Corruptions, see `freqfast.corruptions.corrupt`.
        severities: Which severities, of 1 to 5; every file holds them in ascending order.
        seed: Seed of the corruptions.
        source: Name of the data set, for the manifest.
        classes: Names of its classes, for the manifest; by them an evaluation knows a model of other classes.
        limit: Use the first images only.
        frost_dir: Folder of the frost photographs, see `freqfast.corruptions.corrupt`.
        progress: Called as ``progress(done, total, message)``: files while verifying, then images.

    Raises:
        ValueError: If a setting makes no sense, is not the one that the folder was begun with, if a label has no class,
            or if the folder holds a file of a wanted name that is not in its manifest.
            A corruption that fails for want of a file counts too.
        FileNotFoundError: If ``frost`` is wanted and its photographs are not here.
        BlockingIOError: If another process writes into the folder.
        OSError: If a file cannot be written, as on a full disk; the files that are done stay.
    """
    folder = Path(folder)
    names, severities = tuple(dict.fromkeys(names)), tuple(sorted(set(severities)))
    check_request(names, severities, limit, frost_dir)
    severities, seed = tuple(map(int, severities)), operator.index(seed)  # JSON has no integers of NumPy
    limit = None if limit is None else operator.index(limit)
    used_images, used_labels = images[:limit], np.asarray(labels[:limit])
    if used_images.dtype != np.uint8 or used_images.ndim != 4 or used_images.shape[3] != 3 or not len(used_images):
        raise ValueError(f"images must be uint8 (N, H, W, 3), got {images.dtype} of shape {images.shape}")
    if min(images.shape[1:3]) < MIN_SIDE:
        raise ValueError(
            f"images must be at least {MIN_SIDE} x {MIN_SIDE} pixels, got {' x '.join(map(str, images.shape[1:3]))}"
        )
    if used_labels.shape != (len(used_images),) or used_labels.dtype.kind not in "iu" or used_labels.min() < 0:
        raise ValueError(f"labels must be {len(images)} integers >= 0, got {labels.dtype} of shape {labels.shape}")
    if classes is not None and used_labels.max() >= len(classes):
        raise ValueError(f"there are {len(classes)} classes, but labels up to {used_labels.max()}")
    wanted = Manifest(
        source=source,
        images=len(used_images),
        images_sha256=hash_images(used_images, used_labels),
        limit=limit if limit is not None and limit < len(images) else None,
        seed=seed,
        severities=severities,
        classes=None if classes is None else tuple(classes),
    )
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder; choose another")
    with _explained(folder / MANIFEST):
        folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        return _fill(folder, wanted, used_images, used_labels, names, frost_dir, progress)


def _fill(
    folder: Path,
    wanted: Manifest,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    names: Sequence[str],
    frost_dir: str | Path | None,
    progress: Progress | None,
) -> WrittenArchive:
    """Verify what the folder has of the wanted files and make the others; the folder must be locked."""
    files = ["labels.npy", *(f"{name}.npy" for name in names)]
    photographs = photographs_sha256(frost_dir) if "frost" in names else None
    manifest = _begin(folder, wanted, files, photographs)

    present = [name for name in files if name in manifest.files and (folder / name).exists()]
    damaged: dict[str, str] = {}
    for done, name in enumerate(present):
        if progress:
            progress(done, len(present), f"verifying {name}")
        if fault := _fault(folder / name, manifest.files[name]):
            damaged[name] = fault
    verified = tuple(name for name in present if name not in damaged)
    written = tuple(name for name in files if name not in verified)

    blocks = len(wanted.severities)
    total = wanted.images * blocks * sum(name != "labels.npy" for name in written)
    done = 0

    def corrupted(name: str) -> Iterator[NDArray[np.uint8]]:
        nonlocal done
        for severity in wanted.severities:
            for rows in _chunks(images):
                if progress:
                    progress(done, total, f"{name} {severity}")
                part, index = images[rows], np.arange(rows.start, rows.stop)
                try:
                    yield corrupt(part, name, severity, wanted.seed, index=index, frost_dir=frost_dir)
                except OSError as error:  # of a file of its own, not of the one that is written
                    raise ValueError(f"corruption {name!r} cannot be computed: {error}") from error
                done += len(part)
        if progress:
            progress(done, total, name)

    for name in written:
        if name == "labels.npy":
            dtype = np.min_scalar_type(max(255, int(labels.max())))  # uint8 where that will do, as published
            shape = (blocks * wanted.images,)
            _write(folder, name, [np.tile(labels.astype(dtype), blocks)], shape)
        else:
            shape = (blocks * wanted.images, *images.shape[1:])
            made_with = photographs if name == "frost.npy" else None
            _write(folder, name, corrupted(name.removesuffix(".npy")), shape, made_with)
    return WrittenArchive(written, verified, damaged)


def check_request(
    names: Sequence[str], severities: Sequence[int], limit: int | None = None, frost_dir: str | Path | None = None
) -> None:
    """Raise what `write_archive` would raise for such names, severities, limit and folder of photographs."""
    if not names:
        raise ValueError("no corruption is named; name at least one")
    for name in names:
        find_corruption(name, frost_dir)
        if name == "labels" or Path(name).name != name:
            raise ValueError(f"corruption {name!r} cannot be stored, since {name}.npy is no file name for it")
    if "frost" in names:
        shrunk_photographs(find_photographs(frost_dir), 32, 32)  # refuses what cannot be read
    if not severities or not set(severities) <= set(SEVERITIES):
        raise ValueError(f"severities must be of 1, 2, 3, 4 and 5, got {', '.join(map(str, severities)) or 'none'}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")


def _begin(folder: Path, wanted: Manifest, files: list[str], photographs: str | None) -> Manifest:
    """The manifest of the folder: the one that is there, if its settings are the wanted ones, or a new one."""
    manifest = read_manifest(folder)
    if manifest and (differences := _differences(manifest, wanted, photographs)):
        raise ValueError(
            f"{folder} was begun with {'; '.join(differences)}; keep its settings or choose another folder"
        )
    known = manifest.files if manifest else {}
    for name in files:
        if name not in known and (folder / name).exists():
            raise ValueError(f"{folder / name} is there, but not by freqfast corrupt; move it or choose another folder")
    if manifest is None:
        with _explained(folder / MANIFEST):
            write_manifest(folder, wanted)
    return manifest or wanted


def _differences(there: Manifest, wanted: Manifest, photographs: str | None) -> list[str]:
    pairs = {name: (getattr(there, name), getattr(wanted, name)) for name in ("source", "seed", "limit", "severities")}
    found = [f"{name} {_plain(old)}, not {_plain(new)}" for name, (old, new) in pairs.items() if old != new]
    if not found and there.images_sha256 != wanted.images_sha256:
        return ["other images or labels"]
    if not found and None not in (there.classes, wanted.classes) and there.classes != wanted.classes:
        return ["other names of classes"]
    frost = there.files.get("frost.npy")
    if not found and frost and photographs and frost.photographs != photographs:
        return ["other photographs of frost"]
    return found


def _plain(value: object) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _write(
    folder: Path, name: str, parts: Iterable[NDArray[Any]], shape: tuple[int, ...], photographs: str | None = None
) -> None:
    """Stream an array into a .npy file and enter it into the manifest.

    Written by plain calls: a disk that fills is an error here, where under a memory map it would kill the process.
    """
    parts = iter(parts)
    first = next(parts)
    header = io.BytesIO()
    layout = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, layout)
    digest = hashlib.sha256()
    remove_temporaries(folder, name)
    with _explained(folder / name), replacing(folder / name) as temporary:
        with temporary.open("wb") as file:
            for content in chain([header.getbuffer()], map(_content, chain([first], parts))):
                digest.update(content)
                file.write(content)
            size = file.tell()
        # Entered before the file has its name: whoever stops us in between leaves a file to be made, while one
        # that is there and not in the manifest is always somebody else's.
        manifest = read_manifest(folder)
        if manifest is None:
            raise FileNotFoundError(f"{folder / MANIFEST} has gone")
        files = manifest.files | {name: StoredFile(digest.hexdigest(), size, shape, __version__, photographs)}
        write_manifest(folder, replace(manifest, files=files))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say of an error of the file system which file it stopped, and how to go on."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{path} cannot be written ({error.strerror or error}); what is done stays, and the same call goes on "
            "from there"
        ) from None


def _fault(path: Path, entry: StoredFile) -> str | None:
    """What is wrong with a file, if anything."""
    size = path.stat().st_size
    if size != entry.bytes:
        return f"it had {size} bytes, not {entry.bytes}"
    with path.open("rb") as file:
        return None if hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256 else "its content had changed"


def _content(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).data


def hash_images(images: NDArray[np.uint8], labels: NDArray[np.integer]) -> str:
    """SHA-256 of images and labels, as a manifest has it in ``images_sha256``."""
    digest = hashlib.sha256()
    for rows in _chunks(images):
        digest.update(_content(images[rows]))
    digest.update(_content(labels.astype("<i8")))
    return digest.hexdigest()


def _chunks(images: NDArray[np.uint8]) -> list[slice]:
    size = max(1, _CHUNK_BYTES // max(1, math.prod(images.shape[1:])))
    return [slice(start, min(start + size, len(images))) for start in range(0, len(images), size)]
