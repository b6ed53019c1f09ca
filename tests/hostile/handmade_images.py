"""Hostile archives, trees, batches and images."""

import gzip
import io
import pickle
import struct
import tarfile
import zlib

import numpy as np
from PIL import Image

from tests.hostile.handmade import CORRUPT, Payload, case, write

# Archives and trees of images


def png(size=(16, 16)):
    buffer = io.BytesIO()
    Image.new("RGB", size, 7).save(buffer, "PNG")
    return buffer.getvalue()


def chunk(kind, body):
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png_claiming(width, height):
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return start + chunk(b"IDAT", zlib.compress(bytes(2**22), 9)) + chunk(b"IEND", b"")


def tar_of(world, members, name="t.tar", mode="w"):
    path = world.place / name
    with tarfile.open(path, mode) as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content) if info.isreg() and not info.size else info.size
            archive.addfile(info, io.BytesIO(content) if content else None)
    return path


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


for name in ("../train/a/0.png", "/train/a/0.png", "x/../../train/a/0.png", "/etc/train/a/0.png", "../data_batch_1"):
    case(f"tar member {name}", CORRUPT)(lambda world, name=name: tar_of(world, [(name, png())]))
for name, kind in {
    "symbolic link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "character device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE,
    "pipe": tarfile.FIFOTYPE,
}.items():
    case(f"tar of a {name}", CORRUPT)(
        lambda world, kind=kind: tar_of(
            world, [(special(f"{split}/a/0.png", kind, "/etc/passwd"), b"") for split in ("train", "test")]
        )
    )
case("tar with a pickle for a batch", CORRUPT)(
    lambda world: tar_of(
        world,
        [
            (f"cifar-10-batches-py/{name}", pickle.dumps(Payload(world.canary)))
            for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
        ],
    )
)
case("tar with a pickle for an image", CORRUPT)(
    lambda world: tar_of(world, [(f"{s}/a/0.png", pickle.dumps(Payload(world.canary))) for s in ("train", "test")])
)


@case("tar member of a petabyte", CORRUPT)
def _(world):
    info = tarfile.TarInfo("train/a/0.png")
    info.size = 2**50
    return write(world, "t.tar", info.tobuf(tarfile.GNU_FORMAT) + png())


@case("tar of a header that takes a gigabyte", CORRUPT)
def _(world):
    info = special("x", tarfile.XHDTYPE)
    info.size = 2**30
    return write(world, "t.tar.gz", gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(2**24)))


@case("tar of zeros without end", CORRUPT)
def _(world):
    block = gzip.compress(bytes(2**25), 6)  # 33 kB each, and 32 of them 1 GiB
    info = tarfile.TarInfo("ballast")
    info.size = 2**30
    return write(world, "t.tar.gz", gzip.compress(info.tobuf(tarfile.GNU_FORMAT)) + block * 32)


def image_case(name, content, file="train/a/0.png"):
    @case(f"image {name}", CORRUPT)
    def _(world):
        tree = world.copy("tree")
        (tree / file).write_bytes(content(world) if callable(content) else content)
        return tree


image_case("of 10 gigapixels", png_claiming(100_000, 100_000))
image_case("of 100 megapixels", png_claiming(10_000, 10_000))
image_case("of 2**31 columns", png_claiming(2**31 - 1, 1))
image_case("of no pixels", png_claiming(0, 0))
image_case("that is a pickle", lambda world: pickle.dumps(Payload(world.canary)))
image_case(
    "that is PostScript",
    lambda world: (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n("
        + str(world.canary).encode()
        + b") (w) file closefile\n"
    ),
)
image_case("that is SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>')
image_case("cut", png()[:40])
image_case("with a text of 100 MB", png()[:33] + chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8))) + png()[33:])


@case("image file of a terabyte", CORRUPT)
def _(world):
    tree = world.copy("tree")
    with (tree / "train/a/0.png").open("wb") as file:
        file.truncate(2**40)
    return tree


@case("images that unpack to gigabytes", CORRUPT)
def _(world):
    tree = world.place / "bomb"
    content = png((1024, 1024))
    for split in ("train", "test"):
        (tree / split / "a").mkdir(parents=True)
        for i in range(100):
            (tree / split / "a" / f"{i}.png").write_bytes(content)
    return tree


@case("tree with links that go round", CORRUPT)
def _(world):
    tree = world.copy("tree")
    for split in ("train", "test"):
        for name in ("c", "d", "e"):
            (tree / split / name).symlink_to(tree, target_is_directory=True)
    (tree / "train/a/0.png").write_bytes(b"")
    return tree


def batch_case(name, make):
    @case(f"batch {name}", CORRUPT)
    def _(world):
        folder = world.copy("cifar-10-batches-py")
        (folder / "test_batch").write_bytes(make(world))
        return folder


class Nested:
    """Pickles to a list that refers to itself many times over: 10**8 leaves from a few bytes."""

    @staticmethod
    def value():
        value = [1] * 10
        for _ in range(7):
            value = [value] * 10
        return value


batch_case("pickle", lambda world: pickle.dumps(Payload(world.canary)))
batch_case("pickle among labels", lambda world: pickle.dumps({b"data": b"", b"labels": [Payload(world.canary)]}))
batch_case("object array", lambda world: pickle.dumps({b"data": np.array([1], object), b"labels": [1]}))
batch_case("lists within lists", lambda world: pickle.dumps({b"data": Nested.value(), b"labels": Nested.value()}))
batch_case("bytes of an exabyte", lambda world: b"\x80\x04\x8e" + struct.pack("<Q", 2**60))
batch_case("opcodes for os.system", lambda world: b"cos\nsystem\n(S'touch " + str(world.canary).encode() + b"'\ntR.")
batch_case("nested marks", lambda world: b"(" * 10**6)
batch_case("array of an absurd shape", lambda world: _shaped((2**40, 3072)))
batch_case("array of a negative shape", lambda world: _shaped((-5, 3072)))


def _shaped(shape):
    sound = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 2]}, protocol=2)
    place = sound.index(b"K\x02M\x00\x0c")
    other = pickle.dumps(shape, protocol=2)[2:-3]
    return sound[:place] + other.removesuffix(b"\x86") + sound[place + 5 :]


@case(
    "frost photograph of 10 gigapixels",
    ("corrupt", "{tree}", "--corruption", "frost", "--out", "out", "--frost-dir", "{}"),
)
def _(world):
    folder = world.copy("frost")
    (folder / "frost2.png").write_bytes(png_claiming(100_000, 100_000))
    return folder
