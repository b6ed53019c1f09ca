"""Images in files, decoded when they are used."""

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms.v2 import functional as transforms

from freqfast.data.image_files import ImageFiles, find_corrupt_files, list_images


@pytest.fixture(scope="module")
def photos():
    """Smooth images of several sizes, which scaling changes little but measurably."""
    rng = np.random.default_rng(0)
    sizes = [(48, 64), (64, 48), (50, 50), (70, 33)]
    small = [Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)) for _ in sizes]
    return [image.resize(size, Image.Resampling.BICUBIC) for image, size in zip(small, sizes, strict=True)]


@pytest.fixture
def folder(tmp_path, photos):
    for name, image in zip(("b/1.png", "a/2.png", "b/3.JPEG", "a/4.png"), photos, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image.save(tmp_path / name, quality=95)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    return tmp_path


def test_scaling_and_cropping_are_those_of_torchvision(folder, photos):
    paths = tuple(folder / name for name in ("b/1.png", "a/2.png", "a/4.png"))
    found = np.asarray(ImageFiles(paths, resize=32, crop=30))
    for pixels, image in zip(found, (photos[0], photos[1], photos[3]), strict=True):
        scaled = transforms.resize(image, [32], transforms.InterpolationMode.BILINEAR)
        np.testing.assert_array_equal(pixels, np.asarray(transforms.center_crop(scaled, [30, 30])))


def test_slices_decode_nothing(folder, monkeypatch):
    images = ImageFiles((folder / "absent.png",) * 5, crop=8)
    part = images[1:4][:2]
    assert (len(part), part.shape) == (2, (2, 8, 8, 3))
    with pytest.raises(FileNotFoundError, match=r"absent\.png does not exist"):
        np.asarray(part)


def test_class_folders(folder):
    images, classes = list_images(folder, resize=16, crop=16)
    assert classes == ("a", "b")
    assert sorted(p.name for p in images.images.paths) == ["1.png", "2.png", "3.JPEG", "4.png"]
    assert [classes[label] for label in images.labels] == [path.parent.name for path in images.images.paths]
    assert set(images.head(2).labels) == {0, 1}  # mixed
    assert np.asarray(images.head(3).images).shape == (3, 16, 16, 3)
    nested = folder.parent / f"{folder.name}-set"
    (nested / "train" / "a").mkdir(parents=True)
    folder.rename(nested / "val")
    assert list_images(nested)[0].images.paths[0].is_relative_to(nested / "val")


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
    images, classes = list_images(tmp_path, labels=None if name == "val_annotations.txt" else tmp_path / name)
    assert classes == ("n01", "n02")
    assert {path.stem: classes[label] for path, label in zip(images.images.paths, images.labels, strict=True)} == {
        "x": "n02",
        "y": "n01",
    }


def test_a_list_with_an_unknown_image(folder):
    (folder / "list.txt").write_text("1.png b\n9.png a\n")
    with pytest.raises(ValueError, match=r"list.txt, line 2: '9.png' is no image in .* with a class after it"):
        list_images(folder / "b", labels=folder / "list.txt")


def test_a_folder_without_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="no images in class folders"):
        list_images(tmp_path)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "1"])
def test_other_modes_are_taken_as_rgb(tmp_path, mode):
    Image.new("RGB", (8, 8), (200, 100, 50)).convert(mode).save(
        tmp_path / "x.jpg", "PNG" if mode in "P RGBA 1" else "JPEG"
    )
    assert np.asarray(ImageFiles((tmp_path / "x.jpg",))).shape == (1, 8, 8, 3)


def test_images_are_turned_upright(tmp_path):
    image = Image.fromarray(np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3))
    turned = image.getexif()
    turned[0x0112] = 6  # the camera was held on its side
    image.save(tmp_path / "x.png", exif=turned)
    np.testing.assert_array_equal(np.asarray(ImageFiles((tmp_path / "x.png",)))[0], np.rot90(np.asarray(image), k=-1))


def test_images_that_cannot_be_used(folder):
    (folder / "a" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n corrupt")
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(folder / "a" / "4.png")
    images, _ = list_images(folder, crop=40)
    faults = find_corrupt_files(images.images)
    paths = images.images.paths
    by_name = {paths[row].name: message for row, message in faults.items()}
    assert set(by_name) == {"2.png", "4.png"}
    assert "more than 8 bits" in by_name["4.png"]
    for name, message in by_name.items():
        assert str(folder / "a" / name) in message
    with pytest.raises(ValueError, match=r"pixels are fewer than the crop of 60"):
        np.asarray(ImageFiles((folder / "b" / "1.png",), crop=60))
    with pytest.raises(ValueError, match=r"1\.png has 48x64 pixels, the first image 50x50; resize and crop them"):
        np.asarray(ImageFiles((folder / "b" / "3.JPEG", folder / "b" / "1.png")))
