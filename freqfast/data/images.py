"""Labelled images: one array of pixels, or files in its place, and one array of labels."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # of a file's content: Pillow runs programs for some others
_SHOWN_CLASSES = 20  # of more, a message names a few
_TURNS = {  # what turns an image upright, by EXIF's orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images: a set that is sliced without reading it, whose pixels may be an array or lie in files.

    What fits in memory is ``numpy.asarray(images.pixels)``.

    Attributes:
        pixels: uint8 ``(N, H, W, 3)``: a C-contiguous array; or anything that is sliced alike and that
            `numpy.asarray` makes such an array of, as `freqfast.data.image_files.ImageFiles`.
        labels: int64 ``(N,)``.
        classes: Class names, in the order of the labels; None where they are not known.
        name: What messages and results call the images.

    Raises:
        ValueError: If an array has another shape or type.

    Examples:
        >>> images = Images(np.zeros((4, 32, 32, 3), np.uint8), np.array([0, 1, 1, 0]))
        >>> images[:2].labels
        array([0, 1])
    """

    pixels: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] | None = None
    name: str = "images"

    def __post_init__(self) -> None:
        in_memory = isinstance(self.pixels, np.ndarray)  # the shape of ImageFiles may require reading a file
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4 or (in_memory and self.pixels.shape[3] != 3):
            raise ValueError(
                f"images must be uint8 of shape (N, H, W, 3), got {self.pixels.dtype} of shape {self.pixels.shape}"
            )
        if in_memory and not self.pixels.flags.c_contiguous:
            raise ValueError("images must be C-contiguous; pass numpy.ascontiguousarray(images)")
        if self.labels.shape != (len(self.pixels),) or self.labels.dtype != np.int64:
            raise ValueError(
                f"labels must be {len(self.pixels)} int64, got {self.labels.dtype} of shape {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: slice | np.ndarray) -> "Images":
        """The images in these rows, in their order; sets are in mixed order, so the first ones are a fair sample."""
        return replace(self, pixels=self.pixels[rows], labels=self.labels[rows])


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set: training and test images of the same classes.

    Attributes:
        name: What it is called.
        classes: Class names, in the order of the labels.
        train: Training images, in mixed order; see `mixed_order`.
        test: Test images, likewise.
        published: Rows ``(N,)`` of `test` in the order in which the data was published; None if that is unknown.

    Raises:
        ValueError: If a set is empty, a label names no class, or the images differ in size.

    Examples:
        >>> images = Images(np.full((4, 32, 32, 3), 51, np.uint8), np.array([0, 1, 1, 0]))
        >>> data = ImageData("grey", ("cat", "dog"), train=images, test=images)
        >>> data.mean
        (0.2, 0.2, 0.2)
        >>> len(data.hold_out(1).train)
        3
    """

    name: str
    classes: tuple[str, ...]
    train: Images
    test: Images
    published: np.ndarray | None = None

    def __post_init__(self) -> None:
        for part, images in (("training", self.train), ("test", self.test)):
            if len(images) == 0:
                raise ValueError(f"{self.name} has no {part} images")
            if not 0 <= images.labels.min() <= images.labels.max() < len(self.classes):
                raise ValueError(
                    f"{self.name}: {part} labels run from {images.labels.min()} to {images.labels.max()}, but there "
                    f"are {len(self.classes)} classes"
                )
        if self.train.pixels.shape[1:] != self.test.pixels.shape[1:]:
            raise ValueError(
                f"{self.name}: training images of shape {self.train.pixels.shape[1:]} and test images of shape "
                f"{self.test.pixels.shape[1:]} must have one size"
            )

    def hold_out(self, count: int) -> "ImageData":
        """The same data with its last `count` training images held out: they replace the test images.

        Raises:
            ValueError: If `count` is not a whole number from 0 to one less than the number of training images.
        """
        if count == 0:
            return self
        if count not in range(len(self.train)):
            raise ValueError(f"holdout must be a number of images in 0..{len(self.train) - 1}, got {count}")
        cut = len(self.train) - int(count)
        held = self.train[cut:]
        return replace(self, train=self.train[:cut], test=held, published=None)

    @property
    def published_test(self) -> Images:
        """The test images in the order in which they were published; in their own order if that is unknown."""
        return self.test if self.published is None else self.test[self.published]

    @property
    def mean(self) -> tuple[float, ...]:
        """Channel means of the training pixels in [0, 1]; of the first 1024 images if they stay in files."""
        return self._moments[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Channel standard deviations of the training pixels in [0, 1]; 1 where a channel is constant."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Means and standard deviations, from histograms of a few images at a time: exact, and without a large copy."""
        counts = np.zeros((3, 256), np.int64)
        sample = self.train.pixels if isinstance(self.train.pixels, np.ndarray) else self.train.pixels[:1024]
        for start in range(0, len(sample), 128):
            pixels = np.asarray(sample[start : start + 128])
            counts += np.stack([np.bincount(pixels[..., c].ravel(), minlength=256) for c in range(3)])
        levels = np.arange(256) / 255
        total = counts.sum(1)
        mean = counts @ levels / total
        std = np.sqrt((counts * (levels - mean[:, None]) ** 2).sum(1) / total)
        constant = np.count_nonzero(counts, axis=1) == 1  # not std == 0: the mean may be off by a rounding
        return tuple(mean.tolist()), tuple(np.where(constant, 1.0, std).tolist())


def list_classes(classes: Sequence[str], others: Sequence[str]) -> str:
    """Class names for a message on how they differ from others: all or, of many, the first that differ.

    Examples:
        >>> list_classes(["cat", "dog"], ["dog", "cat"])
        'cat, dog'
        >>> list_classes([f"n{number}" for number in range(200)], ["n0", "n2"])
        'n1, n2, n3, ... (number 1 on, of 200)'
    """
    if len(classes) <= _SHOWN_CLASSES:
        return ", ".join(classes)
    common = min(len(classes), len(others))
    first = next((number for number in range(common) if classes[number] != others[number]), common)
    shown = [*classes[first : first + 3], "..."] if first < len(classes) else ["no more"]
    return f"{', '.join(shown)} (number {first} on, of {len(classes)})"


def mixed_order(labels: np.ndarray) -> np.ndarray:
    """Rows ``(N,)`` of labels ``(N,)`` in a random order, the same in every call, that mixes the classes evenly.

    Any part of it, above all the first rows, has the classes in nearly the proportions of the whole.
    """
    rng = np.random.default_rng(0)
    position = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        position[rows] = (rng.permutation(len(rows)) + rng.random(len(rows))) / len(rows)
    return np.argsort(position, kind="stable")


def rgb_levels(image: Image.Image) -> np.ndarray:
    """An image's levels of red, green and blue, uint8 ``(H, W, 3)``, turned upright as its EXIF data says.

    Raises:
        ValueError: If it is grey and has more than 8 bits, which Pillow would clip to white.
    """
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"it has more than 8 bits a channel (Pillow's mode {image.mode}); convert it to 8 bits first")
    image.load()  # a PNG may have its EXIF data behind its pixels
    # Not by `ImageOps.exif_transpose`, which also writes the EXIF data anew and fails where any of it is odd.
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    upright = image if turn is None else image.transpose(turn)
    return np.asarray(upright.convert("RGB"))


def decode_image(
    file: Path | IO[bytes],
    name: str,
    pixel_limit: int,
    convert: Callable[[Image.Image], np.ndarray],
    way_out: str = "shrink it first",
) -> np.ndarray:
    """Decode a file that is not trusted, and return what `convert` makes of it; a ValueError names what is corrupt.

    Args:
        file: Its path, or the open file.
        name: What messages call it.
        pixel_limit: An image of more pixels is refused: a small file can claim any number.
        convert: Makes levels from the opened image, as `rgb_levels` does.
        way_out: What the message says of an image of more pixels.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > pixel_limit:
                raise ValueError(f"{image.width}x{image.height} pixels are more than {pixel_limit:,}; {way_out}")
            return convert(image)
    except UnidentifiedImageError:  # whose message has the address of an object
        reason = f"its content is none of {', '.join(FORMATS)}"
    except Exception as error:  # Pillow raises many kinds for corrupt files
        reason = " ".join(str(error).split())
    raise ValueError(f"{name} cannot be used as an image: {reason}")


def data_hash(data: ImageData) -> str:
    """SHA-256 of the decoded images, the labels and the classes' names, whatever files they came from.

    For images that stay in files, the files' names, folders and sizes, and how they are scaled, are hashed instead of
    the pixels.
    """
    digest = hashlib.sha256(repr(data.classes).encode())
    for part in (data.train, data.test):
        digest.update(repr(part.pixels.shape).encode())
        in_memory = isinstance(part.pixels, np.ndarray)
        digest.update(part.pixels.data if in_memory else part.pixels.fingerprint())  # type: ignore[attr-defined]
        digest.update(part.labels.astype("<i8").data)
    return digest.hexdigest()
