"""Image trees in folders."""

import io
import os
import tarfile
import tracemalloc
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from freqfast.data import load_data
from tests.support.trees import add_member, assert_holds_tree, png


@pytest.mark.parametrize("splits", [("train", "test", "valid"), ("train", "valid", "val"), ("train", "val")])
def test_the_first_known_split_is_the_test_set(make_tree, splits):
    tree = make_tree(splits=splits, classes=("bee", "ant"))
    data = load_data("cifar10", tree)
    assert (data.name, data.classes, data.published) == (tree.name, ("ant", "bee"), None)
    assert data.train.pixels.shape == (6, 6, 8, 3)
    assert_holds_tree(data, tree, splits[1])


def test_test_images_without_classes_do_not_hide_those_for_validation(make_tree, tmp_path, pack):
    tree = make_tree(splits=("train", "val"))
    make_tree(splits=("test",), classes=("images",))
    assert_holds_tree(load_data("cifar10", tree), tree, "val")
    assert_holds_tree(load_data("cifar10", pack(tree, tmp_path / "tree.tgz")), tree, "val")


def test_a_tree_is_mixed_and_an_archive_of_it_has_the_same_order(make_tree, tmp_path, pack, assert_same):
    tree = make_tree(count=40)
    data = load_data("cifar10", tree)
    assert np.bincount(data.train[:20].labels, minlength=2).min() >= 9
    again = load_data("cifar10", pack(tree, tmp_path / "again.tgz"))
    assert_same(again, replace(data, name="again.tgz"))
    with tarfile.open(tmp_path / "back.tar", "w") as tar:
        for path in sorted(tree.rglob("*.png"), reverse=True):
            tar.add(path, f"tree/{path.relative_to(tree)}")
    assert_same(load_data("cifar10", tmp_path / "back.tar"), replace(data, name="back.tar"))


def test_an_archive_of_a_tree_in_a_folder_that_is_called_as_a_part_of_it(make_tree, tmp_path, pack):
    tree = make_tree(tmp_path / "test")
    assert_holds_tree(load_data("cifar10", pack(tree, tmp_path / "tree.tgz")), tree)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (png()[:45], "train/bee/1.png cannot be used as an image"),
        (b"", "train/bee/1.png cannot be used as an image: its content is none of PNG, JPEG, BMP, WEBP$"),
        (png(mode="I;16"), r"train/bee/1.png .* more than 8 bits a channel \(Pillow's mode I(;16)?\); convert it to"),
        (png((9, 6)), "train/bee/1.png has 9x6 pixels, but .* has 8x6"),
        (png((2000, 2000)), "train/bee/1.png .* 2000x2000 pixels are more than 1,048,576; shrink it, or give a folder"),
        (png((14000, 14000), "1"), "train/bee/1.png cannot be used"),
    ],
    ids=["cut", "empty", "16 bits", "size", "large", "bomb"],
)
def test_unusable_image(make_tree, refused, content, match):
    tree = make_tree()
    (tree / "train" / "bee" / "1.png").write_bytes(content)
    refused(tree, match)


def test_hidden_folders_are_no_classes(make_tree):
    tree = make_tree()
    make_tree(classes=(".ipynb_checkpoints",))
    assert load_data("cifar10", tree).classes == ("ant", "bee")


@pytest.mark.parametrize("below", ["day1", "2019/jan", "2019/jan/1/a"])
def test_an_image_below_the_folder_of_its_class_is_not_left_out(make_tree, refused, pack, tmp_path, below):
    tree = make_tree()
    (tree / "train" / "bee" / below).mkdir(parents=True)
    (tree / "train" / "bee" / "1.png").rename(tree / "train" / "bee" / below / "1.png")
    match = f"{below}/1.png lies in a folder below its class; put it into the folder of the class, or elsewhere$"
    refused(tree, match)
    refused(pack(tree, tmp_path / "tree.tgz"), match)


def test_an_image_of_a_kind_that_is_not_read_is_not_left_out(make_tree, refused):
    make_tree(classes=("ant",))
    refused(make_tree(classes=("bee",), suffix=".gif"), r"bee/0.gif .* its content is none of PNG, JPEG, BMP, WEBP$")


@pytest.mark.parametrize(("suffix", "kind"), [(".jfif", "JPEG"), (".MPO", "JPEG"), (".apng", "PNG"), (".dib", "BMP")])
def test_images_under_rarer_names_of_their_kinds_are_not_left_out(make_tree, suffix, kind):
    tree = make_tree()
    with (tree / "train" / "bee" / f"9{suffix}").open("wb") as file:
        Image.new("RGB", (8, 6), "red").save(file, kind)
    assert len(load_data("cifar10", tree).train) == 7


@pytest.mark.parametrize("suffix", [".tga", ".jp2", ".jxl", ".psd"])
def test_images_of_kinds_that_python_does_not_know_are_not_left_out(make_tree, refused, suffix):
    tree = make_tree()
    (tree / "train" / "bee" / f"9{suffix}").write_bytes(b"pixels")
    refused(tree, rf"bee/9\{suffix} .* its content is none of PNG, JPEG, BMP, WEBP$")


def test_incomplete_trees(make_tree, tmp_path, refused):
    (tmp_path / "bare" / "train").mkdir(parents=True)
    (tmp_path / "bare" / "test").mkdir()
    refused(tmp_path / "bare", "no images under both train/<class>/ and test/<class>/")
    tree = make_tree()
    (tree / "test" / "wasp").mkdir()
    (tree / "test" / "wasp" / "0.png").write_bytes(png())
    refused(tree, "class 'wasp' has test images, but none under train/")


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


def test_a_name_that_is_no_regular_file(make_tree, refused):
    path = (tree := make_tree()) / "train" / "ant" / "9.png"
    for make in (os.mkfifo, partial(os.symlink, "nothing"), partial(os.symlink, "/dev/zero")):
        make(path)
        refused(tree, "train/ant/9.png is no regular file")
        path.unlink()


@pytest.fixture
def large_archive(tmp_path):
    """Writes an uncompressed archive of an image of noise, as often as wanted."""

    def write(size, count):
        buffer = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)).save(
            buffer, "PNG", compress_level=1
        )
        with tarfile.open(tmp_path / "large.tar", "w") as tar:
            for split in ("train", "test"):
                for i in range(count):
                    add_member(tar, f"d/{split}/ant/{i}.png", buffer.getvalue())
        return tmp_path / "large.tar"

    return write


def test_the_memory_taken_is_that_of_the_pixels(large_archive):
    """The files of an archive are not held beside their pixels, nor the pixels twice."""
    archive, pixels = large_archive(200, 50), 100 * 200 * 200 * 3
    tracemalloc.start()
    load_data("cifar10", archive)
    assert pixels < tracemalloc.get_traced_memory()[1] < 1.3 * pixels
    tracemalloc.stop()


def test_too_large_images_are_refused_before_their_archive_is_held(large_archive, refused):
    archive = large_archive(1100, 3)
    tracemalloc.start()
    refused(archive, "1100x1100 pixels are more than 1,048,576; shrink it, or give")
    assert tracemalloc.get_traced_memory()[1] < archive.stat().st_size / 2
    tracemalloc.stop()


def test_a_few_plain_images_may_unpack_to_far_more(make_tree):
    for path in (tree := make_tree()).rglob("*.png"):
        path.write_bytes(png((200, 200)))
    assert load_data("cifar10", tree).train.pixels.shape == (6, 200, 200, 3)


def test_files_that_unpack_to_far_more_pixels_than_photographs(make_tree, refused):
    tree, black = make_tree(count=1), png((1000, 1000))
    for split in ("train", "test"):
        for name in ("bee/0", *(f"ant/{i}" for i in range(70))):
            (tree / split / f"{name}.png").write_bytes(black)
    refused(tree, r"would unpack to 426,000,000 bytes of pixels, which photographs do not; shrink the images")
