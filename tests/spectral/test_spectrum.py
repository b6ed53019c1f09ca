import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from freqfast.spectral.bands import assign_bands, band_shares, frequency_proportion
from freqfast.spectral.equalization import _radial_bins
from freqfast.spectral.modulation import SpectralConv2d, assign_effective_weight, effective_weight
from freqfast.spectral.proportion import project_filters, project_onto_subspace
from freqfast.spectral.spectrum import (
    energy_matrix,
    frequencies,
    frequency_axes,
    power_spectrum,
    radial_frequencies,
)
from tests.support.projected import random_weight


def numpy_power(weight, n):
    """The definition, by NumPy: zero-pad, DFT, sum over input channels, divide by n^2, increasing frequency."""
    transform = np.fft.fft2(weight.double().numpy(), s=(n, n))
    return np.fft.fftshift((np.abs(transform) ** 2).sum(1) / n**2, axes=(-2, -1))


# Grids of frequencies


@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_frequency_grids_are_numpys_and_torchs(height, width):
    whole, half = (frequency_axes(height, width, half=half) for half in (False, True))
    np.testing.assert_array_equal(whole[0][:, 0], np.fft.fftfreq(height))
    np.testing.assert_array_equal(whole[1], np.fft.fftfreq(width))
    np.testing.assert_array_equal(half[1], np.fft.rfftfreq(width))
    np.testing.assert_array_equal(radial_frequencies(height, width), np.hypot(*whole))
    np.testing.assert_array_equal(radial_frequencies(height, width, half=True), np.hypot(*half))
    _, single = frequency_axes(height, width, half=True, dtype=np.float32)
    assert torch.equal(torch.from_numpy(single), torch.fft.rfftfreq(width, dtype=torch.float32))
    assert frequencies(width).tolist() == sorted(whole[1])


def test_frequencies_ignore_the_default_device():
    energy_matrix.cache_clear()
    with torch.device("meta"):
        assert frequencies(4).device.type == "cpu"
        energy_matrix((3, 3), 0.0, math.inf)


# Power spectra


@given(kernel=st.tuples(st.integers(1, 16), st.integers(2, 16)), extra=st.integers(0, 24), seed=st.integers(0, 2**31))
def test_power_spectrum_is_numpys(kernel, extra, seed):
    weight, n = random_weight(seed, 3, 2, *kernel), max(kernel) + extra
    torch.testing.assert_close(power_spectrum(weight, n), torch.from_numpy(numpy_power(weight, n)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_power_spectrum_in_every_dtype(dtype):
    weight = (1e-3 * random_weight(1, 4, 3, 5, 5)).to(dtype)  # whose power a float16 cannot hold
    power = power_spectrum(weight)
    assert power.dtype == torch.promote_types(dtype, torch.float32)
    expected, tolerance = torch.from_numpy(numpy_power(weight, 32)), 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(power.double(), expected, rtol=tolerance, atol=tolerance * float(expected.max()))


# Energy matrices


@pytest.mark.parametrize("kernel_size", [(3, 3), (16, 16), (1, 7), (5, 4), (20, 1)])
@pytest.mark.parametrize(("low", "high"), [(0.0, 0.25), (0.25, 0.4), (0.4, math.inf)])
def test_energy_matrix_is_the_power_inside_an_interval(kernel_size, low, high):
    n = max(32, 2 * max(kernel_size))
    weight = random_weight(5, 6, 1, *kernel_size)
    rho = np.fft.fftshift(radial_frequencies(n, n))
    expected = numpy_power(weight, n)[:, (rho >= low) & (rho < high)].sum(1)
    w = weight.flatten(1).numpy()
    np.testing.assert_allclose(
        np.einsum("op,pq,oq->o", w, energy_matrix(kernel_size, low, high), w), expected, atol=1e-12
    )


def test_an_energy_matrix_that_others_get_too_is_read_only():
    with pytest.raises(ValueError, match="read-only"):
        energy_matrix((3, 3), 0.0, 0.4)[0, 0] = 7


# Devices without float64

MPS, CPU = torch.device("mps"), torch.device("cpu")


class OnMps(torch.Tensor):
    """A tensor as if on Apple's GPU."""


class WithoutFloat64(TorchFunctionMode):
    """That device: no float64, and its tensors do not mix with the CPU's except in a copy."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        given = (args, kwargs or {})
        leaves = tree_leaves(given)
        here = any(isinstance(leaf, OnMps) for leaf in leaves)
        if func == torch.Tensor.device.__get__:
            return MPS if here else CPU
        if func is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        if func is torch.Tensor.numpy and here:
            raise TypeError("can't convert mps:0 device type tensor to numpy")
        if here and func is not torch.Tensor.copy_:
            for leaf in leaves:
                if isinstance(leaf, torch.Tensor) and leaf.ndim and not isinstance(leaf, OnMps):
                    raise RuntimeError("Expected all tensors to be on the same device, but found mps:0 and cpu")
        args, kwargs = tree_map_only(torch.device, lambda _: CPU, given)
        result = func(*args, **kwargs)
        if not isinstance(result, torch.Tensor):
            return result
        places = [leaf for leaf in leaves if isinstance(leaf, torch.device)]
        on_mps = places[0] == MPS if places else here
        if on_mps and result.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        return result.as_subclass(OnMps if on_mps else torch.Tensor)


def assign_projected(weight):
    conv = SpectralConv2d(3, 16, 3, seed=0).requires_grad_(False)
    conv.log_gain = torch.nn.Parameter(conv.log_gain.new_full((16, 5), 0.5).as_subclass(type(weight)), False)
    conv.weight = torch.nn.Parameter(weight.clone(), False)
    assign_effective_weight(conv, project_filters(effective_weight(conv), {"low": 0.25, "high": 0.75}))
    return conv.weight


@pytest.mark.parametrize(
    "function",
    [
        band_shares,
        frequency_proportion,
        lambda weight: project_filters(weight, torch.arange(16) % 2),
        lambda weight: project_onto_subspace(weight, torch.arange(16) % 2),
        lambda weight: assign_bands(band_shares(weight), [4, 12]),
        assign_projected,
        power_spectrum,
        lambda weight: torch.cat([part.flatten() for part in _radial_bins(10, 6, 7, weight.device)]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_device_without_float64(function, dtype):
    weight = random_weight(6, 16, 3, 3, 3, dtype=dtype)
    expected = function(weight)
    with WithoutFloat64():
        found = function(weight.as_subclass(OnMps))
    assert torch.equal(found.as_subclass(torch.Tensor), expected)
    assert found.dtype == expected.dtype
