"""Corrupted images as ImageNet-C has them: ``<corruption>/<severity>/<class>/<name>.JPEG``, of any number and size."""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from freqfast.corruptions import CORRUPTIONS, SEVERITIES
from freqfast.corruptions.photographs import photographs_sha256
from freqfast.corruptions.tables import TableChoice
from freqfast.data import ImageFiles, Images, Preprocessing, list_images
from freqfast.data.image_files import AS_THEY_ARE
from freqfast.files import lock_folder, remove_temporaries, replacing
from freqfast.progress import Progress
from freqfast.robustness.archive.layout import (
    LABELS,
    MANIFEST,
    PHOTOGRAPHS,
    begin_folder,
    check_limit,
    check_required,
    explained,
    read_manifest,
    sort_names,
    write_manifest,
)
from freqfast.robustness.archive.writing import check_images, check_request, describe
from freqfast.robustness.cells import CellSource, Key
from freqfast.robustness.judge import Corruption

_QUALITY = 85  # of JPEG, as published
_BATCH = 64


def write_tree(
    folder: str | Path,
    images: Images,
    classes: Sequence[str],
    names: Sequence[str] = CORRUPTIONS,
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    *,
    source: str = "images",
    frost_dir: str | Path | None = None,
    table: TableChoice = "auto",
    progress: Progress | None = None,
) -> int:
    """Corrupt images into a tree of JPEG files of quality 85, as ImageNet-C is published.

    A file appears whole or not at all; those that an earlier call with the same settings left are kept. The files of a
    corruption and severity, once finished, are kept if their hash is that of the manifest, else all made anew.

    Arguments are those of `freqfast.robustness.archive.writing.write_archive`. The classes name the folders; images
    in files are decoded when their turn comes.

    Returns:
        How many files were written.

    Raises:
        ValueError: If a setting makes no sense, is not the one that the folder was begun with, or a class or an image
            has a name that no file can have.
        BlockingIOError: If another process writes into the folder.
        OSError: If a file cannot be written; those that are finished stay.
    """
    folder = Path(folder)
    names, severities = tuple(dict.fromkeys(names)), tuple(sorted(set(severities)))
    check_request(names, severities, frost_dir)
    check_images(images, classes, source)
    paths = _relative_paths(images, classes)
    wanted = describe(images, source, classes, severities, seed, table)

    def make(job: tuple[str, int, bool, slice]) -> dict[str, bytes]:
        """Contents of a batch's files by path: of all or, to keep what is there, of those that are missing."""
        name, severity, keep, part = job
        cell = folder / name / str(severity)
        lost = [path for path in paths[part] if not (keep and (cell / path).exists())]
        if not lost:
            return {}
        change = Corruption(name, severity, wanted.seed, frost_dir, wanted.table)
        corrupted = change(np.asarray(images.pixels[part]), np.arange(part.start, min(part.stop, len(images))))
        pixels = dict(zip(paths[part], corrupted, strict=True))
        return {path: _as_jpeg(pixels[path]) for path in lost}

    progress = progress or (lambda done, total, message: None)
    photographs = photographs_sha256(frost_dir) if "frost" in names else None
    folder.mkdir(parents=True, exist_ok=True)
    written, cells = 0, list(product(names, severities))
    parts = [slice(start, start + _BATCH) for start in range(0, len(images), _BATCH)]
    with lock_folder(folder):
        foreign = () if (folder / MANIFEST).exists() else names  # without a manifest, what is there is none of ours
        manifest = begin_folder(folder, wanted, foreign, photographs)
        if photographs:
            manifest = replace(manifest, cells={**manifest.cells, PHOTOGRAPHS: photographs})
            write_manifest(folder, manifest)
        lacking: dict[Key, bool] = {}  # whether its files that are there are kept, since it was not finished
        for done, (name, severity) in enumerate(cells):
            progress(done, len(cells), f"verifying {name} {severity}")
            sha256 = manifest.cells.get(f"{name}/{severity}")
            if sha256 is None or sha256 != _hash_files(folder / name / str(severity), paths):
                lacking[name, severity] = sha256 is None
        made = map(make, [(*cell, keep, part) for cell, keep in lacking.items() for part in parts])
        for number, (name, severity) in enumerate(lacking):
            cell = folder / name / str(severity)
            for label in classes:
                (cell / label).mkdir(parents=True, exist_ok=True)
                remove_temporaries(cell / label)
            for part in parts:
                files = next(made)
                written += len(files)
                for path, content in files.items():
                    with explained(cell / path), replacing(cell / path) as temporary:
                        temporary.write_bytes(content)
                done = number * len(images) + min(part.stop, len(images))
                progress(done, len(lacking) * len(images), f"{name} {severity}")
            manifest = replace(manifest, cells={**manifest.cells, f"{name}/{severity}": _hash_files(cell, paths)})
            write_manifest(folder, manifest)
    return written


def _relative_paths(images: Images, classes: Sequence[str]) -> list[str]:
    """``<class>/<name>.JPEG`` of each image."""
    files = images.pixels
    stems = [p.stem for p in files.paths] if isinstance(files, ImageFiles) else [f"{n:08d}" for n in range(len(images))]
    paths = [f"{classes[label]}/{stem}.JPEG" for label, stem in zip(images.labels, stems, strict=True)]
    for name, count in Counter(classes).items():
        if Path(name).name != name or name[:1] in ("", "."):  # what is hidden is not read
            raise ValueError(f"class {name!r} cannot be a folder's name")
        if count > 1:
            raise ValueError(f"two classes are called {name!r}, and would share a folder; give them different names")
    for path, count in Counter(paths).most_common(1):
        if count > 1:
            raise ValueError(f"two images would be written as {path}; give them different names")
    return paths


def _hash_files(cell: Path, paths: Sequence[str]) -> str:
    """SHA-256 of the bytes of all files that are there, in order."""
    digest = hashlib.sha256()
    for path in paths:
        if (cell / path).is_file():
            digest.update((cell / path).read_bytes())
    return digest.hexdigest()


def _as_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=_QUALITY, optimize=True)
    return content.getvalue()


def is_tree(folder: str | Path) -> bool:
    """Whether a folder holds corrupted images as ImageNet-C has them, and not as CIFAR-10-C does."""
    return not (Path(folder) / LABELS).exists() and next(_cells(Path(folder)), None) is not None


def _cells(folder: Path) -> Iterator[Key]:
    """The corruptions and severities that a folder has, the published corruptions first and in their order."""
    there = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    for name in sort_names(there):
        for severity in SEVERITIES:
            if (folder / name / str(severity)).is_dir():
                yield name, severity


def tree_source(
    folder: str | Path,
    limit: int | None = None,
    required: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
    *,
    preprocessing: Preprocessing = AS_THEY_ARE,
) -> CellSource:
    """Corrupted images as ImageNet-C has them; a batch at a time is decoded.

    Args:
        folder: The folder, or one of the folders (``noise``, ``blur``, ...) in which ImageNet-C is published.
        limit: Images of each cell to use, of all classes alike; all by default.
        required: Corruptions to use, each of which must be there; by default all that are there.
        only: Leave out all but these; some may be missing.
        preprocessing: How the images are scaled and cropped.

    Raises:
        FileNotFoundError: If the folder has no such images, or lacks one of `required` or all of `only`.
        ValueError: If a corruption lacks a severity that others have, or is not finished; if a cell has other images
            than the first, or that has others than the manifest.
    """
    check_limit(limit)
    folder = Path(folder)
    cells = list(_cells(folder))
    names = tuple(dict.fromkeys(name for name, _ in cells))
    if not cells:
        raise FileNotFoundError(f"{folder} holds no <corruption>/<severity>/<class>/ folders of images")
    check_required(folder, names, required)
    names = tuple(dict.fromkeys(required or (name for name in names if name in (only or names))))
    if not names:
        raise FileNotFoundError(f"{folder} holds none of {', '.join(only or ())}")
    manifest = read_manifest(folder)
    if manifest:
        severities = manifest.severities
        cells = [(name, severity) for name, severity in cells if f"{name}/{severity}" in manifest.cells]  # are finished
    else:
        severities = tuple(sorted({severity for name, severity in cells if name in names}))
    if lacking := [f"{name} {level}" for name, level in product(names, severities) if (name, level) not in cells]:
        raise ValueError(
            f"{folder} lacks {lacking[0]} or a part of it; finish it or name the corruptions that it has in full"
        )

    def listed(name: str, severity: int) -> Images:
        return list_images(folder / name / str(severity), preprocessing)

    first_cell = folder / names[0] / str(severities[0])
    first = listed(names[0], severities[0])
    found = first.classes or ()
    relative = _names_of(first)
    classes = manifest.classes if manifest and manifest.classes else found
    if manifest and (len(first) != manifest.images or not set(found) <= set(classes)):
        raise ValueError(
            f"{first_cell} holds {len(first)} images, not the {manifest.images} of {MANIFEST}; remove those that are "
            "not its own, and repeat the call that wrote it, which makes those that are missing"
        )

    def check(name: str, severity: int, has_the_same: bool) -> None:
        if not has_the_same:
            raise ValueError(f"{folder / name / str(severity)} holds other images than {names[0]} {severities[0]}")

    def read(name: str, severity: int) -> tuple[np.ndarray, None]:
        images = listed(name, severity)
        check(name, severity, _names_of(images) == relative)
        return images.pixels[:limit], None

    digest = hashlib.sha256((folder / MANIFEST).read_bytes() if manifest else b"")
    if preprocessing.scales:
        stated = (preprocessing.resize, preprocessing.crop, preprocessing.interpolation or "bilinear")
        digest.update(repr(stated).encode())
    files = [str(path.relative_to(first_cell)) for path in first.pixels.paths]  # type: ignore[attr-defined]
    folders = {os.path.dirname(file) for file in files}
    for name, severity in product(names, severities):
        cell = folder / name / str(severity)
        there = {os.path.join(sub, file) for sub in folders if (cell / sub).is_dir() for file in os.listdir(cell / sub)}
        check(name, severity, there.issuperset(files))
        if manifest is None:
            digest.update((cell / files[0]).read_bytes())
    return CellSource(
        str(folder),
        names,
        severities,
        renumber(first.labels, found, classes)[:limit],
        read,
        sha256=digest.hexdigest(),
        seed=manifest.seed if manifest else None,
        classes=classes,
        table=manifest.table if manifest else None,
    )


def renumber(labels: NDArray[np.int64], names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Labels that are positions among names, as positions among classes."""
    return np.array([classes.index(name) for name in names])[labels]


def uncorrupted(cell: Path, limit: int | None, images: Images, classes: Sequence[str]) -> Images:
    """Those of the images in files that the first ones of a cell were made from, by their classes and names alone.

    Raises:
        ValueError: If one of them is not there.
    """
    stored = list_images(cell)
    labelled = zip(images.labels, images.pixels.paths, strict=True)  # type: ignore[attr-defined]
    rows = {f"{classes[label]}/{path.stem}": row for row, (label, path) in enumerate(labelled)}
    names = _names_of(stored)[:limit]
    if lost := [name for name in names if name not in rows]:
        raise ValueError(f"{cell} has {lost[0]}, which the uncorrupted images lack; name those it was made of")
    return images[np.array([rows[name] for name in names])]


def _names_of(images: Images) -> list[str]:
    return [f"{path.parent.name}/{path.stem}" for path in images.pixels.paths]  # type: ignore[attr-defined]
