import numpy as np
import pytest
import torch
from scipy import ndimage

from freqfast.corruptions.filters import gaussian_filter, pad


@pytest.fixture
def levels(photos):
    return torch.from_numpy(photos[:24].transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize("border", ["edge", "reflect", "symmetric"])
def test_pad_is_numpys(border, levels):
    for reach in (5, 80):  # within the image, and mirrored twice
        expected = np.pad(levels.numpy(), ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode=border)
        assert np.array_equal(pad(levels, reach, border).numpy(), expected)


@pytest.mark.parametrize(
    ("sigma", "truncate", "border", "mode"), [(1.0, 4.0, "edge", "nearest"), (6.4, 3.0, "symmetric", "reflect")]
)
def test_gaussian_filter_is_scipys_to_the_bit(sigma, truncate, border, mode, levels):
    x = levels.to(torch.float64) / 255
    expected = ndimage.gaussian_filter(x.numpy(), sigma, truncate=truncate, mode=mode, axes=(2, 3))
    assert np.array_equal(gaussian_filter(x, sigma, truncate, border).numpy(), expected)
