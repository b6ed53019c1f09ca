"""The augmentations of others: how strong they are, and their operations."""

import math

import pytest
import torch

from freqfast.callbacks import AugMix, GaussianNoise
from freqfast.callbacks.references import jensen_shannon


def test_noise_is_white_of_its_sigma_and_clamped():
    torch.manual_seed(0)
    noise = GaussianNoise(sigma=0.1).change(torch.full((64, 3, 32, 32), 0.5)) - 0.5
    assert float(noise.std()) == pytest.approx(0.1, rel=0.01)
    power = torch.fft.rfft2(noise).abs().square().mean((0, 1))
    assert float(power.std() / power.mean()) < 0.2  # 192 images: 7 % by chance, twice that where the DFT is real
    noisy = GaussianNoise(sigma=0.5).change(torch.rand(8, 3, 32, 32))
    assert (float(noisy.min()), float(noisy.max())) == (0, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianNoise(sigma=-0.1), "sigma must be greater than or equal to 0, got -0.1"),
        (lambda: AugMix(severity=11), "severity must be less than or equal to 10, got 11"),
        (lambda: AugMix(jsd=-1), "jsd must be greater than or equal to 0, got -1"),
        (lambda: AugMix(mean=[0.5]), "mean and std go together"),
    ],
)
def test_invalid_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def jensen_shannon_by_hand(probabilities):
    """Mean over the batch of the mean Kullback-Leibler divergence to the mixture."""
    total = 0.0
    for row in range(len(probabilities[0])):
        mixture = sum(p[row] for p in probabilities) / len(probabilities)
        for p in probabilities:
            total += sum(x * math.log(x / m) for x, m in zip(p[row], mixture, strict=True)) / len(probabilities)
    return total / len(probabilities[0])


def test_jensen_shannon():
    torch.manual_seed(0)
    logits = [3 * torch.randn(5, 4, dtype=torch.float64) for _ in range(3)]
    expected = jensen_shannon_by_hand([each.softmax(1).numpy() for each in logits])
    assert float(jensen_shannon(logits)) == pytest.approx(expected)
    assert float(jensen_shannon(logits[:1] * 3)) == pytest.approx(0, abs=1e-12)
    assert float(jensen_shannon([torch.tensor([[900.0, 0.0]]), torch.tensor([[0.0, 900.0]])])) == pytest.approx(
        math.log(2)
    )
