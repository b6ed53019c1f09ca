"""Planar waves added to images."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from freqfast.spectral.waves import add_planar_waves


def waves_of(count, channels, height, width, strength, dtype=torch.float64):
    """Waves so faint that nothing clamps."""
    grey = torch.full((count, channels, height, width), 0.5, dtype=dtype)
    return add_planar_waves(grey, strength, torch.Generator().manual_seed(0)) - grey


def test_a_wave_by_hand():
    (wave,) = waves_of(1, 1, 5, 8, 0.1)[0]
    generator = torch.Generator().manual_seed(0)
    frequency = float(torch.randint(1, 9, (1,), generator=generator)) / 8
    angle = math.pi * float(torch.rand(1, generator=generator))
    norm = 0.1 * math.sqrt(40) / 32 * float(torch.empty(1).exponential_(generator=generator))
    row, column = np.mgrid[:5, :8]
    distance = (column - 3.5) * math.cos(angle) + (row - 2) * math.sin(angle)
    expected = np.sin(2 * math.pi * frequency * distance - math.pi / 4)
    np.testing.assert_allclose(wave.numpy(), norm * expected / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (16, 24)])
def test_norms_are_exponential_and_grow_with_the_image(size):
    norms = waves_of(300, 3, *size, 0.1).flatten(2).norm(dim=2).flatten().numpy()
    assert kstest(norms / (0.1 * math.sqrt(size[0] * size[1]) / 32), "expon").pvalue > 0.01


def test_each_channel_has_one_frequency_of_its_own():
    power = np.abs(np.fft.fft2(waves_of(100, 2, 32, 32, 0.1).numpy())) ** 2
    peaks = power.reshape(100, 2, -1).argmax(2)
    assert len(np.unique(peaks)) > 100  # other ones in each channel of each image
    around_the_peak = np.sort(power.reshape(100, 2, -1), 2)[..., -18:].sum(2) / power.sum((2, 3))
    assert np.median(around_the_peak) > 0.8  # two peaks, spread by the borders


def test_the_result_is_clamped_and_keeps_its_dtype():
    images = torch.rand(4, 3, 8, 8, dtype=torch.bfloat16)
    changed = add_planar_waves(images, 30.0)
    assert changed.dtype == torch.bfloat16
    assert (float(changed.min()), float(changed.max())) == (0, 1)
    assert torch.equal(add_planar_waves(images, 0.0), images)
