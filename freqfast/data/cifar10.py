"""CIFAR-10 from any of its layouts, or an image-folder tree in its place, decoded once.

Layouts:

- torchvision's folder ``cifar-10-batches-py`` or the archive ``cifar-10-python.tar.gz`` of Krizhevsky (2009);
- an image-folder tree ``train/<class>/*`` and ``test/<class>/*`` (or ``valid``, or ``val``), fastai's ``cifar10``
  folder among them, or a tar archive of one. Classes are in alphabetical order, as CIFAR-10's are.

A tree is sorted by class and keeps no trace of the published order, so its images are put into a fixed mixed order. The
batches name the file of each image, as fastai's tree does: they are put into the same order, so that a run is the same
whichever of the two it reads, and the published order, which the labels of CIFAR-10-C follow, is kept beside.
"""

import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pooch
from PIL import Image, UnidentifiedImageError

from freqfast.data import cache
from freqfast.data.images import ImageData, ImageSet, mixed_order, rgb_levels
from freqfast.data.pickles import read_batch
from freqfast.data.tars import MEMBER_LIMIT, read_members
from freqfast.progress import Progress

__all__ = ["load_cifar10", "named_place"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
FOLDERS = ("cifar-10-batches-py", "cifar10")
ARCHIVES = ("cifar-10-python.tar.gz", "cifar10.tgz")
BATCHES = {**{f"data_batch_{i}": "train" for i in range(1, 6)}, "test_batch": "test"}
TEST_SPLITS = ("test", "valid", "val")  # the first that a tree has is its test set
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # of the content: others run programs of their own, or are held by no data set
PIXEL_LIMIT = 2**20  # an image of more is no candidate for a data set held in memory, and may be a bomb
PACKED_LIMIT, PACKED_RATIO = 2**28, 100  # bytes of pixels, and per byte of the files


class _File(NamedTuple):
    """A file of a data set, by the parts of its path: its content, or where that can be read."""

    parts: tuple[str, ...]
    content: bytes | Path

    @property
    def name(self) -> str:
        return "/".join(self.parts)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def read(self) -> bytes:
        if self.size > MEMBER_LIMIT:
            raise ValueError(f"{self.size:,} bytes are too many")
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


def load_cifar10(path: str | Path | None = None, progress: Progress | None = None) -> ImageData:
    """Find CIFAR-10, decode it once into the cache, and load it.

    Args:
        path: An archive, a data set's folder, or the folder that holds either. Without it the environment variable
            FREQFAST_DATA is used, then what lies in the cache (an archive, or the CIFAR-10 that was decoded last), then
            a download (163 MiB, checked by its MD5).
        progress: Called as ``progress(done, total, message)``.

    Raises:
        FileNotFoundError: If the path or FREQFAST_DATA names no such data; no other place is tried then.
        ValueError: If the data is not sound; the message names the file.
    """
    source = _named_source(path) or _locate(cache.folder())
    if source is None:
        if (data := cache.recall("cifar10")) is not None:
            return data
        source = _download(progress)
    key = cache.fingerprint(source)
    if (data := cache.load(key)) is None:
        try:
            data = _decode(source, progress)
        except ValueError as error:
            raise ValueError(f"{source}: {' '.join(str(error).split())}") from None  # one line, whoever worded it
        cache.store(key, data)
    return data


def named_place(path: str | Path | None = None) -> str | None:
    """Where the user says that the data is: by a path, else by the environment variable FREQFAST_DATA; None if not."""
    return str(path) if path else os.environ.get("FREQFAST_DATA") or None


def _named_source(path: str | Path | None) -> Path | None:
    """The archive or data set's folder that the user names, if any."""
    if (given := named_place(path)) is None:
        return None
    origin = "" if path else "FREQFAST_DATA="
    place = Path(given).expanduser()
    if not place.exists():
        raise FileNotFoundError(f"{origin}{given} does not exist; name an archive or a folder of images")
    if (found := _locate(place)) is None:
        raise FileNotFoundError(
            f"{origin}{given} holds no data set: name an archive ({' or '.join(ARCHIVES)}), the folder "
            "cifar-10-batches-py, a folder with train/<class>/ and test/<class>/, or what holds one of these"
        )
    return found


def _locate(place: Path) -> Path | None:
    """The place itself, or the data set that lies in it."""
    candidates = [place, *(place / name for name in (*FOLDERS, *ARCHIVES))]
    return next((candidate for candidate in candidates if candidate.is_file() or _is_dataset(candidate)), None)


def _is_dataset(folder: Path) -> bool:
    is_tree = (folder / "train").is_dir() and any((folder / split).is_dir() for split in TEST_SPLITS)
    return is_tree or any((folder / name).is_file() for name in BATCHES)


class _DownloadBar:
    """Feeds a plain progress function through the interface that pooch expects of a bar."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.total, self.done = progress, 0, 0

    def update(self, count: int) -> None:
        self.done = min(self.done + count, self.total)
        self.progress(self.done, self.total, "downloading CIFAR-10")

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        pass


def _download(progress: Progress | None) -> Path:
    pooch.get_logger().setLevel("WARNING")  # progress speaks for it
    downloader = pooch.HTTPDownloader(progressbar=_DownloadBar(progress) if progress else False)
    try:
        return Path(pooch.retrieve(URL, f"md5:{MD5}", ARCHIVES[0], cache.folder(), downloader=downloader))
    except (OSError, ValueError) as error:  # requests' exceptions are OSErrors; pooch's of a wrong hash a ValueError
        raise FileNotFoundError(
            f"CIFAR-10 is not here and cannot be downloaded ({error}); pass --data or set FREQFAST_DATA"
        ) from None


def _decode(source: Path, progress: Progress | None) -> ImageData:
    if source.is_file():
        files = [_File(parts, content) for parts, content in read_members(source, _is_wanted, progress)]
    else:
        files = list(_folder_files(source))
    batches = {file.parts[-1]: file for file in files if file.parts[-1] in BATCHES}
    if batches:
        return _decode_batches(batches)
    return _decode_tree(files, progress)


def _folder_files(folder: Path) -> Iterator[_File]:
    """Wanted files of a data set's folder, to be read one by one later."""
    for pattern in ("*", "*/*/*"):
        for path in folder.glob(pattern):
            parts = path.relative_to(folder).parts
            if _is_wanted(parts) and path.is_file():
                yield _File(parts, path)


def _is_wanted(parts: tuple[str, ...]) -> bool:
    if not parts or parts[-1].startswith("."):  # such as macOS's ._name.png
        return False
    is_image = len(parts) >= 3 and parts[-3] in ("train", *TEST_SPLITS) and parts[-1].lower().endswith(SUFFIXES)
    return is_image or parts[-1] in BATCHES


def _decode_batches(batches: dict[str, _File]) -> ImageData:
    """The published batches, in the order of a tree of their files."""
    sets: dict[str, list[ImageSet]] = {"train": [], "test": []}
    names: dict[str, list[str]] = {"train": [], "test": []}
    for name, split in BATCHES.items():
        if name not in batches:
            raise ValueError(f"{name} is missing; use the whole cifar-10-batches-py")
        try:
            images, labels, files = read_batch(batches[name].read())
            sets[split].append(ImageSet(images, labels))
        except Exception as error:  # unpickling hostile bytes can raise anything
            raise ValueError(f"{name} is not a sound CIFAR-10 batch: {error}") from None
        names[split] += files
    train, test = (
        ImageSet(np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts]))
        for parts in sets.values()
    )
    train_rows, test_rows = _tree_order(train.labels, names["train"]), _tree_order(test.labels, names["test"])
    return _named_data(CLASSES, train.take(train_rows), test.take(test_rows), published=np.argsort(test_rows))


def _tree_order(labels: np.ndarray, names: list[str]) -> np.ndarray:
    """Rows ``(N,)`` in the order that a tree ``<class>/<name>`` is read in; as they are where not all have a name."""
    if len(set(zip(labels.tolist(), names, strict=False))) != len(labels):
        return np.arange(len(labels))
    rows = np.lexsort((np.array(names), labels))
    return rows[mixed_order(labels[rows])]


def _decode_tree(files: list[_File], progress: Progress | None) -> ImageData:
    """The images of a tree ``train/<class>/*`` and ``test/<class>/*``, in mixed order."""
    if len(roots := sorted({"/".join(file.parts[:-3]) for file in files})) > 1:
        raise ValueError(f"it holds several data sets ({', '.join(roots[:3])}); keep one")
    splits = {file.parts[-3] for file in files}
    test_split = next((split for split in TEST_SPLITS if split in splits), None)
    if "train" not in splits or test_split is None:
        raise ValueError("there are no images under both train/<class>/ and test/<class>/")
    files = sorted(file for file in files if file.parts[-3] in ("train", test_split))
    classes = sorted({file.parts[-2] for file in files})
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.array([label_of[file.parts[-2]] for file in files], np.int64)
    is_train = np.array([file.parts[-3] == "train" for file in files])
    if untrained := set(range(len(classes))) - set(labels[is_train].tolist()):
        raise ValueError(f"class {classes[min(untrained)]!r} has test images, but none under train/")
    images = _decode_images(files, progress)
    every = ImageSet(images, labels)
    train, test = (every.take(np.flatnonzero(chosen)[mixed_order(labels[chosen])]) for chosen in (is_train, ~is_train))
    return _named_data(tuple(classes), train, test)


def _decode_images(files: list[_File], progress: Progress | None) -> np.ndarray:
    """All images, ``(N, H, W, 3)``; one after another, since Python's lock leaves threads no gain on small ones."""
    first = _decode_image(files[0])
    stored, unpacked = sum(file.size for file in files), len(files) * first.size
    if unpacked > PACKED_LIMIT + PACKED_RATIO * stored:
        raise ValueError(
            f"its files of {stored:,} bytes would unpack to {unpacked:,} bytes of pixels, which photographs do not; "
            "shrink the images to the size of the network's input first"
        )
    images = np.empty((len(files), *first.shape), np.uint8)
    for i, file in enumerate(files):
        pixels = _decode_image(file)
        if pixels.shape != first.shape:
            raise ValueError(
                f"{file.name} has {pixels.shape[1]}x{pixels.shape[0]} pixels, but {files[0].name} has "
                f"{first.shape[1]}x{first.shape[0]}; resize the images to one size first"
            )
        images[i] = pixels
        if progress and ((i + 1) % 500 == 0 or i + 1 == len(files)):
            progress(i + 1, len(files), "decoding images")
    return images


def _decode_image(file: _File) -> np.ndarray:
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(file.read()), formats=FORMATS) as image:
            if image.width * image.height > PIXEL_LIMIT:
                raise ValueError(f"{image.width}x{image.height} pixels are too many for a data set held in memory")
            return rgb_levels(image)
    except UnidentifiedImageError:  # whose message has the address of an object
        raise ValueError(
            f"{file.name} cannot be used as an image: its content is none of {', '.join(FORMATS)}"
        ) from None
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise ValueError(f"{file.name} cannot be used as an image: {error}") from None


def _named_data(
    classes: tuple[str, ...], train: ImageSet, test: ImageSet, published: np.ndarray | None = None
) -> ImageData:
    """The data under the name "cifar10" if it has that set's classes and sizes, else "images"."""
    is_cifar10 = classes == CLASSES and train.images.shape == (50_000, 32, 32, 3) and len(test) == 10_000
    return ImageData("cifar10" if is_cifar10 else "images", classes, train, test, published)
