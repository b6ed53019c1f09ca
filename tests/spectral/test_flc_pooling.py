"""The ideal low-pass, and models that have it before their strides."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from freqfast.models.file import read_model, write_model
from freqfast.spectral.antialiasing import antialiased_layers, apply_antialiasing, ideal_low_pass, remove_antialiasing
from tests.support.sound_model import stored_model


@pytest.mark.parametrize("size", [(8, 8), (11, 13), (12, 9), (1, 6)])
@pytest.mark.parametrize("stride", [(2, 2), (1, 2), (3, 4)])
def test_against_numpys_fft(size, stride):
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    gain = np.ones(size)
    for row in range(size[0]):
        for column in range(size[1]):
            for index, n, s in ((row, size[0], stride[0]), (column, size[1], stride[1])):
                bin_, limit = min(index, n - index), n / (2 * s)
                gain[row, column] *= 1 if bin_ < limit or s == 1 else 0.5 if bin_ == limit else 0
    expected = np.fft.ifft2(np.fft.fft2(images.numpy()) * gain)
    np.testing.assert_allclose(expected.imag, 0, atol=1e-12)
    np.testing.assert_allclose(ideal_low_pass(images, stride).numpy(), expected.real, atol=1e-12)


def cropped(images):
    """FLC pooling by half: the inverse DFT of the cropped spectrum, with half of each diagonal at both axes' limit."""
    height, width = images.shape[2:]
    spectrum = np.fft.fftshift(np.fft.fft2(images.numpy()), axes=(2, 3))
    low = spectrum[..., height // 4 : 3 * height // 4, width // 4 : 3 * width // 4].copy()
    low[..., 0, 0] = (low[..., 0, 0] + spectrum[..., height // 4, 3 * width // 4]) / 2
    return np.fft.ifft2(np.fft.ifftshift(low, axes=(2, 3))).real / 4


@pytest.mark.parametrize("size", [(8, 8), (16, 4), (32, 32)])
def test_with_the_stride_it_is_the_inverse_dft_of_a_cropped_spectrum(size):
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    np.testing.assert_allclose(ideal_low_pass(images, (2, 2))[..., ::2, ::2].numpy(), cropped(images), atol=1e-12)


def test_before_a_strided_1x1_convolution_it_is_flc_pooling():
    conv = nn.Conv2d(3, 4, 1, stride=2).double()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    expected = nn.functional.conv2d(torch.from_numpy(cropped(images)), conv.weight, conv.bias)
    apply_antialiasing(nn.Sequential(nn.Conv2d(3, 3, 3), conv), kind="flc")
    torch.testing.assert_close(conv(images), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_constants_and_types(dtype):
    images = torch.full((2, 3, 6, 10), 0.5, dtype=dtype)
    found = ideal_low_pass(images[0], (2, 3))
    assert found.dtype == dtype
    torch.testing.assert_close(found, images[0])


def test_without_a_stride_it_changes_nothing():
    images = torch.randn(2, 3, 6, 5)
    torch.testing.assert_close(ideal_low_pass(images, (1, 1)), images)


def test_a_model_with_it(tmp_path):
    stored = stored_model("abc")
    model, plain = stored.model.eval(), copy.deepcopy(stored.model)
    apply_antialiasing(model, ["layer2.0.conv1"], "flc")
    apply_antialiasing(model, ["layer3.0.conv1"])
    images = torch.randn(2, 3, 16, 16)
    assert antialiased_layers(model) == ["layer2.0.conv1", "layer3.0.conv1"]
    assert antialiased_layers(model, "flc") == ["layer2.0.conv1"]
    write_model(tmp_path / "model.safetensors", stored)
    for other in (pickle.loads(pickle.dumps(model)), read_model(tmp_path / "model.safetensors").model):
        torch.testing.assert_close(other(images), model(images))
        assert antialiased_layers(other, "flc") == ["layer2.0.conv1"]
    assert not torch.allclose(model(images), plain(images), atol=1e-3)
    with pytest.raises(ValueError, match="has a low-pass already"):
        apply_antialiasing(model, "layer2.0.conv1")
    torch.testing.assert_close(remove_antialiasing(model)(images), plain(images))
    with pytest.raises(ValueError, match="kind must be one of triangle, flc, got 'box'"):
        apply_antialiasing(model, kind="box")
