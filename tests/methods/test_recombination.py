"""`AmplitudePhaseRecombination` and `HybridAugment`: which image gives what, in pairs and alone."""

import pytest
import torch

from freqfast.methods import AmplitudePhaseRecombination, HybridAugment
from freqfast.methods import recombination as module
from freqfast.spectral.recombination import gaussian_low_pass, recombine_amplitude_phase

METHODS = [AmplitudePhaseRecombination, HybridAugment]
ALL = [*METHODS, lambda **options: HybridAugment(plus=True, **options)]


def pale_images(count, seed=7):
    """Images in which nothing clamps."""
    return 0.5 + 0.1 * torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(seed)).clamp(-2, 2)


def test_amplitudes_come_from_other_images():
    pixels = pale_images(6)
    torch.manual_seed(0)
    found = AmplitudePhaseRecombination().change(pixels)
    torch.manual_seed(0)
    torch.testing.assert_close(found, recombine_amplitude_phase(pixels, pixels[torch.randperm(6)]), atol=1e-5, rtol=0)


def test_high_frequencies_come_from_other_images():
    pixels = pale_images(6)
    torch.manual_seed(0)
    found = HybridAugment(sigma=0.5).change(pixels)
    torch.manual_seed(0)
    other = pixels[torch.randperm(6)]
    expected = gaussian_low_pass(pixels, 0.5) + other - gaussian_low_pass(other, 0.5)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_both_parts_of_an_image_are_of_one_sigma_between_the_two(monkeypatch):
    drawn = []
    monkeypatch.setattr(module, "gaussian_low_pass", lambda images, sigma: drawn.append(sigma) or images)
    torch.manual_seed(0)
    HybridAugment(sigma=(0.4, 1.5)).change(pale_images(500))
    assert torch.equal(*drawn)
    assert drawn[0].quantile(torch.tensor([0, 0.5, 1])).tolist() == pytest.approx([0.4, 0.95, 1.5], abs=0.1)


def test_the_plus_form_recombines_a_share_of_the_low_parts():
    pixels = pale_images(12)
    torch.manual_seed(0)
    found = HybridAugment(plus=True, share=0.5).change(pixels)
    torch.manual_seed(0)
    other = pixels[torch.randperm(12)]
    torch.rand(12)  # sigmas
    rows = torch.rand(12, 1, 1, 1) < 0.5
    low, high = gaussian_low_pass(pixels, 0.5), other - gaussian_low_pass(other, 0.5)
    expected = torch.where(rows, recombine_amplitude_phase(low, low[torch.randperm(12)]), low) + high
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert 0 < rows.sum() < 12


@pytest.mark.parametrize("method", ALL)
def test_copies_that_no_operation_changed_give_the_image_back(method, monkeypatch):
    monkeypatch.setattr(module, "random_operation", lambda pixels: pixels)
    pixels = pale_images(16)
    torch.testing.assert_close(method(single=True).change_alone(pixels), pixels, atol=1e-5, rtol=0)


def test_half_of_the_images_are_recombined_with_a_copy_either_way_round(monkeypatch):
    image, once, twice = (pale_images(1, seed) for seed in range(3))
    images = image.expand(4000, -1, -1, -1)
    monkeypatch.setattr(
        module, "random_operation", lambda pixels: (once if pixels is images else twice).expand_as(pixels)
    )
    torch.manual_seed(0)
    found = AmplitudePhaseRecombination(single=True).change_alone(images)
    outcomes = [once, recombine_amplitude_phase(once, twice), recombine_amplitude_phase(twice, once)]
    shares = [
        float((found - outcome.clamp(0, 1)).abs().amax((1, 2, 3)).lt(1e-4).float().mean()) for outcome in outcomes
    ]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.03)


@pytest.mark.parametrize("pair", [False, True])
def test_the_single_form_takes_every_image_before_pairs_and_whatever_their_share(pair):
    method, taken = AmplitudePhaseRecombination(pair=pair, single=True, share=0.25), []
    method.change_alone = lambda pixels: taken.append(len(pixels)) or pixels
    assert len(method.images(torch.rand(8, 3, 12, 12))) == 8 * method.passes_per_image
    assert taken == [8]


@pytest.mark.parametrize("method", ALL)
def test_single_forms_keep_to_pixels(method):
    torch.manual_seed(0)
    pixels = (torch.rand(32, 3, 16, 16) < 0.5).float()
    changed = method(single=True).change_alone(pixels)
    assert (float(changed.min()), float(changed.max())) == (0, 1)
