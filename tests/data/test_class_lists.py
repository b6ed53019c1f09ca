"""Lists of the classes of images."""

import pytest
from PIL import Image

from freqfast.data import list_images


@pytest.fixture
def folder(tmp_path):
    """Two images in a folder of their own, beside which a list may lie."""
    (tmp_path / "b").mkdir()
    for name in ("1.png", "3.JPEG"):
        Image.new("RGB", (8, 8)).save(tmp_path / "b" / name)
    return tmp_path


def class_of(images):
    return {path.name: images.classes[label] for path, label in zip(images.pixels.paths, images.labels, strict=True)}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("val_annotations.txt", ["x.JPEG\tn02\t0\t0\t62\t62", "y.JPEG\tn01\t1\t2\t3\t4"]),  # Tiny-ImageNet
        ("list.csv", ["ImageId,PredictionString", "x,n02 1 2 3 4", "y,n01 85 1 499 272 n01 1 1 2 2"]),  # ImageNet
        ("list.txt", ["x.JPEG n02", "", "y.JPEG n01"]),
    ],
)
def test_lists_of_classes(tmp_path, name, lines):
    (tmp_path / "images").mkdir()
    for letter in "xy":
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{letter}.JPEG")
    (tmp_path / name).write_text("\n".join(lines))
    images = list_images(tmp_path, labels=None if name == "val_annotations.txt" else tmp_path / name)
    assert images.classes == ("n01", "n02")
    assert class_of(images) == {"x.JPEG": "n02", "y.JPEG": "n01"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("1,polar bear\n3,polar fox", ("polar bear", "polar fox")),
        ("1\tpolar bear\t0\t9\n3\tpolar fox\t1\t9", ("polar bear", "polar fox")),
        ('file, class\n1.png, "bear, polar"\n3.JPEG, "bear, brown"', ("bear, brown", "bear, polar")),
        ("1,polar bear 1 2 3 4\n3,polar fox 1 2 3 4 polar fox 5 6 7 8", ("polar bear", "polar fox")),
        ("1,class 1\n3,class 2", ("class 1", "class 2")),
    ],
)
def test_classes_of_several_words(folder, lines, expected):
    (folder / "list.csv").write_text(lines)
    assert list_images(folder / "b", labels=folder / "list.csv").classes == expected


def test_lists_that_would_lose_or_repeat_an_image(folder):
    (folder / "list.txt").write_bytes(b"\xef\xbb\xbf1.png x\n3.JPEG y\n")
    assert len(list_images(folder / "b", labels=folder / "list.txt")) == 2
    for lines, message in {
        "1.png b\n9.png a\n": "line 2: '9.png' is no image in .* with a class after it",
        "l.png x\n3.JPEG y\n": "line 1: 'l.png' is no image in",
        "l x\n3 x\n": "line 1: 'l' is no image in",  # these are no names of columns
        "1.png x\n1 y\n": "line 2: '1' is listed twice",
        "1.png,\n3,y\n": "line 1: '1.png' is no image in .* with a class after it",
        "1.png,x\n,y\n": "line 2: '' is no image in .* with a class after it",
    }.items():
        (folder / "list.txt").write_text(lines)
        with pytest.raises(ValueError, match=message):
            list_images(folder / "b", labels=folder / "list.txt")


def test_images_of_one_stem(tmp_path):
    for name in ("x.png", "x.bmp", "x.png.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "list.txt").write_text("x.png a\nx.png.jpg b\nx.bmp c\n")
    images = list_images(tmp_path, labels=tmp_path / "list.txt")
    assert class_of(images) == {"x.png": "a", "x.png.jpg": "b", "x.bmp": "c"}
    (tmp_path / "list.txt").write_text("x.png a\nx b\n")
    with pytest.raises(ValueError, match="line 2: 'x' is no image in"):
        list_images(tmp_path, labels=tmp_path / "list.txt")
