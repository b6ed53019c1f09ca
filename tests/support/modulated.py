"""Modulated convolutions with random gains, and the definition of what they apply by NumPy alone."""

import numpy as np
import torch
from torch import nn

from freqfast.spectral.modulation import SpectralConv2d, gain_frequencies

KERNEL_SIZES = [(3, 3), (2, 2), (4, 4), (7, 7), (1, 3), (3, 1), (2, 5)]
CONVOLUTIONS = {
    "plain": {},
    "strided": {"stride": 2},
    "padded": {"padding": 1},
    "same": {"padding": "same"},
    "reflect": {"padding": 1, "padding_mode": "reflect"},
    "circular": {"padding": (2, 1), "padding_mode": "circular"},
    "replicate": {"padding": 1, "padding_mode": "replicate"},
    "dilated": {"dilation": 2},
    "grouped": {"groups": 2},
    "depthwise": {"groups": 4},
    "unbiased": {"bias": False},
}


def spectral(*args, gain=1.0, seed=0, **kwargs):
    """A SpectralConv2d with random log gains."""
    torch.manual_seed(seed)
    conv = SpectralConv2d(*args, **kwargs)
    with torch.no_grad():
        conv.log_gain.normal_(0, gain)
    return conv


def images(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def small_model(dtype=torch.float32):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.LazyLinear(5)]
    model = nn.Sequential(*layers)
    model(torch.zeros(1, 3, 8, 8))
    return model.to(dtype).eval()


def numpy_modulated(conv):
    """The definition, by NumPy: Re IDFT(DFT(W) exp(g / 2)) with g looked up by frequency on the kernel's DFT grid."""
    size = conv.kernel_size
    gain_at = {}
    for column, (fy, fx) in enumerate(gain_frequencies(size).tolist()):
        u, v = round(fy * size[0]), round(fx * size[1])
        for sign in (1, -1):
            gain_at[sign * u % size[0], sign * v % size[1]] = column
    columns = np.array([[gain_at[u, v] for v in range(size[1])] for u in range(size[0])])
    g = conv.log_gain.detach().double().numpy()[:, None, columns]
    spectrum = np.fft.fft2(conv.weight.detach().double().numpy()) * np.exp(g / 2)
    modulated = np.fft.ifft2(spectrum)
    assert np.abs(modulated.imag).max() < 1e-12 * np.abs(modulated).max()  # tied gains keep the kernels real
    return modulated.real
