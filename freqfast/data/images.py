"""Labelled images: one array of pixels, or files in its place, and one array of labels."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from freqfast.progress import Progress

_SHOWN_CLASSES = 20  # of more, a message names a few
_PART = 64  # images that are read at a time


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images: a set that is sliced without reading it, whose pixels may be an array or lie in files.

    What fits in memory is ``numpy.asarray(images.pixels)``.

    Attributes:
        pixels: uint8 ``(N, H, W, 3)``: an array; or anything that is sliced alike and that
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
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4 or (in_memory and self.pixels.shape[3] not in (1, 3)):
            raise ValueError(
                f"images must be uint8 of shape (N, H, W, 3), got {self.pixels.dtype} of shape {self.pixels.shape}"
            )
        if self.labels.shape != (len(self.pixels),) or self.labels.dtype != np.int64:
            raise ValueError(
                f"labels must be {len(self.pixels)} int64, got {self.labels.dtype} of shape {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: slice | np.ndarray) -> "Images":
        """The images in these rows, in their order; sets are in mixed order, so the first ones are a fair sample."""
        return replace(self, pixels=self.pixels[rows], labels=self.labels[rows])

    def fingerprint(self, progress: Progress | None = None) -> str:
        """SHA-256 of pixels and labels, by which results know the images; those in files are read, with progress.

        Examples:
            >>> grey = Images(np.full((2, 8, 8, 3), 128, np.uint8), np.array([0, 1]))
            >>> grey.fingerprint()[:8], grey[:1].fingerprint()[:8]
            ('669a5092', '77c0d7c7')
        """
        digest = hashlib.sha256()
        for number, part in enumerate(_parts(self.pixels)):
            digest.update(np.ascontiguousarray(part).data)
            if progress and not isinstance(self.pixels, np.ndarray):
                progress(number * _PART + len(part), len(self), "reading images")
        digest.update(self.labels.astype("<i8").data)
        return digest.hexdigest()


def _parts(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """The pixels, some images at a time, so that those in files never are in memory at once."""
    return (np.asarray(pixels[start : start + _PART]) for start in range(0, len(pixels), _PART))


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set: training and test images of the same classes.

    Attributes:
        name: What it is called; the training and test images take this name and these classes.
        classes: Class names, in the order of the labels.
        train: Training images, in mixed order; see `mixed_order`.
        test: Test images, likewise.
        published: Rows ``(N,)`` of `test` in the order in which the data was published; None if that is unknown.

    Raises:
        ValueError: If there are fewer than two classes, a set is empty, a label names no class, or sizes differ.

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
        if len(self.classes) < 2:
            raise ValueError(f"{self.name} has one class, {''.join(self.classes)}, so there is nothing to tell apart")
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
        for part in ("train", "test"):
            object.__setattr__(self, part, replace(getattr(self, part), classes=self.classes, name=self.name))

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
        return replace(self, train=self.train[:cut], test=self.train[cut:], published=None)

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
        """Means and standard deviations, from histograms of some images at a time: exact, and without a large copy."""
        counts = np.zeros((3, 256), np.int64)
        sample = self.train.pixels if isinstance(self.train.pixels, np.ndarray) else self.train.pixels[:1024]
        for pixels in _parts(sample):
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


def data_hash(data: ImageData) -> str:
    """SHA-256 of the decoded images, the labels and the classes' names, whatever files they came from.

    Images that stay in files are not read for it: see `ImageFiles.names_hash`.
    """
    digest = hashlib.sha256(repr(data.classes).encode())
    for part in (data.train, data.test):
        digest.update(repr(part.pixels.shape).encode())
        in_memory = isinstance(part.pixels, np.ndarray)
        digest.update(np.ascontiguousarray(part.pixels).data if in_memory else part.pixels.names_hash())  # type: ignore[attr-defined]
        digest.update(part.labels.astype("<i8").data)
    return digest.hexdigest()
