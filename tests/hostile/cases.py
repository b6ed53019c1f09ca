"""Hostile files made by hand, each with the command that it is given to: the kind of file, and the attack.

Attacks that a room's own tests make on its readers are not repeated here.
"""

import io
import json
import pickle
import struct
import zipfile

import h5py
import numpy as np
import torch

from tests.hostile.mutate import with_header

CASES = {}
"""By name: a function of the world that returns the file's path, and the words of the command; {} is the path."""

WEIGHTS = ("spectra", "torchvision:squeezenet1_1", "-o", "s.h5", "--weights", "{}")
MODEL = ("quality", "{}")
ARCHIVE = ("evaluate", "{model}", "--cifar10c", "{}")
SHOW = ("show", "{}")
MERGE = ("evaluate", "--merge", "{}")
STUDY = ("study", "{}", "--table")


def case(name, words):
    """Register the function below as a case."""

    def register(make):
        CASES[name] = (make, words)
        return make

    return register


def file_case(name, words, file, content):
    """Register a file of this content, a function of the world or bytes."""
    case(name, words)(lambda world: write(world.place / file, content(world) if callable(content) else content))


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class Payload:
    """Wakes the canary when it is unpickled."""

    def __init__(self, world):
        self.canary = world.canary

    def __reduce__(self):
        return (exec, (f"open({str(self.canary)!r}, 'w').close()",))


# Weights and models


def torch_file(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def beside_tensors(world):
    return torch_file({"state_dict": {"w": torch.zeros(2)}, "optimizer": Payload(world)})


def as_a_key(world):
    return torch_file({"state_dict": {"w": torch.zeros(2)}, (1, Payload(world)): 2})


def deflated_zeros(world):
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(world.sound / "weights.pth") as sound,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for info in sound.infolist():
            archive.writestr(info.filename, sound.read(info))
        archive.writestr("weights/data/9", bytes(200 * 2**20))
    return buffer.getvalue()


def storage_larger_than_the_file(world):
    content = torch_file({"w": torch.zeros(1)}, _use_new_zipfile_serialization=False)
    return content[:-12] + struct.pack("<Q", 2**40) + content[-4:]


file_case("pth: pickle", WEIGHTS, "w.pth", lambda world: torch_file(Payload(world)))
file_case("pth: pickle beside tensors", WEIGHTS, "w.pth", beside_tensors)
file_case("pth: pickle as a key", WEIGHTS, "w.pth", as_a_key)
file_case("pth: deflated zeros", WEIGHTS, "w.pth", deflated_zeros)
file_case("pth: storage larger than the file", WEIGHTS, "w.pth", storage_larger_than_the_file)
file_case("ckpt: pickle", WEIGHTS, "w.ckpt", lambda world: pickle.dumps(Payload(world), protocol=0))
file_case("safetensors: pickle", WEIGHTS, "w.safetensors", lambda world: pickle.dumps(Payload(world)))

HEADERS = {
    "header of a terabyte": struct.pack("<Q", 2**40) + b"{}",
    "nested header": with_header(b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b""),
    "huge shape": with_header(b'{"w":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}', bytes(4)),
}
for name, content in HEADERS.items():
    file_case(f"safetensors: {name}", WEIGHTS, "w.safetensors", content)


def with_metadata(world, **changes):
    """The sound model's file with other metadata."""
    content = (world.sound / "model.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    described = json.loads(header["__metadata__"]["freqfast"])
    header["__metadata__"]["freqfast"] = json.dumps({**described, **changes})
    return with_header(json.dumps(header).encode(), content[8 + size :])


METADATA = {
    "a module for a model": {"model": {"name": "os:system", "width": 8}},
    "vast width": {"model": {"name": "resnet18", "width": 2**40, "classes": 2}},
    "keys of Python": {"model": {"name": "resnet18", "__class__": "x", "self": 1}},
    "vast bins": {"equalization": {"layer": "conv1", "bins": 10**12, "exponent": 1.0}},
    "a million classes": {"classes": ["x"] * 10**6},
    "escape sequence": {"model": {"name": "\x1b[2J\x1b]0;owned\x07", "width": 8}},
}
for name, changes in METADATA.items():
    file_case(f"model: {name}", MODEL, "m.safetensors", lambda world, changes=changes: with_metadata(world, **changes))


# Archives of corrupted images


def archive_case(name, file, content):
    @case(f"archive: {name}", ARCHIVE)
    def _(world):
        folder = world.copy("archive")
        (folder / "manifest.json").unlink()
        write(folder / file, content(world) if callable(content) else content)
        return folder


archive_case("pickle", "contrast.npy", lambda world: pickle.dumps(Payload(world)))
archive_case("nested manifest", "manifest.json", "[" * 200_000)
archive_case("path for a file", "manifest.json", '{"schema": "freqfast-corruptions-1", "files": {"../../x.npy": {}}}')


# Texts

RESULT = """{"schema": "freqfast-evaluation-1", "clean": null, "provenance": null,
"outcomes": {"%s": {"1": {"images": %s, "correct": "gA==", "bins": [], "images_crc32": 0}}}}"""
file_case("result: nested", MERGE, "r.json", "[" * 200_000)
file_case("result: number of 5000 digits", MERGE, "r.json", "9" * 5000)
file_case("result: vast cell", MERGE, "r.json", RESULT % ("fog", 10**15))
file_case("result: escape sequence", MERGE, "r.json", RESULT % ("\\u001b[2J", 1))

ARM = '[arms.a]\nrecipe = "resnet18_cifar10.baseline"\n'
HEAD = 'title = "x"\nseeds = [0]\nbaseline = "a"\n'
STUDIES = {
    "nested tables": HEAD + "[" + "a." * 5000 + "a]",
    "arm out of the folder": HEAD.replace('"a"', '"../x"') + ARM.replace("arms.a", 'arms."../x"'),
    "path for a recipe": HEAD + '[arms.a]\nrecipe = "../../etc/passwd"\n',
    "huge number of epochs": HEAD + ARM + f"settings = {{ epochs = {10**12} }}\n",
    "escape sequence": HEAD + '[arms.a]\nrecipe = "\\u001b[2J"\n',
}
for name, content in STUDIES.items():
    file_case(f"study: {name}", STUDY, "s.toml", content)


# HDF5


def h5_case(name, edit):
    @case(f"HDF5: {name}", SHOW)
    def _(world):
        path = world.copy("spectra.h5")
        with h5py.File(path, "a") as file:
            edit(file)
        return path


def replaced(name, **options):
    def edit(file):
        del file[name]
        file.create_dataset(name, **options)

    return edit


def cycle(file):
    del file["entry/spectra"]
    file["entry/spectra"] = file["entry"]


def link_to_itself(file):
    file.move("entry/spectra", "entry/elsewhere")
    file["entry/spectra"] = h5py.SoftLink("/entry/spectra")


def many_names(file):
    del file["entry/layers/layer1.0.conv1"]
    layers, first = file["entry/layers"], file["entry/spectra"]
    del first["power"]
    first.create_dataset("power", data=np.zeros((300, 200, 200), np.float32), chunks=(50, 200, 200), compression="gzip")
    for i in range(50):
        group = layers.create_group(f"x{i}")
        group.attrs["layer"] = f"x{i}"
        for name in first:
            group[name] = first[name]


h5_case("cycle of groups", cycle)
h5_case("cycle of layers", lambda file: file["entry/layers"].__setitem__("round", file["entry/layers"]))
h5_case("link to itself", link_to_itself)
h5_case("many names for one array", many_names)
h5_case("huge shape of text", replaced("entry/spectra/band", shape=(10**9,), dtype=h5py.string_dtype(), chunks=(1000,)))
h5_case("compound type", replaced("entry/spectra/power", data=np.zeros((2, 8, 8), [("a", "f4")])))
h5_case("escape sequence", lambda file: file["entry/spectra"].attrs.__setitem__("layer", "\x1b[2J"))
