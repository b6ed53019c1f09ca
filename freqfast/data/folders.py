"""Folders of images: a subfolder for each class, or a list of the images' classes. Nothing is decoded here.

Classes are sorted by name, as CIFAR-10's are, and images are put into an order that mixes them.
"""

import os
from collections.abc import Sequence, Set
from pathlib import Path

import numpy as np

from freqfast.data.class_lists import listed_classes
from freqfast.data.image_files import AS_THEY_ARE, ImageFiles, names_image
from freqfast.data.images import ImageData, Images, mixed_order
from freqfast.preprocessing import Preprocessing

TEST_SPLITS = ("test", "valid", "val", "validation")  # the first of which a folder has classes is its test set
_TINY_IMAGENET_LIST = "val_annotations.txt"


def list_images(
    folder: str | Path, preprocessing: Preprocessing = AS_THEY_ARE, labels: str | Path | None = None
) -> Images:
    """The images of a folder with their labels, in an order that mixes the classes; nothing is decoded.

    The folder, or a folder ``test``, ``valid``, ``val`` or ``validation`` in it, has a subfolder for each class; or it
    has images and a list of their classes, like the validation sets of Tiny-ImageNet (whose list and ``images`` are
    found) and ImageNet. Test images without classes are passed over, as Tiny-ImageNet's.

    Args:
        folder: The folder.
        preprocessing: How the images are scaled and cropped.
        labels: A text file: on each line an image's name, with or without its suffix, and its class, separated by
            a tab or a comma, else by spaces; what follows, such as ImageNet's boxes, is ignored.

    Returns:
        The images, with an `ImageFiles` in place of an array, the names of their classes, sorted, and the folder's.

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
    class_of = _labelled(_test_folder(root, labels) or root, labels)
    return _image_set(class_of, sorted(set(class_of.values())), preprocessing, root)


def load_tree(
    folder: str | Path, preprocessing: Preprocessing = AS_THEY_ARE, classes: Sequence[str] | None = None
) -> ImageData:
    """Training and test images of a folder with ``train`` and one of `TEST_SPLITS`; nothing is decoded.

    The data has the folder's name and an `ImageFiles` in place of each array. Each split must be a folder for
    `list_images`, and raises the same errors. `classes` are the class names in the order of the labels, by default
    those of the training images, sorted; give a network's classes if the images have only some of them.

    Examples:
        >>> load_tree("absent")
        Traceback (most recent call last):
        FileNotFoundError: absent/train is no folder; name one with a subfolder of images for each class
    """
    root = Path(folder)
    train, test = _labelled(root / "train"), _labelled(_test_folder(root) or root / "test")
    names = sorted(set(train.values())) if classes is None else classes
    train_set, test_set = (_image_set(class_of, names, preprocessing, root) for class_of in (train, test))
    return ImageData(train_set.name, tuple(names), train_set, test_set)


def find_images(folder: str | Path, preprocessing: Preprocessing = AS_THEY_ARE) -> Images:
    """All images in a folder and below it, without classes: each has the label 0; nothing is decoded.

    They are in a random order, the same in every call. Hidden files and folders are left out.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.

    Examples:
        >>> find_images("absent")
        Traceback (most recent call last):
        FileNotFoundError: absent is no folder with images
    """
    root, found = Path(folder), []
    for where, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(where, name) for name in names if names_image(name)]
    if not found:
        raise FileNotFoundError(f"{root} is no folder with images")
    return _image_set(dict.fromkeys(sorted(found), ""), [""], preprocessing, root)


def is_tree(folder: Path) -> bool:
    """Whether a folder has folders of training and of test images."""
    return (folder / "train").is_dir() and any((folder / split).is_dir() for split in TEST_SPLITS)


def _test_folder(root: Path, labels: str | Path | None = None) -> Path | None:
    """The folder of test images in a folder, the first that has classes; None if the folder itself has them.

    With a list of the classes, or where no classes are found, it is the first that is there.
    """
    there = [root / split for split in TEST_SPLITS if (root / split).is_dir()]
    if labels is None and there:
        if of_classes := [folder for folder in there if _class_folders(folder) or _has_list(folder)]:
            return of_classes[0]
        if not (root / "train").is_dir() and _class_folders(root, beside=set(TEST_SPLITS)):
            return None
    return next(iter(there), None)


def _class_folders(folder: Path, beside: Set[str] = frozenset()) -> Set[str]:
    """The names of the folders of classes, beside others.

    A folder ``images`` alone is none: so lie Tiny-ImageNet's test images, whose classes are not published.
    """
    names = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    return set() if names - beside <= {"images"} else names


def _has_list(folder: Path) -> bool:
    return (folder / _TINY_IMAGENET_LIST).is_file()


def _labelled(root: Path, labels: str | Path | None = None) -> dict[Path, str]:
    """The images of a folder with their classes, sorted."""
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder; name one with a subfolder of images for each class")
    if labels is None and _has_list(root) and not _class_folders(root):
        labels = root / _TINY_IMAGENET_LIST
    if labels is None:
        class_of = {path: name for name in sorted(_class_folders(root)) for path in _images_of_class(root / name)}
    else:
        class_of = listed_classes(root / "images" if (root / "images").is_dir() else root, labels)
    if not class_of:
        raise FileNotFoundError(f"{root} has no images in class folders, and no list of their classes is named")
    return class_of


def _images_of_class(folder: Path) -> list[Path]:
    """The images in the folder of a class and, as Tiny-ImageNet's lie, in its ``images``, sorted."""
    found: list[str] = []
    for where, folders, names in os.walk(folder):  # which follows no link below the folder
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = [os.path.join(where, name) for name in names if names_image(name)]
        if here and where not in (str(folder), str(folder / "images")):
            raise ValueError(
                f"{here[0]} lies in a folder below its class; put it into the folder of the class, or elsewhere; or "
                f"name {folder}, if that has the folders of the classes"
            )
        found += here
    return [Path(path) for path in sorted(found, key=lambda path: path.split(os.sep))]


def _image_set(class_of: dict[Path, str], classes: Sequence[str], preprocessing: Preprocessing, root: Path) -> Images:
    """Images in an order that mixes the classes, with the numbers of their classes."""
    number_of = {name: number for number, name in enumerate(classes)}
    if unknown := next((path for path, name in class_of.items() if name not in number_of), None):
        raise ValueError(f"{unknown} is of none of the {len(classes)} classes")
    numbers, paths = np.array([number_of[name] for name in class_of.values()], np.int64), tuple(class_of)
    order = mixed_order(numbers)
    files = ImageFiles(tuple(paths[row] for row in order), preprocessing)
    return Images(files, numbers[order], tuple(classes), root.resolve().name)  # type: ignore[arg-type]
