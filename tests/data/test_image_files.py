"""Images in files, decoded when they are used."""

import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional as transforms

from freqfast.data import load_data
from freqfast.data.image_files import ImageFiles, find_corrupt_files, list_images, load_tree
from freqfast.data.images import data_hash


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


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_scaling_and_cropping_are_those_of_torchvision(folder, photos, interpolation):
    paths = tuple(folder / name for name in ("b/1.png", "a/2.png", "a/4.png"))
    found = np.asarray(ImageFiles(paths, 32, 30, interpolation))
    for pixels, image in zip(found, (photos[0], photos[1], photos[3]), strict=True):
        scaled = transforms.resize(image, [32], transforms.InterpolationMode(interpolation))
        np.testing.assert_array_equal(pixels, np.asarray(transforms.center_crop(scaled, [30, 30])))


def test_slices_decode_nothing(folder):
    images = ImageFiles((folder / "absent.png",) * 5, crop=8)
    part = images[1:4][:2]
    assert (len(part), part.shape) == (2, (2, 8, 8, 3))
    with pytest.raises(FileNotFoundError, match=r"absent\.png does not exist"):
        np.asarray(part)


@pytest.mark.parametrize("rows", [np.array([True, False, True, True]), np.array([-1, 0]), slice(None, None, 2)])
def test_rows_are_chosen_as_those_of_an_array(folder, rows):
    images, _ = list_images(folder, resize=16, crop=16)
    np.testing.assert_array_equal(images.pixels[rows], np.asarray(images.pixels)[rows])
    assert len(images[rows]) == len(images.labels[rows])


def test_class_folders(folder):
    images, classes = list_images(folder, resize=16, crop=16)
    assert classes == ("a", "b")
    assert sorted(p.name for p in images.pixels.paths) == ["1.png", "2.png", "3.JPEG", "4.png"]
    assert [classes[label] for label in images.labels] == [path.parent.name for path in images.pixels.paths]
    assert set(images[:2].labels) == {0, 1}  # mixed
    assert np.asarray(images[:3].pixels).shape == (3, 16, 16, 3)
    nested = folder.parent / f"{folder.name}-set"
    (nested / "train" / "a").mkdir(parents=True)
    folder.rename(nested / "val")
    assert list_images(nested)[0].pixels.paths[0].is_relative_to(nested / "val")


def test_the_first_sound_image_tells_the_size_of_all(tmp_path):
    for name, side in {"a/1.png": 8, "a/2.png": 9, "b/1.png": 8, "b/2.png": 8}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (side, side)).save(tmp_path / name)
    first = list_images(tmp_path)[0].pixels.paths[0]
    first.write_bytes(b"no image")  # listing decodes nothing
    images, _ = list_images(tmp_path)
    faults = find_corrupt_files(images.pixels)
    assert images.pixels.paths[0] == first
    assert 0 in faults
    assert images.pixels.shape[1:] == (8, 8, 3)
    assert all("9x9 pixels, the first image 8x8" in fault for row, fault in faults.items() if row)
    sound = images[np.array([row for row in range(4) if row not in faults])]
    assert np.asarray(sound.pixels).shape == (4 - len(faults), 8, 8, 3)


def test_hidden_files_and_folders_are_none(folder, photos):
    (folder / ".ipynb_checkpoints").mkdir()
    for name in ("a/._2.png", ".ipynb_checkpoints/1.png"):
        photos[0].save(folder / name)
    assert list_images(folder)[1] == ("a", "b")
    assert len(list_images(folder)[0]) == 4


@pytest.mark.parametrize("below", ["day1", "2019/jan", "2019/jan/1/a"])
def test_images_below_a_class_are_not_left_out(folder, photos, below):
    (folder / "a" / below).mkdir(parents=True)
    photos[0].save(folder / "a" / below / "5.png")
    with pytest.raises(
        ValueError, match=rf"a/{below}/5\.png lies in a folder below its class; put it into the folder of the"
    ):
        list_images(folder)


def test_a_folder_of_training_images_alone_is_told_apart_from_one_of_classes(tree):
    shutil.rmtree(tree / "val")
    with pytest.raises(ValueError, match=f"{tree} has no test images, only train/; name {tree / 'train'} to take"):
        list_images(tree)
    assert list_images(tree / "train")[1] == ("ant", "bee")


def test_images_of_a_kind_that_is_not_read_are_not_left_out(folder, photos):
    photos[0].save(folder / "a" / "5.tif")
    images, _ = list_images(folder, resize=16, crop=16)
    assert list(find_corrupt_files(images.pixels).values()) == [
        f"{folder}/a/5.tif cannot be used as an image: its content is none of PNG, JPEG, BMP, WEBP"
    ]


def test_a_folder_without_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="no images in class folders"):
        list_images(tmp_path)


@pytest.fixture
def tree(tmp_path, photos):
    """As Tiny-ImageNet has them, the training images in a folder of their own in each class."""
    for name in ("train/ant/images/1", "train/bee/images/2", "train/bee/3", "val/bee/4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        photos[int(name[-1]) - 1].save(tmp_path / f"{name}.png")
    return tmp_path


def test_a_tree_of_training_and_test_images(tree):
    data = load_data("folder", tree, image_size=28)
    assert (data.name, data.classes) == (tree.name, ("ant", "bee"))
    assert sorted((p.stem, int(n)) for p, n in zip(data.train.pixels.paths, data.train.labels, strict=True)) == [
        ("1", 0),
        ("2", 1),
        ("3", 1),
    ]
    assert (data.train.pixels.resize, data.test.pixels.shape, data.test.labels) == (32, (1, 28, 28, 3), [1])
    pixels = np.asarray(data.train.pixels) / 255
    np.testing.assert_allclose((data.mean, data.std), (pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))))
    more = load_tree(tree, 32, 28, classes=("wasp", "bee", "ant"))
    assert (more.classes, more.test.labels) == (("wasp", "bee", "ant"), [1])
    with pytest.raises(ValueError, match=r"train/ant/images/1\.png is of none of the 1 classes"):
        load_tree(tree, 32, 28, classes=("bee",))
    with pytest.raises(FileNotFoundError, match="absent/train is no folder"):
        load_tree(tree / "absent", 32, 28)


@pytest.mark.parametrize("left", [False, True])
def test_class_folders_count_more_than_tiny_imagenets_list(folder, left):
    """Many move its validation images into folders of their classes, and leave the list."""
    (folder / "val_annotations.txt").write_text("1.png\tb\t0\t0\t62\t62\n2.png\ta\t0\t0\t62\t62\n")
    if left:
        (folder / "images").mkdir()
    images, classes = list_images(folder)
    assert (classes, len(images)) == (("a", "b"), 4)


@pytest.mark.parametrize("name", ["test", "valid", "val", "validation"])
def test_a_class_may_be_called_as_a_folder_of_test_images(folder, name):
    (folder / "b").rename(folder / name)
    images, classes = list_images(folder)
    assert (classes, len(images)) == (("a", name), 4)


@pytest.mark.parametrize("place", ["test/images/5.png", "test/5.png", "test/.trash/5.png"])
def test_test_images_without_classes_do_not_hide_those_for_validation(tree, photos, place):
    """As Tiny-ImageNet's, whose classes were never published, or those of a competition."""
    (tree / place).parent.mkdir(parents=True)
    photos[0].save(tree / place)
    data = load_data("folder", tree, image_size=28)
    assert ([path.stem for path in data.test.pixels.paths], data.classes) == (["4"], ("ant", "bee"))
    images, classes = list_images(tree)
    assert ([path.stem for path in images.pixels.paths], classes) == (["4"], ("bee",))
    (tree / "list.txt").write_text("5.png bee")
    if place != "test/.trash/5.png":
        assert [path.stem for path in list_images(tree, labels=tree / "list.txt")[0].pixels.paths] == ["5"]
    (tree / "val").rename(tree / "other")
    with pytest.raises((FileNotFoundError, ValueError), match=r"test has no images in class|test/.* is of none of"):
        load_data("folder", tree, image_size=28)


def test_the_hash_of_files_that_are_not_read(tree):
    first = data_hash(load_data("folder", tree, image_size=28))
    assert data_hash(load_data("folder", tree, image_size=28)) == first != data_hash(load_tree(tree, 33, 28))
    with (tree / "val/bee/4.png").open("ab") as file:
        file.write(b"more")
    assert data_hash(load_data("folder", tree, image_size=28)) != first


def test_what_has_a_size_and_what_has_none(monkeypatch):
    for name, size in (("photos", 32), ("folder", 0)):
        with pytest.raises(ValueError, match=rf'data = "{name}" with image_size {size}: images in a folder'):
            load_data(name, image_size=size)
    monkeypatch.delenv("FREQFAST_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="say where the folder of images is"):
        load_data("folder", image_size=32)
    with pytest.raises(ValueError, match=r"interpolation must be one of nearest, .*, got 'cubic'"):
        ImageFiles((), interpolation="cubic")
    with pytest.raises(ValueError, match="no image scaled to 20 pixels has a crop of 32; resize to 32 or more"):
        ImageFiles((), resize=20, crop=32)


def deep_png(path):
    """A PNG of 16 bits a channel, which Pillow reads as RGB but does not write."""
    parts = {b"IHDR": struct.pack(">2I5B", 8, 8, 16, 2, 0, 0, 0), b"IDAT": None, b"IEND": b""}
    row = b"\0" + struct.pack(">3H", 200 * 257, 100 * 257, 50 * 257) * 8
    parts[b"IDAT"] = zlib.compress(row * 8)
    chunks = (struct.pack(">I", len(c)) + t + c + struct.pack(">I", zlib.crc32(t + c)) for t, c in parts.items())
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@pytest.mark.parametrize(
    ("mode", "kind", "wanted"),
    [
        ("L", "JPEG", (124, 124, 124)),
        ("CMYK", "JPEG", (200, 100, 50)),
        ("RGBA", "PNG", (200, 100, 50)),
        ("16 bits", "PNG", (200, 100, 50)),
        ("animated", "PNG", (200, 100, 50)),
        ("animated", "WEBP", (200, 100, 50)),
    ],
)
def test_other_kinds_are_taken_as_pillows_rgb(tmp_path, mode, kind, wanted):
    image, path = Image.new("RGB", (8, 8), (200, 100, 50)), tmp_path / f"x.{kind.lower()}"
    if mode == "animated":  # the first image counts
        image.save(path, kind, save_all=True, append_images=[Image.new("RGB", (8, 8), "black")], lossless=True)
    elif mode == "16 bits":
        deep_png(path)
    else:
        image.convert(mode).save(path, kind)
    found = np.asarray(ImageFiles((path,)))
    assert found.shape == (1, 8, 8, 3)
    assert np.abs(found.astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("orientation", range(10))
def test_images_with_odd_metadata_are_turned_upright(tmp_path, orientation):
    """Here the resolution is text, which Pillow reads and cannot write again."""
    image = Image.fromarray(np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3))
    plain = image.getexif()
    plain[0x0112] = orientation
    image.save(tmp_path / "plain.png", exif=plain)
    entries = struct.pack("<2HL2H", 0x0112, 3, 1, orientation, 0) + struct.pack("<2HL4s", 0x011A, 2, 3, b"72")
    image.save(tmp_path / "odd.png", exif=struct.pack("<4sLH", b"II*", 8, 2) + entries + bytes(4))
    expected = ImageOps.exif_transpose(Image.open(tmp_path / "plain.png"))
    assert (expected.size == (8, 12)) == (orientation in (5, 6, 7, 8))
    for name in ("plain.png", "odd.png"):
        np.testing.assert_array_equal(np.asarray(ImageFiles((tmp_path / name,)))[0], np.asarray(expected))


def test_images_that_cannot_be_used(folder, photos):
    (folder / "a" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n corrupt")
    (folder / "b" / "3.JPEG").write_bytes((folder / "b" / "3.JPEG").read_bytes()[:-300])
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(folder / "a" / "4.png")
    (folder / "b" / "5.png").symlink_to("absent.png")
    images, _ = list_images(folder, crop=40)
    faults = find_corrupt_files(images.pixels)
    paths = images.pixels.paths
    by_name = {paths[row].name: message for row, message in faults.items()}
    assert by_name.pop("5.png") == f"{folder}/b/5.png does not exist"
    assert set(by_name) == {"2.png", "3.JPEG", "4.png"}
    assert "more than 8 bits" in by_name["4.png"]
    for name, message in by_name.items():
        assert f"/{name} cannot be used as an image: " in message
    with pytest.raises(ValueError, match=r"pixels are fewer than the crop of 60"):
        np.asarray(ImageFiles((folder / "b" / "1.png",), crop=60))
    photos[2].save(folder / "a" / "4.png")
    with pytest.raises(ValueError, match=r"1\.png has 48x64 pixels, the first image 50x50; resize and crop them"):
        np.asarray(ImageFiles((folder / "a" / "4.png", folder / "b" / "1.png")))


def test_a_line_of_pixels_is_not_scaled_up(tmp_path):
    Image.new("L", (1, 2**14)).save(tmp_path / "line.png")
    with pytest.raises(ValueError, match=r"line\.png cannot be used as an image: scaled to 128x2097152 pixels"):
        np.asarray(ImageFiles((tmp_path / "line.png",), resize=128, crop=128))
