"""Model files that are not what they should be."""

import json
import math
import os
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from freqfast.models.file import read_model
from tests.support.sound_model import OPTIONS, stored_header

SPEC = {"name": "resnet18", "classes": 3, **OPTIONS}


def refused(path, message, error=ValueError):
    with pytest.raises(error, match=message) as caught:
        read_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_models(tmp_path):
    refused(tmp_path / "absent.safetensors", "does not exist; name a run directory", FileNotFoundError)
    refused(tmp_path, r"model\.safetensors does not exist", FileNotFoundError)
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "is no regular file")  # and nobody waits for a writer
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    refused(
        tmp_path / "plain.safetensors",
        "it holds weights, but no model; name the model and pass the file as its weights",
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', "[" * 100_000])
def test_invalid_description(save, text):
    refused(save(metadata={"freqfast": text}), "cannot be loaded: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, r"schema 2 is not the one that this version reads \(1\)"),
        ({"mean": ...}, "mean is missing"),
        ({"model": {"name": "os.system"}}, "unknown model 'os.system'"),
        ({"model": {}}, "model.name must be a valid string, got None"),
        ({"model": None}, "model must be an object"),
        ({"model": SPEC | {"depth": 50}}, "depth"),
        ({"model": SPEC | {"width": 16}}, r"of another shape, the first is conv1.weight, \(8, 3, 3, 3\) for \(16,"),
        ({"model": SPEC | {"classes": 10**9}}, "names 3 classes for a model of 1000000000"),
        ({"model": {"name": "timm:resnet18", "classes": 3, "pretrained": True}}, "pretrained is refused"),
        ({"model": {"name": "torchvision:resnet18", "classes": 3}}, "of another shape, the first is conv1.weight"),
        ({"modulation": {"layer": "conv1"}}, "modulation.0.per_filter is missing"),
        ({"modulation": {"layer": "fc", "per_filter": True, "sigma": 1, "seed": 0}}, "not a Conv2d"),
        ({"modulation": {"layer": "conv1", "per_filter": True, "sigma": 1, "seed": 0}}, "log_gain"),
        ({"classes": []}, "classes must have at least 1 item"),
        ({"mean": [0.5, 0.5, math.nan]}, "mean must be three numbers"),
        ({"std": [1, 1, 0]}, r"std must be three numbers in \(0, 1\]"),
    ],
    ids=str,
)
def test_unsound_metadata(save, changes, message):
    refused(save(**changes), message)


def test_missing_and_unexpected_tensors(save):
    path = save(tensors={"evil": torch.zeros(3)})
    refused(path, "1 unexpected, the first is evil")
    tensors = {name: tensor for name, tensor in save.tensors.items() if name != "fc.bias"}
    text = json.dumps(stored_header(path))
    save_file(tensors, path, {"freqfast": text})
    refused(path, "1 missing, the first is fc.bias")


def test_weights_of_another_type_or_not_finite(save):
    weight, variance = save.tensors["conv1.weight"], save.tensors["layer4.1.bn2.running_var"].clone()
    refused(save(tensors={"conv1.weight": weight.double()}), "conv1.weight is torch.float64, but the model has")
    half = save(tensors={"layer4.1.bn2.num_batches_tracked": torch.tensor(1).half()})
    refused(half, "num_batches_tracked is torch.float16, but the model has torch.int64")
    variance[-1] = -math.inf
    refused(save(tensors={"layer4.1.bn2.running_var": variance}), "running_var holds values that are not finite")


def test_corrupt_headers(save):
    content = save.path.read_bytes()
    for corrupt in (b"", content[:39], content[:-1], b"\xff" * 8 + content[8:], struct.pack("<Q", 2**40) + content[8:]):
        save.path.write_bytes(corrupt)
        refused(save.path, "is not a sound safetensors file")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
