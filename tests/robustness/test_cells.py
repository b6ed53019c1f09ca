"""Images corrupted on the fly."""

import numpy as np
import pytest

from freqfast.corruptions import corrupt
from freqfast.data.images import ImageSet
from freqfast.robustness import CLEAN, corrupted_source


def test_images_corrupted_on_the_fly_are_those_of_corrupt(noise):
    images, names = ImageSet(noise(3, size=32), np.arange(3)), ("gaussian_noise", "pixelate")
    first, again = (corrupted_source(images, names, seed=4) for _ in range(2))
    assert first.keys == [CLEAN, *((name, severity) for name in names for severity in (1, 2, 3, 4, 5))]
    clean, *cells = first.cells()
    assert clean.images is images.images
    for one, other in zip(cells, list(again.cells())[1:], strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.images, corrupt(images.images, one.corruption, one.severity, seed=4))
        np.testing.assert_array_equal(one.labels, images.labels)
    other_seed = corrupted_source(images, names, seed=5)
    assert not np.array_equal(other_seed.read("gaussian_noise", 1), cells[0].images)


def test_unknown_corruption_is_named(noise):
    with pytest.raises(ValueError, match="rain"):
        corrupted_source(ImageSet(noise(1, size=32), np.zeros(1, np.int64)), ["rain"])
