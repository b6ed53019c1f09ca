"""Images in files, decoded when they are used: a set of any size needs the memory of one batch."""

import hashlib
from collections.abc import Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from freqfast.data.class_lists import listed_classes
from freqfast.data.folders import TEST_SPLITS, misplaced, names_image
from freqfast.data.images import ImageData, Images, decode_image, mixed_order, rgb_levels
from freqfast.files import require_file
from freqfast.progress import Progress

Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
"""How images are scaled: Pillow's filters; all except "nearest" antialias."""

_PIXEL_LIMIT = 2**26  # few photographs have more
_TINY_IMAGENET_LIST = "val_annotations.txt"


@dataclass(frozen=True)
class ImageFiles:
    """Images in files in place of an array ``(N, H, W, 3)``: slicing reads nothing, and `numpy.asarray` decodes.

    An image is turned upright as its EXIF data says, converted to RGB, scaled so that its shorter side has `resize`
    pixels, and cropped in the middle: torchvision's ``Resize`` and ``CenterCrop``.

    Args:
        paths: The files.
        resize: Length of the shorter side in pixels; None to leave it.
        crop: Height and width in pixels; None for whole images, which must have one size.
        interpolation: See `Interpolation`.

    Raises:
        ValueError: If the interpolation is unknown, or the crop larger than `resize`. When decoded: if a file is no
            image, is grey of more than 8 bits, is smaller than the crop, or has another size than the first; the
            message names the file.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "grey.png"
        ...     Image.new("L", (64, 48), 128).save(path)
        ...     images = ImageFiles((path,), resize=24, crop=16)
        ...     print(images.shape, np.asarray(images[:1])[0, 0, 0])
        (1, 16, 16, 3) [128 128 128]
    """

    paths: tuple[Path, ...]
    resize: int | None = None
    crop: int | None = None
    interpolation: Interpolation = "bilinear"

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __post_init__(self) -> None:
        """Check what does not depend on the files."""
        if self.interpolation not in get_args(Interpolation):
            known = ", ".join(get_args(Interpolation))
            raise ValueError(f"interpolation must be one of {known}, got {self.interpolation!r}")
        if self.crop is not None and self.resize is not None and self.resize < self.crop:
            raise ValueError(
                f"no image scaled to {self.resize} pixels has a crop of {self.crop}; resize to {self.crop} or more"
            )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: slice | NDArray[Any]) -> "ImageFiles":
        part = replace(self, paths=tuple(self.paths[row] for row in np.arange(len(self))[rows]))
        if "_size" in self.__dict__:
            part.__dict__["_size"] = self._size  # so that it is read once and is the same for all parts
        return part

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(N, H, W, 3)``; reads the first image if there is no crop, unless `find_corrupt_files` did."""
        return (len(self.paths), *self._size, 3)

    @cached_property
    def _size(self) -> tuple[int, int]:
        if self.crop is not None:
            return self.crop, self.crop
        height, width, _ = self._decode(self.paths[0]).shape
        return height, width

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.uint8]:
        """Decode all images, in as many threads as torch is set to."""
        import torch  # takes seconds

        images = np.empty(self.shape, np.uint8)

        def fill(row: int) -> None:
            pixels = self._decode(self.paths[row])
            if pixels.shape != images.shape[1:]:
                size, first = (f"{shape[1]}x{shape[0]}" for shape in (pixels.shape, images.shape[1:]))
                raise ValueError(f"{self.paths[row]} has {size} pixels, the first image {first}; resize and crop them")
            images[row] = pixels

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            list(pool.map(fill, range(len(self.paths))))
        return images if dtype is None else images.astype(dtype, copy=False)

    def fingerprint(self) -> bytes:
        """A hash of the files' names, folders and sizes, and of how they are scaled; no file is read."""
        digest = hashlib.sha256(repr((self.resize, self.crop, self.interpolation)).encode())
        for path in self.paths:
            digest.update(f"{path.parent.name}/{path.name} {path.stat().st_size}\n".encode(errors="surrogateescape"))
        return digest.digest()

    def _decode(self, path: Path) -> NDArray[np.uint8]:
        require_file(path)
        return decode_image(path, str(path), _PIXEL_LIMIT, self.framed)

    def framed(self, image: Image.Image) -> NDArray[np.uint8]:
        """An opened image, processed like these: upright RGB levels, scaled and cropped."""
        return self._cropped(self._resized(Image.fromarray(rgb_levels(image))))

    def _resized(self, image: Image.Image) -> Image.Image:
        short = min(image.size)
        if self.resize is None or short == self.resize:
            return image
        width, height = (int(self.resize * side / short) for side in image.size)
        if width * height > _PIXEL_LIMIT:  # such as a single line of pixels
            raise ValueError(f"scaled to {width}x{height} pixels it has more than {_PIXEL_LIMIT:,}; cut it first")
        return image.resize((width, height), Image.Resampling[self.interpolation.upper()])

    def _cropped(self, image: Image.Image) -> NDArray[np.uint8]:
        pixels = np.asarray(image)
        if self.crop is None:
            return pixels
        if min(image.size) < self.crop:
            raise ValueError(f"its {image.width}x{image.height} pixels are fewer than the crop of {self.crop}")
        top, left = (round((side - self.crop) / 2) for side in pixels.shape[:2])
        return pixels[top : top + self.crop, left : left + self.crop]


def list_images(
    folder: str | Path,
    resize: int | None = None,
    crop: int | None = None,
    labels: str | Path | None = None,
    interpolation: Interpolation = "bilinear",
) -> tuple[Images, tuple[str, ...]]:
    """The images of a folder with their labels, in an order that mixes the classes; nothing is decoded.

    The folder, or a folder ``test``, ``valid``, ``val`` or ``validation`` in it, has a subfolder for each class; or it
    has images and a list of their classes, like the validation sets of Tiny-ImageNet (whose list and ``images`` are
    found) and ImageNet.
    Test images without classes are passed over, as Tiny-ImageNet's.

    Args:
        folder: The folder.
        resize: As for `ImageFiles`.
        crop: See there.
        labels: A text file: on each line an image's name, with or without its suffix, and its class, separated by
            a tab or a comma, else by spaces; what follows, such as ImageNet's boxes, is ignored.
        interpolation: See there.

    Returns:
        The images, with an `ImageFiles` in place of an array, and the names of the classes, sorted.

    Raises:
        FileNotFoundError: If there is no such folder or list, or no images.
        ValueError: If a line of the list names no image, or one for the second time, or an image lies below the folder
            of its class.

    Examples:
        >>> list_images("absent")
        Traceback (most recent call last):
        FileNotFoundError: absent is no folder; name one with a subfolder of images for each class
    """
    root = Path(folder)
    found = _labelled(_test_folder(root, labels) or root, labels)
    classes = tuple(sorted({name for _, name in found}))
    return _image_set(found, classes, resize, crop, interpolation), classes


def load_tree(
    folder: str | Path,
    resize: int | None,
    crop: int | None,
    interpolation: Interpolation = "bilinear",
    classes: Sequence[str] | None = None,
) -> ImageData:
    """Training and test images of a folder with ``train`` and one of `TEST_SPLITS`; nothing is decoded.

    The data has the folder's name and an `ImageFiles` in place of each array. Each split must be a folder for
    `list_images`, and raises the same errors. `classes` are the class names in the order of the labels, by default
    those of the training images, sorted; give a network's classes if the images have only some of them.

    Examples:
        >>> load_tree("absent", 256, 224)
        Traceback (most recent call last):
        FileNotFoundError: absent/train is no folder; name one with a subfolder of images for each class
    """
    root = Path(folder)
    train = _labelled(root / "train", None)
    test = _labelled(_test_folder(root) or root / "test", None)
    names = tuple(sorted({name for _, name in train}) if classes is None else classes)
    train_set, test_set = (_image_set(found, names, resize, crop, interpolation) for found in (train, test))
    return ImageData(root.resolve().name, names, train_set, test_set)


def _test_folder(root: Path, labels: str | Path | None = None) -> Path | None:
    """The folder of test images in a folder, the first that has classes; None if the folder itself has them.

    With a list of the classes, or where no classes are found, it is the first that is there.
    """
    there = [root / split for split in TEST_SPLITS if (root / split).is_dir()]
    if labels is None and there:
        if of_classes := [folder for folder in there if _has_class_folders(folder) or _has_list(folder)]:
            return of_classes[0]
        if not (root / "train").is_dir() and _has_class_folders(root, others=set(TEST_SPLITS)):
            return None
    return next(iter(there), None)


def _has_class_folders(folder: Path, others: Set[str] = frozenset()) -> bool:
    """Whether there are folders of classes, beside others.

    A folder ``images`` alone is none: so lie Tiny-ImageNet's test images, whose classes are not published.
    """
    folders = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    return not folders - others <= {"images"}


def _has_list(folder: Path) -> bool:
    return (folder / _TINY_IMAGENET_LIST).is_file()


def _labelled(root: Path, labels: str | Path | None) -> list[tuple[Path, str]]:
    """The images of a folder with their classes, sorted."""
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder; name one with a subfolder of images for each class")
    if labels is None and _has_list(root) and not _has_class_folders(root):
        labels = root / _TINY_IMAGENET_LIST
    if labels is None:
        deep = (each for each in root.glob("*/*/*/") if not (each.is_symlink() or each.parent.is_symlink()))
        paths = chain(root.glob("*/*"), root.glob("*/*/*"), *(folder.rglob("*") for folder in deep))
        found = sorted((path, parts[0]) for path in paths if names_image(parts := path.relative_to(root).parts))
        for path, name in found:
            if path.parent.parent != root and path.parent != root / name / "images":  # of Tiny-ImageNet
                if {each for _, each in found} == {"train"}:
                    raise ValueError(f"{root} has no test images, only train/; name {root / 'train'} to take those")
                raise misplaced(str(path))
    else:
        found = listed_classes(root / "images" if (root / "images").is_dir() else root, labels)
    if not found:
        raise FileNotFoundError(f"{root} has no images in class folders, and no list of their classes is named")
    return found


def _image_set(
    found: Sequence[tuple[Path, str]],
    classes: Sequence[str],
    resize: int | None,
    crop: int | None,
    interpolation: Interpolation,
) -> Images:
    """Images in an order that mixes the classes, with the numbers of their classes."""
    number_of = {name: number for number, name in enumerate(classes)}
    if unknown := next((path for path, name in found if name not in number_of), None):
        raise ValueError(f"{unknown} is of none of the {len(classes)} classes")
    numbers = np.array([number_of[name] for _, name in found], np.int64)
    order = mixed_order(numbers)
    files = ImageFiles(tuple(found[row][0] for row in order), resize, crop, interpolation)
    return Images(files, numbers[order])  # type: ignore[arg-type]


def find_corrupt_files(images: ImageFiles, progress: Progress | None = None) -> dict[int, str]:
    """Decode all images before long work; returns the error message of each corrupt one, by row.

    The messages name the files. Without a crop, the first sound image sets the size of all.
    """
    faults = {}
    for row in range(len(images)):
        part = images[row : row + 1]
        try:
            np.asarray(part)
            images.__dict__.setdefault("_size", part._size)
        except (OSError, ValueError) as error:
            faults[row] = str(error)
        if progress:
            progress(row + 1, len(images), "decoding images")
    return faults
