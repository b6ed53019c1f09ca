import json
import math
import os
import pickle
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from freqfast.models import build_model
from freqfast.modulation import SpectralConv2d, apply_modulation
from freqfast.recipe import Recipe
from freqfast.run import load_checkpoint, load_run, save_checkpoint

SPEC = {"name": "resnet18", "width": 2, "kernel_size": 3, "classes": 3}
CLASSES, MEAN, STD = ("ant", "bee", "größe"), (0.1, 0.2, 0.3), (1.0, 0.5, 1 / 3)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = build_model(**SPEC)
    for module in model.modules():  # as after some training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.fixture
def save(tmp_path, model):
    """A sound checkpoint; its path, and a way to write it again with another header or other tensors."""
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model, SPEC, CLASSES, MEAN, STD)
    sound = load_file(path)

    def again(tensors=None, metadata=None, **changes):
        header = sound_header(path) if metadata is None and path.exists() else {}
        header |= changes
        text = json.dumps({key: value for key, value in header.items() if value is not ...})
        save_file(sound | (tensors or {}), path, {"freqfast": text} if metadata is None else metadata)
        return path

    again.path, again.tensors = path, sound
    return again


def sound_header(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["freqfast"])


def refused(path, message, error=ValueError):
    with pytest.raises(error, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# Round trips


@pytest.mark.parametrize("modulated", [None, True, False])
def test_round_trip(tmp_path, model, modulated):
    if modulated is not None:
        apply_modulation(model, per_filter=modulated, sigma=0.25, seed=7)
        torch.nn.init.normal_(model.conv1.log_gain)
    images = torch.randn(4, 3, 16, 16)
    save_checkpoint(tmp_path / "m.safetensors", model, SPEC, CLASSES, MEAN, STD)
    found = load_checkpoint(str(tmp_path / "m.safetensors"))
    with torch.no_grad():
        assert torch.equal(found.model(images), model.eval()(images))
    assert (found.spec, found.classes, found.mean, found.std) == (SPEC, CLASSES, MEAN, STD)
    assert not found.model.training
    assert not any(p.requires_grad for p in found.model.parameters())
    assert all(p.device.type == "cpu" for p in found.model.parameters())
    assert found.model.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    if modulated is not None:
        conv = found.model.conv1
        assert isinstance(conv, SpectralConv2d)
        assert (len(conv.log_gain), conv.sigma, conv.seed) == (2 if modulated else 1, 0.25, 7)
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_modulation_of_a_layer_of_one_filter(tmp_path):
    spec = SPEC | {"width": 1}
    model = apply_modulation(build_model(**spec), per_filter=True)
    save_checkpoint(tmp_path / "m.safetensors", model, spec, CLASSES, MEAN, STD)
    assert len(load_checkpoint(tmp_path / "m.safetensors").model.conv1.log_gain) == 1


def test_modulation_of_another_layer(tmp_path, model):
    apply_modulation(model, layer="layer2.0.conv1")
    save_checkpoint(tmp_path / "m.safetensors", model, SPEC, CLASSES, MEAN, STD)
    assert isinstance(load_checkpoint(tmp_path / "m.safetensors").model.layer2[0].conv1, SpectralConv2d)


def test_two_modulated_layers_are_refused(tmp_path, model):
    apply_modulation(apply_modulation(model, layer="layer2.0.conv1"))
    with pytest.raises(ValueError, match="2 layers are modulated"):
        save_checkpoint(tmp_path / "m.safetensors", model, SPEC, CLASSES, MEAN, STD)
    assert os.listdir(tmp_path) == []


def test_anyone_can_read_the_header(save):
    header = sound_header(save.path)
    assert header["schema"] == 1
    assert header["model"] == SPEC
    assert header["modulation"] is None
    assert header["classes"] == list(CLASSES)
    assert (header["mean"], header["std"]) == (list(MEAN), list(STD))


def test_a_directory_stands_for_its_model(save):
    assert load_checkpoint(save.path.parent).spec == SPEC


def test_a_failed_write_keeps_the_former_file(save, model):
    before = save.path.read_bytes()
    with pytest.raises(TypeError):
        save_checkpoint(save.path, model, SPEC | {"width": object()}, CLASSES, MEAN, STD)
    assert save.path.read_bytes() == before
    assert os.listdir(save.path.parent) == [save.path.name]


# Files that are not what they should be


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "absent.safetensors", "does not exist; name a run directory", FileNotFoundError)
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors does not exist"):
        load_checkpoint(tmp_path)


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
        ({"model": SPEC | {"width": 0}}, "width=0"),
        ({"model": SPEC | {"width": 4}}, "size mismatch"),
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
        load_checkpoint(damaged)
    except ValueError as error:
        message = str(error)
    assert not message or str(damaged) in message
    assert "\n" not in message


# Run directories


@pytest.fixture
def run(save):
    folder = save.path.parent
    (folder / "recipe.toml").write_text(Recipe("größer", width=2).to_toml(), encoding="utf-8")
    (folder / "environment.json").write_text('{"threads": 2}')
    (folder / "report.json").write_text('{"clean": 0.5}')
    return folder


def test_load_run(run):
    found = load_run(str(run))
    assert found.path == run
    assert found.recipe == Recipe("größer", width=2)
    assert found.report == {"clean": 0.5}
    assert found.environment == {"threads": 2}
    assert found.model is found.checkpoint.model


@pytest.mark.parametrize("name", ["recipe.toml", "environment.json", "report.json", "model.safetensors"])
def test_unfinished_run_is_named(run, name):
    (run / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}") as caught:
        load_run(run)
    assert str(run) in str(caught.value)


def test_no_run_at_all(tmp_path):
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match=r"is not a finished run: recipe\.toml is missing"):
            load_run(place)


@pytest.mark.parametrize("name", ["recipe.toml", "environment.json", "report.json"])
@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"[1]", b"[" * 100_000, b"\x00"], ids=lambda c: repr(c[:3]))
def test_damaged_file_is_named(run, name, content):
    (run / name).write_bytes(content)
    with pytest.raises(ValueError, match=name) as caught:
        load_run(run)
    assert str(run / name) in str(caught.value)
    assert "\n" not in str(caught.value)
