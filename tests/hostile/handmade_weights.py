"""Hostile weights, models and arrays."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import torch

from tests.hostile.handmade import ARCHIVE, MODEL, PTH, Payload, case, write
from tests.hostile.mutate import with_header

# Weights


def torch_file(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


PICKLES = {
    "bare": lambda p: pickle.dumps(p),
    "protocol 0": lambda p: pickle.dumps(p, protocol=0),
    "torch zip": torch_file,
    "torch legacy": lambda p: torch_file(p, _use_new_zipfile_serialization=False),
    "beside tensors": lambda p: torch_file({"state_dict": {"w": torch.zeros(2)}, "optimizer": p}),
    "as a key": lambda p: torch_file({"state_dict": {"w": torch.zeros(2)}, (1, p): 2}),
    "in an object array": lambda p: pickle.dumps(np.array([p], object)),
    "whole model": lambda p: torch_file(torch.nn.Sequential(torch.nn.Linear(1, 1))),
}
for name, packed in PICKLES.items():
    for suffix in (".pth", ".pt", ".ckpt", ".bin"):
        if suffix == ".pth" or name in ("bare", "torch zip"):
            case(f"pickle {name}{suffix}", PTH)(
                lambda world, packed=packed, suffix=suffix: write(world, f"w{suffix}", packed(Payload(world.canary)))
            )
case("pickle as .safetensors", PTH)(lambda world: write(world, "w.safetensors", pickle.dumps(Payload(world.canary))))
case("pickle as our model", MODEL)(lambda world: write(world, "m.safetensors", pickle.dumps(Payload(world.canary))))


@case("pth of deflated zeros", PTH)
def _(world):
    sound = zipfile.ZipFile(world.sound / "weights.pth")
    with sound, zipfile.ZipFile(world.place / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for info in sound.infolist():
            archive.writestr(info.filename, sound.read(info))
        archive.writestr("weights/data/9", bytes(200 * 2**20))
    return world.place / "w.pth"


@case("pth of a storage larger than the file", PTH)
def _(world):
    content = torch_file({"w": torch.zeros(1)}, _use_new_zipfile_serialization=False)
    return write(world, "w.pth", content[:-12] + struct.pack("<Q", 2**40) + content[-4:])


# safetensors


def ours(world, **changes):
    """The sound model's file with other metadata."""
    content = (world.sound / "model.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    meta = json.loads(header["__metadata__"]["freqfast"])
    header["__metadata__"]["freqfast"] = json.dumps({**meta, **changes})
    return write(world, "m.safetensors", with_header(json.dumps(header).encode(), content[8 + size :]))


HEADERS = {
    "length 2**63": struct.pack("<Q", 2**63) + b"{}",
    "length 2**64 - 1": struct.pack("<Q", 2**64 - 1) + b"{}",
    "length beyond the file": struct.pack("<Q", 1000) + b"{}",
    "length of a terabyte": struct.pack("<Q", 2**40) + b"{}",
    "nothing": b"",
    "cut length": b"\1\0\0",
    "no JSON": with_header(b"not json at all", b""),
    "nested": with_header(b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b""),
    "a list": with_header(b"[]", b""),
    "huge shape": with_header(
        b'{"w":{"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,4]}}', bytes(4)
    ),
    "overlap": with_header(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "hole": with_header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', bytes(8)),
    "offsets backwards": with_header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', bytes(4)),
    "unknown type": with_header(b'{"a":{"dtype":"X9","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
    "negative shape": with_header(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', bytes(4)),
    "no text": with_header(b"\xff\xfe\x00", b""),
}
for name, content in HEADERS.items():
    case(f"safetensors {name}, model", MODEL)(lambda world, content=content: write(world, "m.safetensors", content))
    case(f"safetensors {name}, weights", PTH)(lambda world, content=content: write(world, "w.safetensors", content))

META = {
    "newer schema": {"schema": 9},
    "schema text": {"schema": "x"},
    "model a path": {"model": {"name": "../../x", "width": 8}},
    "model a module": {"model": {"name": "os:system", "width": 8}},
    "vast width": {"model": {"name": "resnet18", "width": 2**40, "classes": 2}},
    "endless width": {"model": {"name": "resnet18", "width": 10**30, "classes": 2}},
    "width of text": {"model": {"name": "resnet18", "width": "2", "classes": 2}},
    "width of infinity": {"model": {"name": "resnet18", "width": float("inf"), "classes": 2}},
    "vast kernel": {"model": {"name": "resnet18", "width": 8, "kernel_size": 10**6 + 1, "classes": 2}},
    "vast classes": {"model": {"name": "resnet18", "width": 8, "classes": 10**12}},
    "vast bins": {"equalization": {"layer": "conv1", "bins": 10**12, "exponent": 1.0}},
    "antialiasing nothing strided": {"antialiasing": ["conv1"]},
    "antialiasing a number": {"antialiasing": 10**30},
    "antialiasing a path": {"antialiasing": "../../x"},
    "antialiasing of lists": {"antialiasing": [[0]] * 1000},
    "sigma NaN": {"modulation": {"layer": "conv1", "per_filter": True, "sigma": float("nan"), "seed": 0}},
    "seed huge": {"modulation": {"layer": "conv1", "per_filter": True, "sigma": 0.5, "seed": 10**30, "x": 1}},
    "mean NaN": {"mean": [float("nan")] * 3},
    "std zero": {"std": [0, 0, 0]},
    "mean of text": {"mean": "abc"},
    "a million classes": {"classes": ["x"] * 10**6},
    "escape sequence": {"model": {"name": "\x1b[2J\x1b]0;owned\x07", "width": 8}},
    "keys of Python": {"model": {"name": "resnet18", "__class__": "x", "self": 1}},
}
for name, changes in META.items():
    case(f"metadata {name}", MODEL)(lambda world, changes=changes: ours(world, **changes))


@case("weights not finite", MODEL)
def _(world):
    content = bytearray((world.sound / "model.safetensors").read_bytes())
    content[-4:] = struct.pack("<f", float("nan"))
    return write(world, "m.safetensors", bytes(content))


# Arrays


def array_case(name, file, content, words=ARCHIVE):
    @case(f"{file} {name}", words)
    def _(world):
        folder = world.copy("archive")
        (folder / "manifest.json").unlink()
        (folder / file).write_bytes(content(world) if callable(content) else content)
        return folder


def npy(descr, shape, body=bytes(64)):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def pickled_array(world):
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(world.canary)] * 20, object), allow_pickle=True)
    return buffer.getvalue()


for file in ("labels.npy", "contrast.npy"):
    array_case("pickle", file, lambda world: pickle.dumps(Payload(world.canary)))
    array_case("object array", file, pickled_array)
    array_case("of an absurd shape", file, npy("'|u1'", f"({10**18}, 8, 8, 3)"))
    array_case("of a shape beyond integers", file, npy("'|u1'", f"({10**40},)"))
    array_case("with code in its header", file, npy("__import__('os').system('true')", "(1,)"))
    array_case("nested", file, npy("[" * 3000, "(1,)"))
    array_case("a zip archive", file, b"PK\3\4" + bytes(100))

for name, text in {
    "nested": "[" * 200_000,
    "no object": "3",
    "path for a file": '{"schema": "freqfast-corruptions-1", "severities": [1], "images": 4, '
    '"files": {"../../x.npy": {}}}',
    "huge number": '{"schema": "freqfast-corruptions-1", "images": ' + "9" * 5000 + "}",
    "empty": "",
}.items():

    @case(f"manifest {name}", ARCHIVE)
    def _(world, text=text):
        folder = world.copy("archive")
        (folder / "manifest.json").write_text(text)
        return folder
