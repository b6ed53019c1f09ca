"""`SpectralConv2d`: the filters that it applies, and its behaviour as a module."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from freqfast.spectral.modulation import SpectralConv2d, effective_weight, gain_frequencies
from tests.support.modulated import CONVOLUTIONS, KERNEL_SIZES, images, numpy_modulated, spectral


@pytest.mark.parametrize("per_filter", [True, False])
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_modulated_weight_is_the_definition(kernel_size, per_filter):
    conv = spectral(3, 6, kernel_size, per_filter=per_filter, dtype=torch.float64)
    np.testing.assert_allclose(conv.modulated_weight().detach().numpy(), numpy_modulated(conv), rtol=0, atol=1e-12)
    assert torch.equal(effective_weight(conv), conv.modulated_weight())


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_one_gain_for_each_pair_of_opposite_frequencies(kernel_size):
    kh, kw = kernel_size
    f = gain_frequencies(kernel_size)
    assert -0.5 <= f.min() <= f.max() < 0.5
    bins = [(round(y * kh), round(x * kw)) for y, x in f.tolist()]
    pairs = [{(u % kh, v % kw), (-u % kh, -v % kw)} for u, v in bins]
    assert set().union(*pairs) == {(u, v) for u in range(kh) for v in range(kw)}
    assert sum(map(len, pairs)) == kh * kw
    assert SpectralConv2d(1, 2, kernel_size).log_gain.shape == (2, len(f))
    assert SpectralConv2d(1, 2, kernel_size, per_filter=False).log_gain.shape == (1, len(f))


@pytest.mark.parametrize("kernel_size", [(3, 3), (4, 4), (2, 5)])
def test_log_gain_grid_is_the_power_ratio_by_increasing_frequency(kernel_size):
    conv = spectral(3, 6, kernel_size, dtype=torch.float64)

    def power(weight):
        return np.fft.fftshift(np.abs(np.fft.fft2(weight.detach().numpy())) ** 2, axes=(-2, -1))

    ratio = np.log(power(effective_weight(conv)) / power(conv.weight))
    grid = conv.log_gain_grid()
    assert not grid.requires_grad
    for channel in range(3):
        np.testing.assert_allclose(ratio[:, channel], grid.numpy(), atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_dtype(dtype):
    conv = SpectralConv2d(3, 6, (2, 5), dtype=dtype)
    assert torch.equal(conv.modulated_weight(), conv.weight)  # zero gain is the weight bit for bit
    conv = spectral(3, 8, 3).to(dtype)
    expected = torch.from_numpy(numpy_modulated(conv)).to(dtype)
    torch.testing.assert_close(conv.modulated_weight(), expected, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_forward_convolves_with_the_modulated_weight(options):
    conv = spectral(4, 8, 3, dtype=torch.float64, **options)
    x = images(2, 4, 9, 9, dtype=torch.float64)
    plain = nn.Conv2d(4, 8, 3, dtype=torch.float64, **options)
    weight = torch.from_numpy(numpy_modulated(conv))
    plain.load_state_dict({"weight": weight} | ({"bias": conv.bias} if conv.bias is not None else {}))
    torch.testing.assert_close(conv(x), plain(x))


@pytest.mark.parametrize("per_filter", [True, False])
def test_gradients_of_weight_and_gain(per_filter):
    conv = spectral(2, 3, (3, 2), per_filter=per_filter, dtype=torch.float64)
    x = images(1, 2, 4, 4, dtype=torch.float64)

    def convolve(weight, log_gain):
        return torch.func.functional_call(conv, {"weight": weight, "log_gain": log_gain}, (x,))

    inputs = [conv.weight.detach().clone().requires_grad_(), conv.log_gain.detach().clone().requires_grad_()]
    assert torch.autograd.gradcheck(convolve, inputs)


def test_a_first_call_in_inference_mode_does_not_spoil_training():
    conv = SpectralConv2d(2, 3, (3, 6))  # a kernel size of its own, so that nothing is cached yet
    with torch.inference_mode():
        conv.eval()(images(1, 2, 8, 8))
    conv.train()(images(1, 2, 8, 8)).sum().backward()
    assert conv.log_gain.grad is not None


def test_autocast_modulates_in_float32():
    conv, x = spectral(3, 8, 3, padding=1), images(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x)
        weight = conv.modulated_weight()
    assert torch.equal(weight, conv.modulated_weight())
    torch.testing.assert_close(out, conv(x).bfloat16(), atol=0.05, rtol=0.05)
    out.float().sum().backward()
    assert torch.isfinite(conv.log_gain.grad).all()


def test_a_pickled_copy_goes_on_with_the_same_noise():
    conv, x = spectral(3, 8, 3, sigma=0.5), images(2, 3, 8, 8)
    conv(x)
    assert torch.equal(pickle.loads(pickle.dumps(conv))(x), conv(x))


def test_a_layer_from_the_meta_device():
    """Which knows no autocast."""
    conv = SpectralConv2d(3, 8, 3, sigma=0.5, device="meta")
    assert conv(images(2, 3, 8, 8).to("meta")).shape == (2, 8, 6, 6)
    conv.to_empty(device="cpu")
    conv.log_gain.data.fill_(7)
    conv.reset_parameters()
    assert conv.weight.isfinite().all()
    assert torch.equal(conv.log_gain, torch.zeros_like(conv.log_gain))


@pytest.mark.filterwarnings("ignore")
def test_traced_by_torchscript():
    conv, images = SpectralConv2d(3, 4, 3).eval(), torch.randn(2, 3, 8, 8)
    conv.log_gain.data.normal_()
    expected = conv(images)
    torch.testing.assert_close(torch.jit.trace(conv, images)(images), expected)
