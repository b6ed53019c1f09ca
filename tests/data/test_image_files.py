"""Images in files, decoded when they are used."""

import hashlib
import os
import struct
import zlib
from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional as transforms

from freqfast.data import ImageFiles, Images, Preprocessing, load_data
from freqfast.data.image_files import leave_out_corrupt, names_image
from freqfast.data.images import data_hash
from tests.support.trees import png


@pytest.fixture(scope="module")
def photos():
    """Smooth images of several sizes, which scaling changes little but measurably."""
    rng = np.random.default_rng(0)
    sizes = [(48, 64), (64, 48), (50, 50), (70, 33)]
    small = [Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)) for _ in sizes]
    return [image.resize(size, Image.Resampling.BICUBIC) for image, size in zip(small, sizes, strict=True)]


@pytest.fixture
def paths(tmp_path, photos):
    paths = tuple(tmp_path / f"{number}.png" for number in range(4))
    for path, image in zip(paths, photos, strict=True):
        image.save(path)
    return paths


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_scaling_and_cropping_are_those_of_torchvision(paths, photos, interpolation):
    images = ImageFiles(paths, Preprocessing(resize=32, crop=30, interpolation=interpolation))
    for pixels, image in zip(np.asarray(images), photos, strict=True):
        scaled = transforms.resize(image, [32], transforms.InterpolationMode(interpolation))
        np.testing.assert_array_equal(pixels, np.asarray(transforms.center_crop(scaled, [30, 30])))


def test_slices_decode_nothing(tmp_path):
    images = ImageFiles((tmp_path / "absent.png",) * 5, Preprocessing(crop=8))
    part = images[1:4][:2]
    assert (len(part), part.shape) == (2, (2, 8, 8, 3))
    with pytest.raises(FileNotFoundError, match=r"absent\.png does not exist"):
        np.asarray(part)


@pytest.mark.parametrize("rows", [np.array([True, False, True, True]), np.array([-1, 0]), slice(None, None, 2)])
def test_rows_are_chosen_as_those_of_an_array(paths, rows):
    images = Images(ImageFiles(paths, Preprocessing(resize=16, crop=16)), np.arange(4))
    np.testing.assert_array_equal(images.pixels[rows], np.asarray(images.pixels)[rows])
    np.testing.assert_array_equal(images[rows].labels, np.arange(4)[rows])


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


def test_names_of_images_also_of_kinds_that_are_not_read():
    """So that these are refused, not left out."""
    suffixes = ("png", "JPEG", "bmp", "webp", "jfif", "MPO", "apng", "dib", "gif", "tif", "tga", "jp2", "jxl", "psd")
    assert all(names_image(f"a.b.{suffix}") for suffix in suffixes)
    assert not any(map(names_image, ("._a.png", ".png", "png", "notes.txt", "a.png.txt")))


FAULTS = {
    "cut": (png((50, 50))[:60], "cannot be used as an image: "),
    "empty": (b"", r"cannot be used as an image: its content is none of PNG, JPEG, BMP, WEBP$"),
    "16 bits": (png(mode="I;16"), r"more than 8 bits a channel \(Pillow's mode I(;16)?\); convert it to"),
    "bomb": (png((10000, 10000), "1"), "10000x10000 pixels are more than 67,108,864; shrink it$"),
    "small": (png((8, 50)), "its 8x50 pixels are fewer than the crop of 30$"),
    "absent": (None, "does not exist$"),
}


@pytest.mark.parametrize(("content", "message"), FAULTS.values(), ids=FAULTS)
def test_images_that_cannot_be_used(paths, content, message):
    paths[1].unlink() if content is None else paths[1].write_bytes(content)
    images = ImageFiles(paths, Preprocessing(crop=30))
    message = f"^{paths[1]} .*{message}"
    with pytest.raises((FileNotFoundError, ValueError), match=message) as caught:
        np.asarray(images)
    calls = []
    sound, faults = leave_out_corrupt(Images(images, np.arange(4)), lambda *call: calls.append(call))
    assert faults == [str(caught.value)]
    assert (sound.pixels.paths, sound.labels.tolist()) == ((paths[0], *paths[2:]), [0, 2, 3])
    assert calls[-1] == (4, 4, "decoding images")
    with pytest.raises(ValueError, match=f"none of the images can be used; {message[1:]}"):
        leave_out_corrupt(Images(images[1:2], np.arange(1)))


def test_a_line_of_pixels_is_not_scaled_up(tmp_path):
    Image.new("L", (1, 2**14)).save(tmp_path / "line.png")
    with pytest.raises(ValueError, match=r"line\.png cannot be used as an image: scaled to 128x2097152 pixels"):
        np.asarray(ImageFiles((tmp_path / "line.png",), Preprocessing(resize=128, crop=128)))


def test_the_first_sound_image_tells_the_size_of_all(paths, photos):
    photos[0].save(paths[3])
    with pytest.raises(ValueError, match=rf"{paths[1]} has 64x48 pixels, the first image 48x64; resize and crop them"):
        np.asarray(ImageFiles(paths))
    paths[0].write_bytes(b"no image")
    sound, faults = leave_out_corrupt(Images(ImageFiles(paths), np.arange(4)))
    assert len(faults) == 3
    assert np.asarray(sound.pixels).shape == (1, 48, 64, 3)


@pytest.mark.parametrize("make", [os.mkfifo, partial(os.symlink, "/dev/zero")])
def test_a_name_that_is_no_regular_file(paths, make):
    paths[2].unlink()
    make(paths[2])
    with pytest.raises(ValueError, match=rf"{paths[2]} is no regular file"):
        np.asarray(ImageFiles(paths, Preprocessing(crop=8)))


def test_the_hash_of_files_that_are_not_read(make_tree):
    data = load_data("folder", tree := make_tree(), image_size=28)
    digest = hashlib.sha256(b"('ant', 'bee')")
    for part in (data.train, data.test):
        names = hashlib.sha256(b"(32, 28, 'bilinear')")
        for path in part.pixels.paths:
            names.update(f"{path.parent.name}/{path.name} {path.stat().st_size}\n".encode())
        digest.update(b"(6, 28, 28, 3)" + names.digest() + part.labels.tobytes())
    assert data_hash(data) == digest.hexdigest()  # as published results have it
    assert data_hash(load_data("folder", tree, image_size=21)) != data_hash(data)
    with (tree / "test/bee/1.png").open("ab") as file:
        file.write(b"more")
    assert data_hash(load_data("folder", tree, image_size=28)) != digest.hexdigest()
