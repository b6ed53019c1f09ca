"""Image trees: ``train/<class>/*`` and ``test/<class>/*`` (or `TEST_SPLITS`), decoded into arrays.

Classes are in alphabetical order, as CIFAR-10's are. A tree is sorted by class, so its images are put into a fixed
mixed order.
"""

import io
import mimetypes
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from freqfast.data.images import ImageData, Images, decode_image, mixed_order, rgb_levels
from freqfast.data.members import DataFile
from freqfast.progress import Progress

TEST_SPLITS = ("test", "valid", "val", "validation")  # the first of which a tree has classes is its test set
_SPLITS = ("train", *TEST_SPLITS)
_KINDS = mimetypes.MimeTypes()  # by Python's own table, not the machine's, and the suffixes that it lacks
for _suffix in (".apng", ".dib", ".j2k", ".jfif", ".jp2", ".jxl", ".mpo", ".psd", ".tga"):
    _KINDS.add_type("image/other", _suffix, strict=False)
_PIXEL_LIMIT = 2**20  # larger images do not suit a data set that is held in memory
_PACKED_LIMIT, _PACKED_RATIO = 2**28, 100  # most bytes of pixels: the first, plus the second per byte of the files


def is_tree_image(parts: tuple[str, ...]) -> bool:
    """Whether a path is ``.../train/<class>/<image>``, or the like in a test split."""
    return len(parts) >= 3 and parts[-3] in _SPLITS and names_image(parts[-2:])


def is_below_class(parts: tuple[str, ...]) -> bool:
    """Whether a path is ``.../train/<class>/<folder>/.../<image>``, or the like; it is refused, not left out."""
    split = next((i for i, part in enumerate(parts[:-3]) if part in _SPLITS), None)
    return split is not None and not is_tree_image(parts) and names_image(parts[split + 1 :])


def names_image(parts: tuple[str, ...]) -> bool:
    """Whether a path has an image's suffix, of any kind, and no part of it is hidden (such as ``._a.png``).

    Images of kinds that are not read are refused when they are decoded, not left out.
    """
    kind, _ = _KINDS.guess_type("image" + PurePath(parts[-1]).suffix, strict=False)
    return (kind or "").startswith("image/") and not any(part.startswith(".") for part in parts)


def misplaced(name: str) -> ValueError:
    """The error for an image in a folder below its class."""
    return ValueError(f"{name} lies in a folder below its class; put it into the folder of the class, or elsewhere")


def decode_tree(files: Sequence[DataFile], progress: Progress | None = None) -> ImageData:
    """The images of a tree, both sets in mixed order.

    Raises:
        ValueError: If a split has no images, a class has no training images, there are several data sets, or an image
            is corrupt, too large, of another size, or in a folder below its class.
    """
    if lost := next((file for file in files if is_below_class(file.parts)), None):
        raise misplaced(lost.name)
    if len(roots := sorted({"/".join(file.parts[:-3]) for file in files})) > 1:
        raise ValueError(f"it holds several data sets ({', '.join(roots[:3])}); keep one")
    # A folder `images` alone is no class: so lie Tiny-ImageNet's test images, whose classes are not published.
    splits = {file.parts[-3] for file in files if file.parts[-2] != "images"}
    test_split = next((split for split in TEST_SPLITS if split in splits), None)
    if "train" not in splits or test_split is None:
        raise ValueError("there are no images under both train/<class>/ and test/<class>/")
    files = [file for file in files if file.parts[-3] in ("train", test_split)]
    classes = sorted({file.parts[-2] for file in files})
    train_rows, train_labels = _mixed_rows(files, "train", classes)
    test_rows, test_labels = _mixed_rows(files, test_split, classes)
    if untrained := set(range(len(classes))) - set(train_labels.tolist()):
        raise ValueError(f"class {classes[min(untrained)]!r} has test images, but none under train/")
    images = _decode_images(files, np.argsort(np.concatenate([train_rows, test_rows])), progress)
    count = len(train_rows)
    return ImageData(
        "images", tuple(classes), Images(images[:count], train_labels), Images(images[count:], test_labels)
    )


def _mixed_rows(
    files: Sequence[DataFile], split: str, classes: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of a split's files, in mixed order, and their labels."""
    numbers = [number for number, file in enumerate(files) if file.parts[-3] == split]
    numbers.sort(key=lambda number: files[number].parts)
    labels = np.array([classes.index(files[number].parts[-2]) for number in numbers], np.int64)
    order = mixed_order(labels)
    return np.array(numbers)[order], labels[order]


def _decode_images(files: Sequence[DataFile], rows: NDArray[np.int64], progress: Progress | None) -> NDArray[np.uint8]:
    """All images ``(N, H, W, 3)``, that of file ``i`` in row ``rows[i]``; threads gain nothing on small images."""
    first = _decode_image(files[0])
    stored, unpacked = sum(file.size for file in files), len(files) * first.size
    if unpacked > _PACKED_LIMIT + _PACKED_RATIO * stored:
        raise ValueError(
            f"its files of {stored:,} bytes would unpack to {unpacked:,} bytes of pixels, which photographs do not; "
            "shrink the images to the size of the network's input first"
        )
    images = np.empty((len(files), *first.shape), np.uint8)
    for done, (file, row) in enumerate(zip(files, rows, strict=True), start=1):
        pixels = _decode_image(file)
        if pixels.shape != first.shape:
            raise ValueError(
                f"{file.name} has {pixels.shape[1]}x{pixels.shape[0]} pixels, but {files[0].name} has "
                f"{first.shape[1]}x{first.shape[0]}; give a size to resize and crop them to"
            )
        images[row] = pixels
        if progress and (done % 500 == 0 or done == len(files)):
            progress(done, len(files), "decoding images")
    return images


def _decode_image(file: DataFile) -> NDArray[np.uint8]:
    way_out = "shrink it, or give a folder of such images a size to resize and crop them to"
    return decode_image(io.BytesIO(file.read()), file.name, _PIXEL_LIMIT, rgb_levels, way_out)
