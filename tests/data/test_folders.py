"""Folders of images: which of them are classes, which images count, and trees of training and test images."""

import shutil

import numpy as np
import pytest
from PIL import Image

from freqfast.data import Preprocessing, list_images, load_data, load_tree
from tests.support.trees import assert_holds_tree, png


@pytest.fixture
def tiny(tmp_path):
    """As Tiny-ImageNet has them, the training images in a folder of their own in each class."""
    for name in ("train/ant/images/1", "train/bee/images/2", "train/bee/3", "val/bee/4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 32), (20 * int(name[-1]), 90, 200 // int(name[-1]))).save(tmp_path / f"{name}.png")
    return tmp_path


def stems(images):
    labelled = zip(images.pixels.paths, images.labels, strict=True)
    return sorted((path.stem, images.classes[label]) for path, label in labelled)


def test_class_folders(make_tree):
    tree = make_tree(splits=("val",), classes=("bee", "ant"), count=20)
    (tree / "val" / "ant" / "notes.txt").write_text("no image")
    images = list_images(tree, Preprocessing(crop=4))
    assert (images.name, images.classes, images.pixels.shape) == ("tree", ("ant", "bee"), (40, 4, 4, 3))
    assert [path.parent.name for path in images.pixels.paths] == [images.classes[label] for label in images.labels]
    assert sorted(images.pixels.paths) == sorted((tree / "val").glob("*/*.png"))
    assert np.bincount(images[:20].labels).min() >= 9  # mixed


def test_hidden_files_and_folders_are_none(make_tree):
    tree = make_tree(classes=("ant", "bee", ".ipynb_checkpoints"))
    (tree / "train" / "ant" / ".trash").mkdir()
    for name in ("ant/._2.png", "ant/.trash/3.png"):
        (tree / "train" / name).write_bytes(b"")
    data = load_data("cifar10", tree)
    assert (data.classes, len(data.train)) == (("ant", "bee"), 6)


@pytest.mark.parametrize("below", ["day1", "2019/jan", "2019/jan/1/a"])
def test_images_below_a_class_are_not_left_out(make_tree, refused, below):
    tree = make_tree()
    (tree / "test" / "bee" / below).mkdir(parents=True)
    (tree / "test" / "bee" / "1.png").rename(tree / "test" / "bee" / below / "1.png")
    match = f"{tree}/test/bee/{below}/1.png lies in a folder below its class; put it into the folder of the class"
    refused(tree, match)
    with pytest.raises(ValueError, match=match):
        list_images(tree)


def test_a_folder_of_training_images_alone_is_told_apart_from_one_of_classes(tiny):
    shutil.rmtree(tiny / "val")
    with pytest.raises(ValueError, match=f"or name {tiny / 'train'}, if that has the folders of the classes"):
        list_images(tiny)
    assert list_images(tiny / "train").classes == ("ant", "bee")


@pytest.mark.parametrize("name", ["test", "valid", "val", "validation"])
def test_a_class_may_be_called_as_a_folder_of_test_images(make_tree, name):
    tree = make_tree(splits=("test",), classes=("ant", name)) / "test"
    images = list_images(tree)
    assert (images.classes, len(images)) == (("ant", name), 6)


@pytest.mark.parametrize("left", [False, True])
def test_class_folders_count_more_than_tiny_imagenets_list(make_tree, left):
    """Many move its validation images into folders of their classes, and leave the list."""
    tree = make_tree()
    (tree / "test" / "val_annotations.txt").write_text("1.png\tb\t0\t0\t62\t62\n2.png\ta\t0\t0\t62\t62\n")
    if left:
        (tree / "test" / "images").mkdir()
    images = list_images(tree)
    assert (images.classes, len(images)) == (("ant", "bee"), 6)


# Trees of training and test images


@pytest.mark.parametrize("splits", [("train", "test", "valid"), ("train", "valid", "val"), ("train", "val")])
def test_the_first_known_split_is_the_test_set(make_tree, splits):
    tree = make_tree(splits=splits, classes=("bee", "ant"))
    data = load_data("cifar10", tree)
    assert (data.name, data.classes, data.published) == (tree.name, ("ant", "bee"), None)
    assert (data.test.name, data.test.classes) == (tree.name, ("ant", "bee"))
    assert_holds_tree(data, tree, splits[1])


def test_a_tree_of_images_that_are_scaled(tiny):
    data = load_data("folder", tiny, image_size=28)
    assert (data.name, data.classes) == (tiny.name, ("ant", "bee"))
    assert stems(data.train) == [("1", "ant"), ("2", "bee"), ("3", "bee")]
    assert (data.train.pixels.preprocessing.resize, data.test.pixels.shape) == (32, (1, 28, 28, 3))
    pixels = np.asarray(data.train.pixels) / 255
    np.testing.assert_allclose(data.mean, pixels.mean((0, 1, 2)))
    np.testing.assert_allclose(data.std, pixels.std((0, 1, 2)) + np.array([0, 1, 0]))  # green is constant
    assert load_data("cifar10", tiny).train.pixels.shape == (3, 32, 40, 3)


def test_a_tree_of_some_of_the_classes(tiny):
    images = load_tree(tiny, classes=("wasp", "bee", "ant"))
    assert (images.classes, images.test.labels) == (("wasp", "bee", "ant"), [1])
    with pytest.raises(ValueError, match=r"train/ant/images/1\.png is of none of the 1 classes"):
        load_tree(tiny, classes=("bee",))


@pytest.mark.parametrize("place", ["test/images/5.png", "test/5.png", "test/.trash/5.png"])
def test_test_images_without_classes_do_not_hide_those_for_validation(tiny, place):
    """As Tiny-ImageNet's, whose classes were never published, or those of a competition."""
    (tiny / place).parent.mkdir(parents=True)
    (tiny / place).write_bytes(png())
    assert stems(load_tree(tiny).test) == stems(list_images(tiny)) == [("4", "bee")]
    (tiny / "list.txt").write_text("5.png bee")
    if place != "test/.trash/5.png":
        assert stems(list_images(tiny, labels=tiny / "list.txt")) == [("5", "bee")]
    (tiny / "val").rename(tiny / "other")
    with pytest.raises((FileNotFoundError, ValueError), match=r"test has no images in class|test/.* is of none of"):
        load_tree(tiny)


def test_unusable_trees(make_tree, tmp_path, refused):
    with pytest.raises(FileNotFoundError, match="no images in class folders"):
        list_images(tmp_path)
    (tmp_path / "bare" / "train").mkdir(parents=True)
    (tmp_path / "bare" / "test").mkdir()
    refused(tmp_path / "bare", "train has no images in class folders")
    tree = make_tree()
    (tree / "test" / "wasp").mkdir()
    (tree / "test" / "wasp" / "0.png").write_bytes(png())
    refused(tree, "test/wasp/0.png is of none of the 2 classes")
    (tree / "test" / "wasp" / "0.png").write_bytes(b"")
    (tree / "test" / "wasp").rename(tree / "test" / ".wasp")
    (tree / "train" / "bee" / "1.png").write_bytes(png()[:45])
    refused(tree, "train/bee/1.png cannot be used as an image")
    large = make_tree(tmp_path / "large", count=1, size=(1100, 1000))
    refused(large, "has 1100x1000 pixels, more than 1,048,576; shrink it, or give a folder")


def test_linked_class_folders(make_tree, tmp_path):
    """Class folders may lie elsewhere; a link that leads up, or to the whole disk, is not followed."""
    tree = make_tree()
    for split in ("train", "test"):
        (tree / split / "bee").rename(tmp_path / f"bee of {split}")
        (tree / split / "bee").symlink_to(tmp_path / f"bee of {split}")
        (tree / split / "bee" / "up").symlink_to(tree)
        (tree / split / "bee" / "disk").symlink_to("/")
        (tree / split / "bee" / "notes.txt").symlink_to("nothing")
    data = load_data("cifar10", tree)
    assert (data.classes, len(data.train)) == (("ant", "bee"), 6)
    (tmp_path / "bee of train" / "1.png").unlink()
    assert len(load_data("cifar10", tree).train) == 5  # the cache noticed
