"""Image trees: made, members of archives, and what a data set made of a tree must hold."""

import io
import tarfile

import numpy as np
from PIL import Image


def make_tree(folder, train=16):
    """An image-folder tree of 16x16 pixels: so many training images in each of two classes, and 4 test images."""
    rng = np.random.default_rng(0)
    x = np.arange(16)
    for split, count in (("train", train), ("test", 4)):
        for name, frequency in (("narrow", 0.4), ("wide", 0.1)):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                stripes = np.cos(2 * np.pi * frequency * (x[:, None, None] + rng.integers(16)))
                pixels = (128 + 80 * stripes + rng.normal(0, 20, (16, 16, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


def write_photograph(path, number=0, shift=0):
    """Noise of 40 + number rows and 50 columns, brighter by a shift of each channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 80, (40 + number, 50, 3)) + shift
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_colours(folder, count, suffix=".png"):
    """Red, green and blue images of 48x40 pixels, so many in each of these classes, each stronger than the last."""
    rng = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 120, (40, 48, 3), dtype=np.uint8)
            pixels[..., channel] += np.uint8(25 * number)
            Image.fromarray(pixels).save(folder / name / f"{name}-{number}{suffix}")
    return folder


def png(size=(8, 6), mode="RGB"):
    """A PNG of one colour."""
    buffer = io.BytesIO()
    Image.new(mode, size, 7).save(buffer, "PNG")
    return buffer.getvalue()


def add_member(archive, name, content=b"", kind=tarfile.REGTYPE, link=""):
    """Add a member to an open tar archive."""
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(content), kind, link
    archive.addfile(member, io.BytesIO(content))


def assert_holds_tree(data, tree, test_split="test"):
    """Every image of the tree is there once, under its class, and nothing else."""
    for images, split in ((data.train, "train"), (data.test, test_split)):
        pairs = zip(images.pixels, images.labels, strict=True)
        found = {(data.classes[label], image.tobytes()) for image, label in pairs}
        paths = list((tree / split).glob("*/*"))
        assert found == {(p.parent.name, np.asarray(Image.open(p).convert("RGB")).tobytes()) for p in paths}
        assert len(images) == len(paths)
