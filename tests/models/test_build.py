"""Models by name and options."""

import copy
import os
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn

from freqfast.models.build import ModelSpec, build_model, channels_last, library_models


def test_weights_are_channels_last_and_drawn_from_torchs_generator():
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(build_model("resnet18", width=8))
    one, same, other = models
    assert one.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(one.state_dict(), same.state_dict(), rtol=0, atol=0)
    assert not torch.equal(one.conv1.weight, other.conv1.weight)


def test_weights_of_five_dimensions_stay_as_they_are():
    model = channels_last(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv3d(4, 4, 3)))
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert model[1].weight.is_contiguous()


@pytest.mark.parametrize("name", ["timm:resnet18", "torchvision:resnet18"])
@pytest.mark.parametrize("option", ["pretrained", "checkpoint_path", "weights"])
def test_options_that_load_weights_are_refused(name, option):
    with pytest.raises(ValueError, match=f"model '{name}' with .*: {option} is refused"):
        build_model(name, **{option: "weights.pth"})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg", {}, "unknown model 'vgg'; the models are resnet18, (tiny, )?zoo_number, timm:NAME, torchvision:NAME"),
        ("timm:resnet10", {}, r"timm has no model 'resnet10'; did you mean .*resnet10t"),
        ("torchvision:nothing like it", {}, "torchvision has no model 'nothing like it'; see its list of models"),
        ("resnet18", {"depth": 3}, r"model 'resnet18' with {'depth': 3} cannot be built \(TypeError: .*depth"),
        ("torchvision:resnet18", {"depth": 3}, "model 'torchvision:resnet18' with .* cannot be built"),
        ("resnet18", {"name": "x"}, r"model 'resnet18' with .* cannot be built \(TypeError: .*'name'"),
        ("zoo_number", {"classes": 3}, "model 'zoo_number' with .* must be a torch.nn.Module, got int"),
    ],
)
def test_models_that_cannot_be_built(install, name, options, message):
    install("models", "def number(classes): return classes", zoo_number="number")
    with pytest.raises(ValueError, match=message):
        build_model(name, **options)


def test_timm_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="timm:resnet18 needs timm, which is not installed; pip install timm"):
        build_model("timm:resnet18")
    assert list(library_models("timm")) == []


def test_an_option_cannot_be_called_name():
    with pytest.raises(ValueError, match="model 'zoo_net' cannot have an option called 'name'"):
        ModelSpec("zoo_net", {"name": "mine"})


@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE", "DEFAULT"])
def test_narrow_networks_are_trained_on_large_images(instructions):
    """Their shortcuts made oneDNN write past the end of a buffer (its issue 6035), which ends the process."""
    code = (
        "import torch; from freqfast.models.build import build_model\n"
        "images = torch.randn(8, 3, 64, 64).to(memory_format=torch.channels_last)\n"
        "build_model('resnet18', width=4)(images).sum().backward()"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": instructions}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=100)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
@pytest.mark.parametrize("options", [{}, {"bias": False, "stride": (3, 2)}])
def test_narrow_strided_layers_compute_the_same_in_channels_last(options, again):
    plain = torch.nn.Conv2d(5, 7, 1, **{"stride": 2} | options).double()
    images, results = torch.randn(3, 5, 8, 9, dtype=torch.float64), []
    for layer in (plain, again(channels_last(copy.deepcopy(plain)))):
        inputs = images.clone().requires_grad_()
        output = layer(inputs)
        output.square().sum().backward()
        results.append([output, inputs.grad, [parameter.grad for parameter in layer.parameters()]])
    torch.testing.assert_close(*results)
