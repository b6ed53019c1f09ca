"""Corrupting a test set into a folder, file by file."""

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freqfast.corruptions.batch import check_size, corrupt
from freqfast.corruptions.photographs import find_photographs, photographs_sha256, read_photograph
from freqfast.corruptions.registry import CORRUPTIONS, SEVERITIES, find_corruption
from freqfast.corruptions.tables import TableChoice, find_table
from freqfast.data.images import Images
from freqfast.files import lock_folder, remove_temporaries, replacing, require_utf8
from freqfast.progress import Progress, notebook_progress
from freqfast.robustness.archive.layout import (
    LABELS,
    MANIFEST,
    Manifest,
    begin_folder,
    check_limit,
    explained,
    find_fault,
    images_file,
    write_array,
    write_manifest,
)

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
    images: Images,
    names: Sequence[str] = CORRUPTIONS,
    severities: Iterable[int] = SEVERITIES,
    seed: int = 0,
    *,
    source: str = "images",
    classes: Sequence[str] | None = None,
    limit: int | None = None,
    frost_dir: str | Path | None = None,
    table: TableChoice = "auto",
    progress: Progress | None = None,
) -> WrittenArchive:
    """Corrupt a test set into a folder, see `freqfast.robustness.archive.layout`.

    A file appears whole or not at all. Files that an earlier call with the same settings left are verified against the
    manifest's hashes and kept; damaged ones are made anew. All settings are checked before anything is written.

    Args:
        folder: Where to write; made if it is not there.
        images: The test set; a memory map is read some images at a time.
        names: Corruptions; seed, frost_dir and table too are as for `freqfast.corruptions.corrupt`.
        severities: Which severities, of 1 to 5; every file holds them in ascending order.
        seed: Seed of the corruptions.
        source: Name of the data set, for the manifest.
        classes: Names of its classes, for the manifest; by them an evaluation knows a model of other classes.
        limit: Use the first images only.
        frost_dir: Folder of the frost photographs.
        table: Whose parameters; the manifest has the table that was taken.
        progress: Called for files while verifying, then for images.

    Raises:
        ValueError: If a setting makes no sense, is not the one that the folder was begun with, if a label has no class,
            if the folder holds a file of a wanted name that is not in its manifest, or if a corruption fails for want
            of a file of its own.
        FileNotFoundError: If ``frost`` is wanted and its photographs are missing.
        BlockingIOError: If another process writes into the folder.
        OSError: If a file cannot be written, as on a full disk; the files that are finished stay.
    """
    folder = Path(folder)
    names, severities = tuple(dict.fromkeys(names)), tuple(sorted(set(severities)))
    check_request(names, severities, frost_dir)
    check_limit(limit)
    used = images[:limit]
    check_images(used, classes, source)
    wanted = describe(used, source, classes, severities, seed, table)
    if limit is not None and limit < len(images):
        wanted = replace(wanted, limit=int(limit))

    def make(job: tuple[str, int, slice]) -> NDArray[np.uint8]:
        name, severity, some = job
        part, index = np.asarray(used.pixels[some]), np.arange(some.start, some.stop)
        try:
            return corrupt(part, name, severity, wanted.seed, index=index, frost_dir=frost_dir, table=wanted.table)
        except OSError as error:  # of a file of its own, not of the one that is written
            raise ValueError(f"corruption {name!r} cannot be computed: {error}") from error

    def blocks(made: Sequence[str]) -> Iterator[NDArray[np.uint8]]:
        return map(make, product(made, wanted.severities, _chunks(used.pixels)))

    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder; choose another")
    with explained(folder / MANIFEST):
        folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        progress = progress or notebook_progress() or (lambda done, total, message: None)
        return _fill(folder, wanted, used, names, frost_dir, blocks, progress)


def check_request(names: Sequence[str], severities: Sequence[int], frost_dir: str | Path | None = None) -> None:
    """Check what is asked of `write_archive`, before any data is read; raises what that does."""
    if not names:
        raise ValueError("no corruption is named; name at least one")
    for name in names:
        find_corruption(name, frost_dir)
        file = images_file(name)
        if file == LABELS or Path(file).name != file:
            raise ValueError(f"corruption {name!r} cannot be stored, since {file} is no file name for it")
    if "frost" in names:
        for path in find_photographs(frost_dir):
            read_photograph(path)  # refuses what cannot be read
    if not severities or not set(severities) <= set(SEVERITIES):
        raise ValueError(f"severities must be of 1, 2, 3, 4 and 5, got {', '.join(map(str, severities)) or 'none'}")


def describe(
    images: Images,
    source: str,
    classes: Sequence[str] | None,
    severities: Sequence[int],
    seed: int,
    table: TableChoice,
) -> Manifest:
    """The manifest of a folder for these images, with no file yet."""
    return Manifest(
        source=source,
        images=len(images),
        images_sha256=images.fingerprint(),
        limit=None,
        seed=operator.index(seed),  # a record holds no NumPy integers
        severities=tuple(map(int, severities)),
        classes=None if classes is None else tuple(classes),
        table=find_table(table, *images.pixels.shape[1:3]),
    )


def check_images(used: Images, classes: Sequence[str] | None, source: str) -> None:
    """Refuse images that cannot be corrupted, and labels and names that cannot be stored."""
    if not len(used):
        raise ValueError("there are no images to corrupt")
    check_size(*used.pixels.shape[1:3])
    low, high = used.labels.min(), used.labels.max()
    if low < 0 or (classes is not None and high >= len(classes)):
        known = "" if classes is None else f" for {len(classes)} classes"
        raise ValueError(f"labels must be class numbers, got {low} to {high}{known}")
    require_utf8((source, *(classes or ())), MANIFEST)


def _fill(
    folder: Path,
    wanted: Manifest,
    images: Images,
    names: Sequence[str],
    frost_dir: str | Path | None,
    blocks: Callable[[Sequence[str]], Iterator[NDArray[np.uint8]]],
    progress: Progress,
) -> WrittenArchive:
    """Verify what the folder has of the wanted files and make the others, of `blocks`; the folder must be locked."""
    corruption_of = {images_file(name): name for name in names}
    files = [LABELS, *corruption_of]
    photographs = photographs_sha256(frost_dir) if "frost" in names else None
    manifest = begin_folder(folder, wanted, files, photographs)

    present = [file for file in files if file in manifest.files and (folder / file).exists()]
    damaged: dict[str, str] = {}
    for done, file in enumerate(present):
        progress(done, len(present), f"verifying {file}")
        if fault := find_fault(folder / file, manifest.files[file]):
            damaged[file] = fault
    verified = tuple(file for file in present if file not in damaged)
    written = tuple(file for file in files if file not in verified)

    made = [corruption_of[file] for file in written if file != LABELS]
    corrupted = blocks(made)
    rows, done = len(images) * len(wanted.severities), 0

    def of_file(name: str) -> Iterator[NDArray[np.uint8]]:
        nonlocal done
        for severity, _ in product(wanted.severities, _chunks(images.pixels)):
            progress(done, rows * len(made), f"{name} {severity}")
            part = next(corrupted)
            yield part
            done += len(part)
        progress(done, rows * len(made), name)

    for file in written:
        remove_temporaries(folder, file)
        with explained(folder / file), replacing(folder / file) as temporary:
            if file == LABELS:
                dtype = np.min_scalar_type(max(255, int(images.labels.max())))  # uint8 where that will do, as published
                labels = np.tile(images.labels.astype(dtype), len(wanted.severities))
                entry = write_array(temporary, dtype, (rows,), [labels])
            else:
                shape = (rows, *images.pixels.shape[1:])
                entry = write_array(temporary, np.dtype(np.uint8), shape, of_file(corruption_of[file]))
            if file == images_file("frost"):
                entry = replace(entry, photographs=photographs)
            # Entered before the file has its name: if the process is stopped in between, the file is made again, while
            # one that is there and not in the manifest is always somebody else's.
            manifest = replace(manifest, files={**manifest.files, file: entry})
            write_manifest(folder, manifest)
    return WrittenArchive(written, verified, damaged)


def _chunks(images: NDArray[np.uint8]) -> list[slice]:
    size = max(1, _CHUNK_BYTES // math.prod(images.shape[1:]))
    return [slice(start, min(start + size, len(images))) for start in range(0, len(images), size)]
