"""Hostile files made by hand, each with the command that it is given to.

Attacks that a room's own tests make on its readers are not repeated here.
"""

import gzip
import json
import struct
import tarfile
import zlib

import h5py
import numpy as np

from tests.hostile.mutate import with_header
from tests.support.trees import png

WEIGHTS = ("spectra", "torchvision:squeezenet1_1", "-o", "s.h5", "--weights", "{}")
MODEL = ("quality", "{}")
ARCHIVE = ("evaluate", "{model}", "--corrupted", "{}")
SHOW = ("show", "{}")
MERGE = ("evaluate", "{}")
STUDY = ("study", "{}", "--table")
CORRUPT = ("corrupt", "{}", "--corruptions", "contrast", "--out", "out", "--limit", "1")


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def written(name, content):
    """Makes a file of this content, a function of the world, text or bytes."""
    return lambda world: write(world.place / name, content(world) if callable(content) else content)


# Weights and models


def model_described(**changes):
    """Makes the sound model's file with another description."""

    def content(world):
        sound = (world.sound / "model.safetensors").read_bytes()
        size = int.from_bytes(sound[:8], "little")
        header = json.loads(sound[8 : 8 + size])
        described = json.loads(header["__metadata__"]["freqfast"])
        header["__metadata__"]["freqfast"] = json.dumps({**described, **changes})
        return with_header(json.dumps(header).encode(), sound[8 + size :])

    return written("m.safetensors", content)


# HDF5


def edited(edit):
    """Makes the sound export, edited."""

    def make(world):
        path = world.copy("spectra.h5")
        with h5py.File(path, "a") as file:
            edit(file)
        return path

    return make


def cycle_of_groups(file):
    del file["entry/spectra"]
    file["entry/spectra"] = file["entry"]


def compound_power(file):
    del file["entry/spectra/power"]
    file["entry/spectra/power"] = np.zeros((2, 8, 8), [("a", "f4")])


# Images and what holds them


def chunk(kind, body):
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png_claiming(width, height):
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return start + chunk(b"IDAT", zlib.compress(bytes(2**22), 9)) + chunk(b"IEND", b"")


def postscript(world):
    return f"%!PS-Adobe-3.0 EPSF-3.0\n({world.canary}) (w) file closefile\n"


def long_text(world):
    content = png((16, 16))
    return content[:33] + chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8))) + content[33:]


def tree_with(content):
    """Makes a tree of images, one of which is this."""

    def make(world):
        tree = world.copy("tree")
        write(tree / "train/wide/0.png", content(world) if callable(content) else content)
        return tree

    return make


def tree_with_a_terabyte(world):
    tree = world.copy("tree")
    with (tree / "train/wide/0.png").open("wb") as file:
        file.truncate(2**40)
    return tree


def endless_zeros():
    info = tarfile.TarInfo("ballast")
    info.size = 2**30
    block = gzip.compress(bytes(2**25), 6)  # 33 kB each, and 32 of them 1 GiB
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT)) + block * 32


NESTED_HEADER = with_header(b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b"")
ESCAPE = "\x1b[2J\x1b]0;owned\x07"
RESULT = """{"schema": "freqfast-evaluation-1", "clean": null, "provenance": null,
"outcomes": {"\\u001b[2J": {"1": {"images": 1, "correct": "gA==", "bins": [], "images_crc32": 0}}}}"""
STUDY_HEAD = 'title = "x"\nseeds = [0]\nbaseline = "a"\n'


CASES = {
    "safetensors: nested header": (written("w.safetensors", NESTED_HEADER), WEIGHTS),
    "model: vast width": (model_described(model={"name": "resnet18", "width": 2**40, "classes": 2}), MODEL),
    "model: a million classes": (model_described(classes=["x"] * 10**6), MODEL),
    "model: escape sequence": (model_described(model={"name": ESCAPE, "width": 8}), MODEL),
    "result: number of 5000 digits": (written("r.json", "9" * 5000), MERGE),
    "result: escape sequence": (written("r.json", RESULT), MERGE),
    "study: nested tables": (written("s.toml", STUDY_HEAD + "[" + "a." * 5000 + "a]"), STUDY),
    "study: escape sequence": (written("s.toml", STUDY_HEAD + '[arms.a]\nrecipe = "\\u001b[2J"\n'), STUDY),
    "HDF5: cycle of groups": (edited(cycle_of_groups), SHOW),
    "HDF5: cycle of layers": (edited(lambda file: file["entry/layers"].update(round=file["entry/layers"])), SHOW),
    "HDF5: compound type": (edited(compound_power), SHOW),
    "HDF5: escape sequence": (edited(lambda file: file["entry/spectra"].attrs.update(layer="\x1b[2J")), SHOW),
    "image: 10 gigapixels": (tree_with(png_claiming(100_000, 100_000)), CORRUPT),
    "image: PostScript": (tree_with(postscript), CORRUPT),
    "image: a text of 100 MB": (tree_with(long_text), CORRUPT),
    "image: a terabyte": (tree_with_a_terabyte, CORRUPT),
    "tar: zeros without end": (lambda world: write(world.place / "t.tar.gz", endless_zeros()), CORRUPT),
}
"""By name: a function of the world that returns the file's path, and the words of the command; {} is the path."""
