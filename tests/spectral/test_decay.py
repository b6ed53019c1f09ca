"""The energy of filters outside a band."""

import pytest
import torch

from freqfast.spectral.bands import Bands
from freqfast.spectral.decay import energy_outside
from tests.support.projected import THREE, numpy_shares, random_weight


@pytest.mark.parametrize("kernel_size", [(3, 3), (2, 4)])
@pytest.mark.parametrize("band", ["low", "mid", "high"])
def test_energy_by_numpys_fft(band, kernel_size):
    weight = random_weight(0, 6, 3, *kernel_size)
    outside = 1 - numpy_shares(weight, THREE)[:, THREE.index(band)]
    expected = outside @ weight.flatten(1).square().sum(1).numpy()
    assert float(energy_outside(weight, band, THREE)) == pytest.approx(expected)


def test_the_gradient_is_right():
    weight = random_weight(2, 2, 2, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(energy_outside, (weight, "high", Bands.equal_area(2)))


def test_half_types_and_autocast_compute_in_float32():
    weight = random_weight(3, 8, 3, 3, 3, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = energy_outside(weight)
    assert torch.equal(found, energy_outside(weight))
    assert energy_outside(weight.half()).dtype == torch.float32
