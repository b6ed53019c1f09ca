import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import nn

from freqfast.models.build import build_model
from freqfast.models.file import read_model, write_model
from freqfast.spectral.antialiasing import antialiased_layers, apply_antialiasing, low_pass, remove_antialiasing
from freqfast.spectral.equalization import SpectrumEqualizer, apply_equalization
from tests.support.sound_model import stored_model

STRIDED = [f"layer{i}.0.{part}" for i in (2, 3, 4) for part in ("conv1", "downsample.0")]


def wave(fx, fy, size=48):
    """A cosine of a frequency in cycles/pixel, ``(1, 1, size, size)``."""
    y, x = torch.meshgrid(torch.arange(size).double(), torch.arange(size).double(), indexing="ij")
    return torch.cos(2 * math.pi * (fx * x + fy * y))[None, None]


def inner(images, margin=8):
    return images[..., margin:-margin, margin:-margin]


@pytest.mark.parametrize("stride", [(2, 2), (1, 2), (3, 2), (4, 4)])
def test_against_scipy(stride):
    images = torch.randn(2, 3, 11, 13, dtype=torch.float64)
    expected = images.numpy()
    for axis, s in zip((2, 3), stride, strict=True):
        # A triangle is a box convolved with itself.
        triangle = np.convolve(np.full(s, 1 / s), np.full(s, 1 / s))
        expected = ndimage.convolve1d(expected, triangle, axis, mode="constant")
    np.testing.assert_allclose(low_pass(images, stride).numpy(), expected, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(fx=st.floats(0.01, 0.49), fy=st.floats(0.01, 0.49), stride=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_waves_pass_by_the_stated_response(fx, fy, stride):
    response = math.prod(
        (math.sin(math.pi * s * f) / (s * math.sin(math.pi * f))) ** 2 for s, f in zip(stride, (fy, fx), strict=True)
    )
    image = wave(fx, fy)
    torch.testing.assert_close(inner(low_pass(image, stride)), response * inner(image), atol=1e-9, rtol=0)


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_a_frequency_that_the_stride_would_fold_onto_dc_is_removed(stride):
    image = wave(1 / stride, 0)
    assert inner(image)[..., ::stride, ::stride].std() < 1e-9  # after the stride alone, it looks like a constant
    assert inner(image)[..., ::stride, ::stride].abs().max() > 0.5
    assert inner(low_pass(image, (stride, stride))).abs().max() < 1e-9


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_memory_format_and_unbatched(dtype):
    images = torch.randn(2, 4, 8, 8)
    out = low_pass(images.to(dtype, memory_format=torch.channels_last), (2, 2))
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out.float(), low_pass(images, (2, 2)), atol=0.03, rtol=0.03)
    torch.testing.assert_close(low_pass(images[0], (2, 2)), low_pass(images, (2, 2))[0])


def test_gradients_reach_the_input():
    images = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(low_pass, (images, (2, 3)))


def test_strided_convolutions_beyond_the_first_get_the_low_passed_input():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 2, 1, stride=(2, 1)), nn.Conv2d(2, 2, 3))
    images, state = torch.randn(2, 3, 16, 16), copy.deepcopy(net.state_dict())
    assert apply_antialiasing(net) is net
    assert antialiased_layers(net) == ["2"]
    assert net.state_dict().keys() - state.keys() == {"2.low_pass_triangle"}
    assert net[2].low_pass_triangle.tolist() == [2, 1]
    hidden = net[1](net[0](images))
    low = low_pass(hidden, (2, 1))
    expected = net[3](nn.functional.conv2d(low, net[2].weight, net[2].bias, stride=(2, 1)))
    torch.testing.assert_close(net(images), expected)


def test_shifts_by_a_pixel_change_less():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    images = torch.from_numpy(ndimage.gaussian_filter(rng.normal(size=(16, 3, 40, 40)), (0, 0, 1, 1))).float() * 4
    plain = build_model("resnet18", width=8).eval()
    smooth = apply_antialiasing(copy.deepcopy(plain))

    def change(model):
        with torch.no_grad():
            one, two = model(images[..., 4:36, 4:36]), model(images[..., 5:37, 4:36])
        return float((one - two).norm() / (one - one.mean(0)).norm())

    assert change(smooth) < 0.8 * change(plain)


def test_removed_from_a_resnet():
    model = build_model("resnet18", width=8).eval()
    images = torch.randn(2, 3, 16, 16)
    before = model(images)
    apply_antialiasing(torch.compile(nn.DataParallel(model), backend="eager"))
    assert antialiased_layers(nn.DataParallel(model)) == STRIDED
    assert not torch.equal(model(images), before)
    remove_antialiasing(model)
    assert torch.equal(model(images), before)
    assert antialiased_layers(model) == []
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_copies_are_independent_and_picklable():
    model = apply_antialiasing(build_model("resnet18", width=8)).eval()
    images = torch.randn(2, 3, 16, 16)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(images), model(images))
        remove_antialiasing(other)
        assert antialiased_layers(model) == STRIDED


@pytest.mark.parametrize(("layers", "equalized"), [(None, False), (["layer3.0.conv1"], True)])
def test_model_file_keeps_it(tmp_path, layers, equalized):
    stored = stored_model("abc")
    model = apply_antialiasing(stored.model, layers)
    if equalized:
        apply_equalization(model, "layer3.0.conv1")
    images = torch.randn(4, 3, 16, 16)
    model(images)
    write_model(tmp_path / "model.safetensors", stored)
    found = read_model(tmp_path / "model.safetensors").model
    assert antialiased_layers(found) == (layers or STRIDED)
    torch.testing.assert_close(found(images), model.eval()(images))


def test_an_equalizer_of_the_same_layer_comes_first():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3, stride=2))
    one = apply_antialiasing(apply_equalization(copy.deepcopy(net), "1"))
    two = apply_equalization(apply_antialiasing(copy.deepcopy(net)), "1")
    images = torch.randn(4, 3, 16, 16)
    for model in (one, two):
        model(images)
        model.eval()
    equalizer = SpectrumEqualizer()
    equalizer(net[0](images))
    hidden = low_pass(equalizer.eval()(net[0](images)), (2, 2))
    expected = nn.functional.conv2d(hidden, net[1].weight, net[1].bias, stride=2)
    torch.testing.assert_close(one(images), expected)
    torch.testing.assert_close(two(images), expected)


@pytest.mark.parametrize("layers", [["layer2.0.conv1", "conv1"], ["layer2.0"], ["nothing"], "layer2.0"])
def test_a_list_with_an_invalid_layer_is_refused_and_changes_nothing(layers):
    model = build_model("resnet18", width=8)
    with pytest.raises(ValueError, match="is not a strided Conv2d, so there is nothing to low-pass"):
        apply_antialiasing(model, layers)
    assert antialiased_layers(model) == []


def test_a_second_low_pass_is_refused():
    model = build_model("resnet18", width=8)
    apply_antialiasing(model, ["layer2.0.conv1", "layer2.0.conv1"])
    assert len(model.layer2[0].conv1._forward_pre_hooks) == 1
    with pytest.raises(ValueError, match=r"layer 'layer2\.0\.conv1' has a low-pass already; call remove_antialiasing"):
        apply_antialiasing(model)
    assert antialiased_layers(model) == ["layer2.0.conv1"]


def test_a_model_without_strided_convolutions_is_refused():
    with pytest.raises(ValueError, match="Sequential has no strided Conv2d beyond its first convolution"):
        apply_antialiasing(nn.Sequential(nn.Conv2d(3, 2, 3, stride=2), nn.Conv2d(2, 2, 3)))
