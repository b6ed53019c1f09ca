"""Model files that are not what they should be."""

import json
import math
import pickle
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from freqfast.models.file import read_model
from tests.support.sound_model import SPEC, sound_header


def refused(path, message, error=ValueError):
    with pytest.raises(error, match=message) as caught:
        read_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "absent.safetensors", "does not exist; name a run directory", FileNotFoundError)
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors does not exist"):
        read_model(tmp_path)


def test_no_metadata(save):
    refused(save(metadata={"format": "pt"}), "no freqfast metadata, .* use a file that `freqfast run` wrote")
    refused(save(metadata={"format": "pt"}), "its model is unknown")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", '"text"', "{}", '{"schema": 1}', "[" * 100_000, '{"schema": "1"}'], ids=repr
)
def test_metadata_that_is_no_description(save, text):
    refused(save(metadata={"freqfast": text}), "cannot be loaded: ")


@pytest.mark.parametrize("key", ["schema", "model", "modulation", "classes", "mean", "std"])
def test_metadata_that_lacks_a_key(save, key):
    refused(save(**{key: ...}), f"its metadata lacks '{key}'")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, r"schema 2 is newer than this version reads \(1\); update freqfast"),
        ({"schema": None}, "cannot be loaded"),
        ({"model": {"name": "os.system"}}, "unknown model 'os.system'"),
        ({"model": {"name": ["resnet18"]}}, "cannot be loaded"),
        ({"model": {}}, "cannot be loaded"),
        ({"model": None}, "cannot be loaded"),
        ({"model": SPEC | {"depth": 50}}, "depth"),
        ({"model": SPEC | {"width": "2"}}, "width"),
        ({"model": SPEC | {"width": 0}}, "model.width=0"),
        ({"model": SPEC | {"width": 16}}, "size mismatch"),
        ({"model": SPEC | {"width": 10**6}}, "size mismatch"),
        ({"model": SPEC | {"width": 10**9}}, "overflow"),
        ({"model": SPEC | {"width": 10**30}}, "cannot be built"),
        ({"model": SPEC | {"kernel_size": 10**7 + 1}}, "kernel_size odd, at most 31"),
        ({"model": SPEC | {"classes": 10**9}}, "for a model of 1000000000"),
        ({"modulation": {"layer": "conv1"}}, "log_gain"),
        ({"modulation": {"layer": "nosuch"}}, "nosuch"),
        ({"modulation": {"layer": "fc"}}, "not a Conv2d"),
        ({"modulation": {"layer": None, "code": "x"}}, "code"),
        ({"modulation": {"layer": None, "sigma": -1}}, "sigma"),
        ({"modulation": {"layer": None, "sigma": math.nan}}, "sigma"),
        ({"modulation": []}, "cannot be loaded"),
        ({"modulation": "conv1"}, "cannot be loaded"),
        ({"classes": 3}, "cannot be loaded"),
        ({"classes": []}, "names 0 classes"),
        ({"classes": ["a", "b"]}, "names 2 classes for a model of 3"),
        ({"mean": [0.5, 0.5]}, "three finite numbers"),
        ({"mean": [0.5, 0.5, math.nan]}, "three finite numbers"),
        ({"mean": ["a", "b", "c"]}, "cannot be loaded"),
        ({"mean": [10**400] * 3}, "cannot be loaded"),
        ({"std": [1, 1, 0]}, "std positive"),
        ({"std": [1, 1, math.inf]}, "three finite numbers"),
        ({"std": None}, "cannot be loaded"),
    ],
    ids=str,
)
def test_unsound_metadata(save, changes, message):
    refused(save(**changes), message)


def test_absurd_width_takes_no_memory(save):
    resource = pytest.importorskip("resource")
    path = save(model=SPEC | {"width": 30_000})  # 1e13 bytes of weights, were they made
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "size mismatch")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_missing_and_extra_tensors(save):
    path = save(tensors={"evil": torch.zeros(3)})
    refused(path, "evil")
    tensors = {name: tensor for name, tensor in save.tensors.items() if name != "fc.bias"}
    text = json.dumps(sound_header(path))
    save_file(tensors, path, {"freqfast": text})
    refused(path, "fc.bias")
    save_file({}, path, {"freqfast": text})
    refused(path, "conv1.weight")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int64, torch.bool, torch.float8_e4m3fn], ids=str)
def test_weights_of_another_type(save, dtype):
    refused(save(tensors={"conv1.weight": save.tensors["conv1.weight"].to(dtype)}), f"conv1.weight is {dtype}")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["conv1.weight", "layer4.1.bn2.running_var"])
def test_weights_that_are_not_finite(save, name, value):
    tensor = save.tensors[name].clone()
    tensor.view(-1)[-1] = value
    refused(save(tensors={name: tensor}), f"{name} holds values that are not finite")


def test_every_length_that_a_cut_file_can_have(save):
    content = save.path.read_bytes()
    for length in (*range(40), 1000, len(content) // 2, len(content) - 1):
        save.path.write_bytes(content[:length])
        refused(save.path, "is not a sound safetensors file")


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 100_000_001])
def test_header_of_absurd_length(save, length):
    save.path.write_bytes(struct.pack("<Q", length) + save.path.read_bytes()[8:])
    refused(save.path, "is not a sound safetensors file")


def raw(tensors):
    header = json.dumps({"__metadata__": {"freqfast": "{}"}} | tensors).encode()
    return struct.pack("<Q", len(header)) + header + bytes(64)


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "F32", "shape": [10**15], "data_offsets": [0, 64]},
        {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 64]},
        {"dtype": "F32", "shape": [16], "data_offsets": [0, 10**12]},
        {"dtype": "F32", "shape": [-16], "data_offsets": [0, 64]},
        {"dtype": "F99", "shape": [16], "data_offsets": [0, 64]},
        {"dtype": "F4", "shape": [128], "data_offsets": [0, 64]},
        {"dtype": "F32", "shape": [16], "data_offsets": [64, 0]},
        {"dtype": "F32"},
        3,
    ],
    ids=str,
)
def test_header_of_absurd_tensors(tmp_path, tensor):
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw({"conv1.weight": tensor}))
    refused(path, "is not a sound safetensors file|cannot be loaded")


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (Path(self.target),))


@pytest.mark.parametrize("write", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
def test_a_pickle_of_that_name_is_not_executed(tmp_path, write):
    path = tmp_path / "model.safetensors"
    write(Payload(tmp_path / "ran"), path)
    refused(path, "is not a sound safetensors file")
    assert not (tmp_path / "ran").exists()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 12_000), damage=st.binary(min_size=1, max_size=16))
def test_damage_is_an_error_or_harmless(save, where, damage):  # in the header, above all
    damaged = save.path.with_name("damaged.safetensors")
    content = bytearray(save.path.read_bytes())
    content[where : where + len(damage)] = damage
    damaged.write_bytes(content)
    message = ""
    try:
        read_model(damaged)
    except ValueError as error:
        message = str(error)
    assert not message or str(damaged) in message
    assert "\n" not in message
