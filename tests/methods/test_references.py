"""The augmentations of others: how strong they are, and the divergence of AugMix."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from freqfast.methods import AugMix, GaussianNoise
from freqfast.methods.references import jensen_shannon


def test_noise_is_white_of_its_sigma():
    torch.manual_seed(0)
    noise = GaussianNoise(sigma=0.1).change(torch.full((64, 3, 32, 32), 0.5)) - 0.5
    assert float(noise.std()) == pytest.approx(0.1, rel=0.01)
    power = torch.fft.rfft2(noise).abs().square().mean((0, 1))
    assert float(power.std() / power.mean()) < 0.2  # 192 images: 7 % by chance, twice that where the DFT is real


def test_augmix_mixes_operations_of_its_severity(monkeypatch):
    monkeypatch.setattr("freqfast.methods.references.mix_operations", lambda pixels, severity=3: severity)
    assert AugMix(severity=7).change(torch.zeros(1, 3, 8, 8)) == 7


def test_jensen_shannon():
    """It is the mean over the batch of the mean Kullback-Leibler divergence to the mixture."""
    torch.manual_seed(0)
    logits = [3 * torch.randn(5, 4, dtype=torch.float64) for _ in range(3)]
    predictions = np.stack([each.softmax(1).numpy() for each in logits])
    expected = scipy.stats.entropy(predictions, predictions.mean(0, keepdims=True), axis=2).mean()
    assert float(jensen_shannon(logits)) == pytest.approx(expected)
    assert float(jensen_shannon(logits[:1] * 3)) == pytest.approx(0, abs=1e-12)
    apart = [torch.tensor([[900.0, 0.0]]), torch.tensor([[0.0, 900.0]])]
    assert float(jensen_shannon(apart)) == pytest.approx(math.log(2))
