"""Sources of corrupted images: the published archive, a folder, or a test set that is corrupted on the fly."""

import operator
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from freqfast.corruptions import SEVERITIES, find_table
from freqfast.corruptions.batch import check_size
from freqfast.corruptions.photographs import photographs_sha256
from freqfast.corruptions.tables import TableChoice
from freqfast.data import cache
from freqfast.data.cifar10 import CLASSES
from freqfast.data.images import ImageData, Images
from freqfast.data.loading import load_place
from freqfast.data.stored import named_place
from freqfast.progress import Progress
from freqfast.robustness.archive.layout import Manifest, read_manifest
from freqfast.robustness.archive.published import ARCHIVE, SHA256, download_cifar10c, find_cifar10c, unpack_cifar10c
from freqfast.robustness.archive.reading import stored_source
from freqfast.robustness.archive.writing import check_request
from freqfast.robustness.cells import CellSource
from freqfast.robustness.judge import Corruption


def corrupted_source(
    images: Images,
    corruptions: Sequence[str],
    seed: int = 0,
    *,
    frost_dir: str | Path | None = None,
    table: TableChoice = "auto",
    name: str = "images",
    classes: tuple[str, ...] | None = None,
    progress: Progress | None = None,
) -> CellSource:
    """Corrupt images on the fly, at every severity; nothing is written.

    The images are those that `freqfast.robustness.archive.writing.write_archive` writes with the same seed.

    Args:
        images: The uncorrupted images, which are evaluated as well; those in files (`freqfast.data.image_files`) are
            decoded and corrupted batch by batch.
        corruptions: Names; this and the next three are as for `freqfast.corruptions.corrupt`.
        seed: Seed of the corruptions.
        frost_dir: Folder of the frost photographs.
        table: Whose table of parameters to use.
        name: What to call the images.
        classes: Class names, in the order of the labels, where known.
        progress: Called while images in files are read once, for their hash.

    Raises:
        ValueError: If a corruption is unknown, or the images are too small.
        FileNotFoundError: If ``frost`` is asked for and its photographs are missing.

    Examples:
        >>> grey = Images(np.full((2, 32, 32, 3), 128, np.uint8), np.array([0, 1]))
        >>> source = corrupted_source(grey, ["brightness"])
        >>> pixels, change = source.read("brightness", 4)
        >>> change(pixels, np.arange(2))[0, 0, 0]
        array([179, 179, 179], dtype=uint8)
    """
    names = tuple(dict.fromkeys(corruptions))
    check_request(names, SEVERITIES, frost_dir)
    size = images.pixels.shape[1:3]
    check_size(*size)
    taken = find_table(table, *size)
    sha256 = images.fingerprint(progress)
    if taken != "cifar10":  # the only one that results of version 0.1 know
        sha256 += taken
    if "frost" in names:
        sha256 += photographs_sha256(frost_dir)

    def read(corruption: str, severity: int) -> tuple[np.ndarray, Corruption]:
        return images.pixels, Corruption(corruption, severity, seed, frost_dir, taken)

    called = f"{name}, corrupted on the fly" + ("" if taken == "cifar10" else f" by the parameters of {taken}")
    seed = operator.index(seed)
    return CellSource(called, names, SEVERITIES, images.labels, read, images, sha256, seed, classes, taken)


def find_source(
    path: str | Path | None = None,
    required: Sequence[str] | None = None,
    limit: int | None = None,
    *,
    only: Sequence[str] | None = None,
    download: bool = False,
    data: str | Path | ImageData | None = None,
    progress: Progress | None = None,
) -> tuple[CellSource, list[str]]:
    """Corrupted images on disk, with the uncorrupted images if they are available.

    Args:
        path: A folder in the published layout, or the published archive, which is checked and unpacked into the cache.
            By default the published images, if the cache has them.
        required: Corruptions to use, each of which must be there; by default all that are there.
        limit: Number of images to use of each severity, from its start.
        only: Use only these corruptions; a note says which of them are missing.
        download: Fetch the published images if the cache does not have them.
        data: The uncorrupted test images, or where they are. By default they are looked for in FREQFAST_DATA (an
            environment variable) and in the cache; they are not downloaded.
        progress: See `freqfast.progress.Progress`.

    Returns:
        The source, and notes on what it lacks.

    Raises:
        FileNotFoundError: If there are no such images; the message says what to do.
        ValueError: If a file is not what it should be.
    """
    is_published = path is None or Path(path).is_file()
    if path is None:
        found = download_cifar10c(progress) if download else find_cifar10c()
        if found is None:
            raise FileNotFoundError(
                "no corrupted images are named and the published ones are not in the cache; name a folder or "
                f"{ARCHIVE}, download them (2.7 GiB), or corrupt a test set on the fly"
            )
        folder = found
    else:
        folder = unpack_cifar10c(path, progress) if is_published else Path(path)
    source = stored_source(folder, limit, required, only)
    if is_published:
        source = replace(source, name="CIFAR-10-C, as published", sha256=SHA256, classes=CLASSES)
    source, reason = _with_clean(source, folder, data, progress)
    lacking = [name for name in only or () if name not in source.corruptions]
    notes = [f"not in {folder}: {', '.join(lacking)}"] if lacking else []
    return source, notes + ([f"no clean accuracy: {reason}"] if reason else [])


def _with_clean(
    source: CellSource, folder: Path, data: str | Path | ImageData | None, progress: Progress | None
) -> tuple[CellSource, str | None]:
    """Add the test images that a folder was made from, if they are at hand; else say why not.

    Images are known by the manifest's hash of them. In a folder without manifest, as the published archive is, they are
    CIFAR-10's, in the published order, if the labels agree; where all are used, another order of the images makes no
    difference to accuracy.
    """
    manifest = read_manifest(folder)
    try:
        found = _test_images(manifest, data, progress)
    except (FileNotFoundError, ValueError) as error:
        if data is not None:
            raise
        return source, str(error)
    clean = _matching(source, manifest, found)
    if clean is None:
        called = data if isinstance(data, str | Path) else found.name
        way_out = "" if isinstance(data, str | Path) else "; name them as data"
        return source, f"the test images of {called} are not those that {folder} was made from{way_out}"
    return replace(source, clean=clean, classes=found.classes), None


def _test_images(
    manifest: Manifest | None, data: str | Path | ImageData | None, progress: Progress | None
) -> ImageData:
    """The data whose test images a folder may have been made from: what is named, or is here already."""
    if isinstance(data, ImageData):
        return data
    if data is None and manifest is not None and manifest.source == "photos":
        return load_place("photos")
    if data is not None or named_place():
        return load_place(data, progress)
    if (found := cache.recall("cifar10")) is None:
        raise FileNotFoundError("no test images are at hand; name the data")
    return found


def _matching(source: CellSource, manifest: Manifest | None, data: ImageData) -> Images | None:
    """The clean images of the source's cells, if the data holds them."""
    used = len(source.labels)
    if manifest is not None:
        made_from = data.test[: manifest.images]
        return made_from[:used] if made_from.fingerprint() == manifest.images_sha256 else None
    head = data.published_test[:used]
    if np.array_equal(head.labels, source.labels):
        return head
    is_whole = used == len(data.test) and data.name == "cifar10"
    return head if is_whole and np.array_equal(np.sort(head.labels), np.sort(source.labels)) else None
