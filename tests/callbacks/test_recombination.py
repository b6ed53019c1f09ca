"""`AmplitudePhaseRecombination` and `HybridAugment`: which image gives what, in pairs and alone."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from freqfast.callbacks import AmplitudePhaseRecombination, HybridAugment
from freqfast.callbacks import recombination as module
from freqfast.spectral.recombination import recombine_amplitude_phase

METHODS = [AmplitudePhaseRecombination, HybridAugment]
ALL = [*METHODS, lambda **options: HybridAugment(plus=True, **options)]


def pale_images(count, seed=7):
    """Images in which nothing clamps."""
    return 0.5 + 0.1 * torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(seed)).clamp(-2, 2)


def blur(images, sigma):
    """A 3x3 Gaussian by SciPy."""
    taps = np.exp(-0.5 * (np.array([-1, 0, 1]) / sigma) ** 2)
    for axis in (2, 3):
        images = correlate1d(images, taps / taps.sum(), axis=axis, mode="mirror")
    return images


def recombined(phase_of, amplitude_of):
    """Phase of one image and amplitude of another, by NumPy."""
    phase, amplitude = np.angle(np.fft.fftn(phase_of)), np.abs(np.fft.fftn(amplitude_of))
    return np.fft.ifftn(amplitude * np.exp(1j * phase)).real


def test_amplitudes_come_from_other_images():
    pixels = pale_images(6)
    torch.manual_seed(0)
    found = AmplitudePhaseRecombination().change(pixels)
    torch.manual_seed(0)
    others = torch.randperm(6).tolist()
    for i, other in enumerate(others):
        np.testing.assert_allclose(found[i].numpy(), recombined(pixels[i], pixels[other]), atol=1e-5)


def test_high_frequencies_come_from_other_images():
    pixels = pale_images(6)
    torch.manual_seed(0)
    found = HybridAugment(sigma=0.5).change(pixels)
    torch.manual_seed(0)
    other = pixels[torch.randperm(6)].numpy()
    np.testing.assert_allclose(found.numpy(), blur(pixels.numpy(), 0.5) + other - blur(other, 0.5), atol=1e-5)


def test_the_plus_form_recombines_a_share_of_the_low_parts():
    pixels = pale_images(12)
    torch.manual_seed(0)
    found = HybridAugment(plus=True, share=0.5).change(pixels)
    torch.manual_seed(0)
    other = pixels[torch.randperm(12)].numpy()
    torch.rand(12)  # sigmas
    rows, givers = (torch.rand(12, 1, 1, 1) < 0.5).flatten().tolist(), torch.randperm(12).tolist()
    low, high = blur(pixels.numpy(), 0.5), other - blur(other, 0.5)
    for i in range(12):
        own = recombined(low[i], low[givers[i]]) if rows[i] else low[i]
        np.testing.assert_allclose(found[i].numpy(), own + high[i], atol=1e-5)
    assert 0 < sum(rows) < 12


@pytest.mark.parametrize("method", ALL)
def test_copies_that_no_operation_changed_give_the_image_back(method, monkeypatch):
    monkeypatch.setattr(module, "random_operation", lambda pixels: pixels)
    pixels = pale_images(16)
    torch.testing.assert_close(method(single=True).change_alone(pixels), pixels, atol=1e-5, rtol=0)


def test_half_of_the_images_are_recombined_with_a_copy_either_way_round(monkeypatch):
    once, twice = pale_images(1, 1), pale_images(1, 2)
    made = iter([once.expand(4000, -1, -1, -1), twice.expand(4000, -1, -1, -1)])
    monkeypatch.setattr(module, "random_operation", lambda pixels: next(made))
    torch.manual_seed(0)
    found = AmplitudePhaseRecombination(single=True).change_alone(pale_images(1).expand(4000, -1, -1, -1))
    outcomes = [once, recombine_amplitude_phase(once, twice), recombine_amplitude_phase(twice, once)]
    shares = [
        float((found - outcome.clamp(0, 1)).abs().amax((1, 2, 3)).lt(1e-4).float().mean()) for outcome in outcomes
    ]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.03)


@pytest.mark.parametrize("method", ALL)
def test_pixels_stay_pixels(method):
    torch.manual_seed(0)
    pixels = (torch.rand(32, 3, 16, 16) < 0.5).float()
    for changed in (method().change(pixels), method(single=True).change_alone(pixels)):
        assert (float(changed.min()), float(changed.max())) == (0, 1)
