"""The triangular and the ideal low-pass, and the layers that get them."""

import copy

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn
from torch.nn.modules.utils import _pair

from freqfast.models.build import build_model
from freqfast.spectral.antialiasing import (
    antialiased_layers,
    apply_antialiasing,
    ideal_low_pass,
    low_pass,
    remove_antialiasing,
)


@pytest.mark.parametrize("stride", [(1, 2), (3, 2), (4, 4)])
def test_triangle_against_scipy(stride):
    images = torch.randn(2, 3, 11, 13, dtype=torch.float64)
    expected = images.numpy()
    for axis, s in zip((2, 3), stride, strict=True):
        # A triangle is a box convolved with itself.
        triangle = np.convolve(np.full(s, 1 / s), np.full(s, 1 / s))
        expected = ndimage.convolve1d(expected, triangle, axis, mode="constant")
    np.testing.assert_allclose(low_pass(images, stride).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("size", [(8, 8), (11, 13), (12, 9), (1, 6)])
@pytest.mark.parametrize("stride", [(1, 2), (3, 4)])
def test_ideal_low_pass_against_numpys_fft(size, stride):
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    gains = []
    for n, s in zip(size, stride, strict=True):
        bins, limit = [min(index, n - index) for index in range(n)], n / (2 * s)
        gains.append([1 if bin_ < limit or s == 1 else 0.5 if bin_ == limit else 0 for bin_ in bins])
    expected = np.fft.ifft2(np.fft.fft2(images.numpy()) * np.outer(*gains))
    np.testing.assert_allclose(expected.imag, 0, atol=1e-12)
    np.testing.assert_allclose(ideal_low_pass(images, stride).numpy(), expected.real, atol=1e-12)


def cropped(images):
    """FLC pooling by half: the inverse DFT of the cropped spectrum, with half of each diagonal at both axes' limit."""
    height, width = images.shape[2:]
    spectrum = np.fft.fftshift(np.fft.fft2(images.numpy()), axes=(2, 3))
    low = spectrum[..., height // 4 : 3 * height // 4, width // 4 : 3 * width // 4].copy()
    low[..., 0, 0] = (low[..., 0, 0] + spectrum[..., height // 4, 3 * width // 4]) / 2
    return np.fft.ifft2(np.fft.ifftshift(low, axes=(2, 3))).real / 4


@pytest.mark.parametrize("size", [(16, 4), (32, 32)])
def test_before_a_strided_1x1_convolution_the_ideal_low_pass_is_flc_pooling(size):
    conv = nn.Conv2d(3, 4, 1, stride=2).double()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = nn.functional.conv2d(torch.from_numpy(cropped(images)), conv.weight, conv.bias)
    apply_antialiasing(nn.Sequential(nn.Conv2d(3, 3, 3), conv), kind="flc")
    torch.testing.assert_close(conv(images), expected)


@pytest.mark.parametrize("function", [low_pass, ideal_low_pass])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_memory_format_and_unbatched(function, dtype):
    images = torch.randn(2, 4, 8, 8)
    out = function(images.to(dtype, memory_format=torch.channels_last), (2, 2))
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out.float(), function(images, (2, 2)), atol=0.03, rtol=0.03)
    torch.testing.assert_close(function(images[0], (2, 2)), function(images, (2, 2))[0])
    torch.testing.assert_close(function(images, (1, 1)), images)


def test_strided_convolutions_beyond_the_first_get_the_low_passed_input():
    mix, first = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 3, stride=2)  # of which the second is the first spatial one
    net = nn.Sequential(nn.Sequential(mix, first), nn.ReLU(), nn.Conv2d(4, 2, 1, stride=(2, 1)), nn.Conv2d(2, 2, 3))
    images = torch.randn(2, 3, 16, 16)
    apply_antialiasing(net)
    assert antialiased_layers(net) == ["2"]
    assert net[2].low_pass_triangle.tolist() == [2, 1]
    low = low_pass(net[1](net[0](images)), (2, 1))
    expected = net[3](nn.functional.conv2d(low, net[2].weight, net[2].bias, stride=(2, 1)))
    torch.testing.assert_close(net(images), expected)


@pytest.mark.parametrize(("kind", "function"), [("triangle", low_pass), ("flc", ideal_low_pass)])
@pytest.mark.parametrize("size", [(16, 16), (9, 14)])
@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(2), nn.MaxPool2d((5, 3), (3, 2), (2, 1)), nn.MaxPool2d(3, (1, 2), 1, dilation=(1, 2))],
    ids=["2", "5x3", "dilated"],
)
def test_a_max_pool_is_low_passed_between_its_maxima_and_its_stride(pool, size, kind, function):
    kernel, stride, padding, dilation = map(_pair, (pool.kernel_size, pool.stride, pool.padding, pool.dilation))
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    rows, columns = padding
    padded = nn.functional.pad(images, (columns, columns, rows, rows), value=-np.inf).numpy()
    extent = [dilation[axis] * (kernel[axis] - 1) + 1 for axis in (0, 1)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    maxima = torch.from_numpy(windows[..., :: dilation[0], :: dilation[1]].max(axis=(-2, -1)))
    pool = copy.deepcopy(pool)
    plain = pool(images)
    net = apply_antialiasing(nn.Sequential(nn.Conv2d(3, 3, 3), pool), "1", kind)
    torch.testing.assert_close(pool(images), function(maxima, stride)[..., :: stride[0], :: stride[1]])
    assert pool(images).shape == plain.shape
    remove_antialiasing(net)
    assert torch.equal(pool(images), plain)


def test_without_strided_convolutions_the_max_pools_are_named():
    pools = nn.MaxPool2d(3, 1), nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(2, return_indices=True)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), *pools)
    with pytest.raises(ValueError, match=r"Sequential has no strided Conv2d beyond its first convolution$"):
        apply_antialiasing(net)
    with pytest.raises(ValueError, match=r"; name its max-pools with layers=, such as 4, 5$"):
        apply_antialiasing(net.append(nn.MaxPool2d(2)).append(nn.MaxPool2d((1, 2))))


def test_kinds_are_told_apart():
    model = apply_antialiasing(build_model("resnet18", width=8), ["layer2.0.conv1", "layer2.0.conv1"], "flc")
    apply_antialiasing(model, "layer3.0.conv1")
    assert antialiased_layers(model) == ["layer2.0.conv1", "layer3.0.conv1"]
    assert antialiased_layers(model, "flc") == ["layer2.0.conv1"]


@pytest.mark.parametrize("layers", [["layer2.0.conv1", "conv1"], ["nothing"], "layer2.0"])
def test_a_list_with_an_invalid_layer_is_refused_and_changes_nothing(layers):
    model = build_model("resnet18", width=8)
    with pytest.raises(
        ValueError, match=r"is neither a strided Conv2d nor a strided MaxPool2d .*, so it gets no low-pass"
    ):
        apply_antialiasing(model, layers)
    assert antialiased_layers(model) == []
