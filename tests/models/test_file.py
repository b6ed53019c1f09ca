"""Models are read back as they were written."""

import os
from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch
from torch import nn

from freqfast.models.build import ModelSpec
from freqfast.models.file import check_round_trip, read_model, write_model
from freqfast.models.network import Network, Preprocessing
from freqfast.plugins import plugin_versions
from freqfast.spectral.equalization import apply_equalization
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation
from tests.support.networks import HALF
from tests.support.sound_model import OPTIONS, stored_header

ZOO = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, needs_values=False):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, classes)
        self.register_buffer("scale", torch.full((4,), 2.0), persistent=False)
        self.shift = torch.linspace(0, 1, 4)
        if needs_values:
            self.steps = int(self.scale.sum().item())

    def forward(self, images):
        return self.fc(self.conv(images).mean((2, 3)) * self.scale + self.shift)
"""


def test_an_interrupted_write_leaves_the_old_file(save, stored, monkeypatch):
    before = save.path.read_bytes()
    monkeypatch.setattr(os, "replace", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_model(save.path, replace(stored, preprocessing=Preprocessing(HALF, HALF)))
    assert save.path.read_bytes() == before
    assert list(save.path.parent.iterdir()) == [save.path]


def test_classes_that_are_no_text_are_refused(tmp_path, stored):
    with pytest.raises(ValueError, match=r"the name 'caf\\udce9' is not UTF-8, as model.safetensors is; rename it"):
        write_model(tmp_path / "m.safetensors", replace(stored, classes=(*stored.classes[1:], "caf\udce9")))


@pytest.mark.parametrize(
    ("layers", "per_filter"),
    [((), True), (("conv1",), True), (("layer2.0.conv1",), False), (("conv1", "layer1.0.conv1"), True)],
)
def test_round_trip(tmp_path, stored, layers, per_filter):
    stored = replace(stored, preprocessing=replace(stored.preprocessing, resize=32, crop=28, interpolation="bilinear"))
    model = stored.module
    for layer in layers:
        apply_modulation(model, layer, per_filter, sigma=0.25, seed=7, keep_power=per_filter)
        nn.init.normal_(model.get_submodule(layer).log_gain)
    images = torch.randn(4, 3, 16, 16)
    write_model(tmp_path / "m.safetensors", stored)
    found = read_model(str(tmp_path / "m.safetensors"))
    with torch.no_grad():
        assert torch.equal(found.module(images), model.eval()(images))
    assert (found.preprocessing, found.classes, found.spec) == (stored.preprocessing, stored.classes, stored.spec)
    assert not found.module.training
    assert all(p.requires_grad and p.device.type == "cpu" for p in found.module.parameters())
    assert found.module.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    for layer in layers:
        conv = found.module.get_submodule(layer)
        assert isinstance(conv, SpectralConv2d)
        assert (len(conv.log_gain), conv.sigma, conv.seed) == (8 if per_filter else 1, 0.25, 7)
        assert conv.keep_power is per_filter
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_half_precision(tmp_path, stored):
    apply_equalization(apply_modulation(stored.module))
    before = {name: tensor.clone() for name, tensor in stored.module.state_dict().items()}
    write_model(tmp_path / "whole.safetensors", stored)
    write_model(tmp_path / "half.safetensors", stored, half=True)
    found = read_model(tmp_path / "half.safetensors").module
    weights = {name for name, _ in found.named_parameters()}
    for name, tensor in found.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name].half().float() if name in weights else before[name])
        assert torch.equal(stored.module.state_dict()[name], before[name])
    whole, half = (os.path.getsize(tmp_path / f"{name}.safetensors") for name in ("whole", "half"))
    assert half < 0.6 * whole


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("timm:test_resnet", {"drop_rate": 0.25}),
        ("torchvision:squeezenet1_1", {"dropout": 0.25}),
        ("zoo_net", {}),
        ("zoo_net", {"needs_values": True}),  # so that it cannot be built without memory
    ],
)
def test_models_of_other_packages(tmp_path, install, name, options):
    install("models", ZOO, zoo_net="Net")
    assert plugin_versions() == {"other-models": "1.0"}
    spec = ModelSpec(name, {"classes": 2, **options})
    model = apply_modulation(spec.build()).eval()
    if name != "zoo_net":
        assert any(0.25 in (getattr(m, "p", None), getattr(m, "drop_rate", None)) for m in model.modules())
    stored = Network("net", model, Preprocessing(HALF, HALF), ("a", "b"), spec)
    write_model(tmp_path / "m.safetensors", stored)
    torch.manual_seed(0)
    found = read_model(tmp_path / "m.safetensors")
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))  # reading draws no random numbers
    assert found.spec == spec
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        outputs = model(images)
        assert torch.equal(found.module(images), outputs)
    assert outputs.shape == (2, 2)
    model.extra = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="2 unexpected, the first is extra"):
        check_round_trip(stored)


def test_what_a_model_file_cannot_hold(tmp_path, stored):
    with pytest.raises(ValueError, match="resnet18 lacks its spec, classes, mean or std, which a model file holds"):
        write_model(tmp_path / "m.safetensors", replace(stored, spec=None))
    stored.module.bfloat16()
    with pytest.raises(ValueError, match=r"conv1.weight is torch.bfloat16, .* call model.float\(\) first"):
        write_model(tmp_path / "m.safetensors", stored)
    assert os.listdir(tmp_path) == []


def test_a_model_that_keeps_more_than_tensors(stored, monkeypatch):
    monkeypatch.setattr(nn.Linear, "get_extra_state", dict)
    with pytest.raises(ValueError, match=r"file: fc\._extra_state is a dict, a file of weights holds tensors"):
        check_round_trip(stored)


def test_a_wrapper_is_looked_through(tmp_path, stored):
    apply_equalization(apply_modulation(stored.module))
    wrapped = replace(stored, module=nn.DataParallel(stored.module))
    check_round_trip(wrapped)
    write_model(tmp_path / "m.safetensors", wrapped)
    assert read_model(tmp_path / "m.safetensors").module.state_dict().keys() == stored.module.state_dict().keys()


def test_other_tools_can_read_the_header(save):
    header = stored_header(save.path)
    assert header["schema"] == 1
    assert header["model"] == {"name": "resnet18", "classes": 3, **OPTIONS}
    assert (header["modulation"], header["classes"]) == ([], ["ant", "bee", "größe"])
    assert (header["mean"], header["std"]) == ([0.1, 0.2, 0.3], [1.0, 0.5, 1 / 3])
    assert read_model(save.path.parent).classes == ("ant", "bee", "größe")  # a directory stands for its model
