"""What runs are evaluated on."""

from dataclasses import replace

import numpy as np
import pytest

from freqfast.corruptions import corrupt
from freqfast.data import load_data
from freqfast.robustness import CLEAN
from freqfast.training.outcome import source_of_run
from tests.support.tiny import TINY


@pytest.mark.parametrize(("holdout", "seed"), [(0, 0), (8, 1)])
@pytest.mark.parametrize(("test_images", "corrupted"), [(2, 2), (0, 1000)])
def test_all_images_clean_and_a_sample_corrupted(holdout, seed, test_images, corrupted):
    data = load_data("photos")
    source = source_of_run(replace(TINY, holdout=holdout, test_images=test_images), data, ("contrast", "shot_noise"))
    assert source.keys[:2] == [CLEAN, ("contrast", 1)]
    assert len(source.keys) == 11
    clean, cell = source.cells([CLEAN, ("shot_noise", 3)])
    assert clean.images is data.test.images
    assert len(cell.images) == len(cell.labels) == corrupted
    np.testing.assert_array_equal(cell.images[:2], corrupt(data.test.images[:2], "shot_noise", 3, seed))
