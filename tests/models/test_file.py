"""Models are read back as they were written."""

import os

import pytest
import torch

from freqfast.models.file import read_model, write_model
from freqfast.spectral.equalization import apply_equalization
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation
from tests.support.sound_model import CLASSES, MEAN, SPEC, STD, sound_header


@pytest.mark.parametrize("modulated", [None, True, False])
def test_round_trip(tmp_path, model, modulated):
    if modulated is not None:
        apply_modulation(model, per_filter=modulated, sigma=0.25, seed=7)
        torch.nn.init.normal_(model.conv1.log_gain)
    images = torch.randn(4, 3, 16, 16)
    write_model(tmp_path / "m.safetensors", model, SPEC, CLASSES, MEAN, STD)
    found = read_model(str(tmp_path / "m.safetensors"))
    with torch.no_grad():
        assert torch.equal(found.model(images), model.eval()(images))
    assert (found.spec, found.classes, found.mean, found.std) == (SPEC, CLASSES, MEAN, STD)
    assert not found.model.training
    assert all(p.requires_grad for p in found.model.parameters())
    assert all(p.device.type == "cpu" for p in found.model.parameters())
    assert found.model.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    if modulated is not None:
        conv = found.model.conv1
        assert isinstance(conv, SpectralConv2d)
        assert (len(conv.log_gain), conv.sigma, conv.seed) == (8 if modulated else 1, 0.25, 7)
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_modulation_of_another_layer(tmp_path, model):
    apply_modulation(model, layer="layer2.0.conv1")
    write_model(tmp_path / "m.safetensors", model, SPEC, CLASSES, MEAN, STD)
    assert isinstance(read_model(tmp_path / "m.safetensors").model.layer2[0].conv1, SpectralConv2d)


def test_two_modulated_layers_are_refused(tmp_path, model):
    apply_modulation(apply_modulation(model, layer="layer2.0.conv1"))
    with pytest.raises(ValueError, match="2 layers are modulated"):
        write_model(tmp_path / "m.safetensors", model, SPEC, CLASSES, MEAN, STD)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("wrap", [torch.compile, torch.nn.DataParallel])
def test_a_wrapper_is_looked_through(tmp_path, model, wrap):
    apply_equalization(apply_modulation(model))
    write_model(tmp_path / "m.safetensors", wrap(model), SPEC, CLASSES, MEAN, STD)
    found = read_model(tmp_path / "m.safetensors").model
    assert found.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_type_are_refused(tmp_path, model, dtype):
    with pytest.raises(ValueError, match=rf"conv1.weight is {dtype}, .* call model.float\(\) first"):
        write_model(tmp_path / "m.safetensors", model.to(dtype), SPEC, CLASSES, MEAN, STD)
    assert os.listdir(tmp_path) == []


def test_anyone_can_read_the_header(save):
    header = sound_header(save.path)
    assert header["schema"] == 1
    assert header["model"] == SPEC
    assert header["modulation"] is None
    assert header["classes"] == list(CLASSES)
    assert (header["mean"], header["std"]) == (list(MEAN), list(STD))


def test_a_directory_stands_for_its_model(save):
    assert read_model(save.path.parent).spec == SPEC


def test_a_failed_write_keeps_the_former_file(save, model):
    before = save.path.read_bytes()
    with pytest.raises(TypeError):
        write_model(save.path, model, SPEC | {"width": object()}, CLASSES, MEAN, STD)
    assert save.path.read_bytes() == before
    assert os.listdir(save.path.parent) == [save.path.name]
