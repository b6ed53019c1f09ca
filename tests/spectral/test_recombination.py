"""Amplitude and phase of different images, and low and high frequencies."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d

from freqfast.spectral.recombination import gaussian_low_pass, recombine_amplitude_phase


def random_images(seed, *shape, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@settings(max_examples=30)
@given(
    size=st.sampled_from([(1, 8, 8), (3, 8, 8), (3, 7, 9), (3, 32, 32)]),
    count=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_amplitude_of_one_and_phase_of_the_other(size, count, seed):
    a, b = random_images(seed, count, *size, dtype=torch.float32), random_images(seed + 1, count, *size).float()
    found, of_phase, of_amplitude = (
        np.fft.fftn(x.numpy(), axes=(1, 2, 3)) for x in (recombine_amplitude_phase(a, b), a, b)
    )
    expected = np.abs(of_amplitude) * np.exp(1j * np.angle(of_phase))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(of_amplitude).max())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types(dtype):
    a, b = random_images(0, 2, 3, 8, 8, dtype=dtype), random_images(1, 2, 3, 8, 8, dtype=dtype)
    found = recombine_amplitude_phase(a, b)
    assert found.dtype == dtype
    torch.testing.assert_close(found, recombine_amplitude_phase(a.float(), b.float()).to(dtype))


@pytest.mark.parametrize(("sigma", "radius"), [(0.2, 1), (0.5, 1), (0.7, 2), (1.5, 4)])
def test_low_pass_is_a_truncated_gaussian(sigma, radius):
    images = random_images(2, 2, 3, 16, 11)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    expected = images.numpy()
    for axis in (2, 3):
        expected = correlate1d(expected, taps, axis=axis, mode="mirror")
    np.testing.assert_allclose(gaussian_low_pass(images, sigma).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("sigma", [8 / 3, 3.0, np.inf])  # radii of 8 and 9
def test_a_low_pass_wider_than_the_image_is_refused(sigma):
    with pytest.raises(ValueError, match=f"sigma must be smaller for images of 8x12, got {sigma:g} pixels"):
        gaussian_low_pass(torch.zeros(2, 3, 8, 12), torch.tensor([0.5, sigma]))


def test_empty_batches():
    none = torch.zeros(0, 3, 8, 8)
    assert gaussian_low_pass(none, 0.5).shape == recombine_amplitude_phase(none, none).shape == none.shape


def test_each_image_has_its_own_sigma():
    images, sigmas = random_images(4, 3, 2, 16, 16), torch.tensor([0.3, 0.9, 1.5])
    together = gaussian_low_pass(images, sigmas)
    for i, sigma in enumerate(sigmas.tolist()):
        torch.testing.assert_close(together[i : i + 1], gaussian_low_pass(images[i : i + 1], sigma))
