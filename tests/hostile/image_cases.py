"""Hostile images and what holds them: folders, archives and CIFAR-10's batches, given to `freqfast corrupt`."""

import gzip
import io
import pickle
import struct
import tarfile
import zlib

import numpy as np
from PIL import Image

from tests.hostile.cases import case, file_case, write

CORRUPT = ("corrupt", "{}", "--corruption", "contrast", "--out", "out", "--limit", "1")


def png(size=(16, 16)):
    buffer = io.BytesIO()
    Image.new("RGB", size, 7).save(buffer, "PNG")
    return buffer.getvalue()


def chunk(kind, body):
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png_claiming(width, height):
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return start + chunk(b"IDAT", zlib.compress(bytes(2**22), 9)) + chunk(b"IEND", b"")


def image_case(name, content):
    @case(f"image: {name}", CORRUPT)
    def _(world):
        tree = world.copy("tree")
        write(tree / "train/wide/0.png", content(world) if callable(content) else content)
        return tree


image_case("10 gigapixels", png_claiming(100_000, 100_000))
image_case("2**31 columns", png_claiming(2**31 - 1, 1))
image_case("PostScript", lambda world: f"%!PS-Adobe-3.0 EPSF-3.0\n({world.canary}) (w) file closefile\n")
image_case("SVG", '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>')
image_case("a text of 100 MB", png()[:33] + chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8))) + png()[33:])


@case("image: a terabyte", CORRUPT)
def _(world):
    tree = world.copy("tree")
    with (tree / "train/wide/0.png").open("wb") as file:
        file.truncate(2**40)
    return tree


@case("tree: images that unpack to gigabytes", CORRUPT)
def _(world):
    tree = world.place / "bomb"
    content = png((1024, 1024))
    for split in ("train", "test"):
        (tree / split / "a").mkdir(parents=True)
        for i in range(100):
            (tree / split / "a" / f"{i}.png").write_bytes(content)
    return tree


def petabyte_member(world):
    info = tarfile.TarInfo("train/wide/0.png")
    info.size = 2**50
    return info.tobuf(tarfile.GNU_FORMAT) + png()


def gigabyte_header(world):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2**30
    return gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(2**24))


def endless_zeros(world):
    info = tarfile.TarInfo("ballast")
    info.size = 2**30
    block = gzip.compress(bytes(2**25), 6)  # 33 kB each, and 32 of them 1 GiB
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT)) + block * 32


file_case("tar: member of a petabyte", CORRUPT, "t.tar", petabyte_member)
file_case("tar: header of a gigabyte", CORRUPT, "t.tar.gz", gigabyte_header)
file_case("tar: zeros without end", CORRUPT, "t.tar.gz", endless_zeros)


def nested_lists():
    """A list that refers to itself many times over: 10**8 leaves from a few bytes of pickle."""
    value = [1] * 10
    for _ in range(7):
        value = [value] * 10
    return value


def batch_of_shape(shape):
    sound = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 2]}, protocol=2)
    place = sound.index(b"K\x02M\x00\x0c")
    other = pickle.dumps(shape, protocol=2)[2:-3]
    return sound[:place] + other.removesuffix(b"\x86") + sound[place + 5 :]


BATCHES = {
    "lists within lists": pickle.dumps({b"data": nested_lists(), b"labels": nested_lists()}),
    "bytes of an exabyte": b"\x80\x04\x8e" + struct.pack("<Q", 2**60),
    "absurd shape": batch_of_shape((2**40, 3072)),
    "negative shape": batch_of_shape((-5, 3072)),
}
for name, content in BATCHES.items():

    @case(f"batch: {name}", CORRUPT)
    def _(world, content=content):
        folder = world.copy("cifar-10-batches-py")
        (folder / "test_batch").write_bytes(content)
        return folder
