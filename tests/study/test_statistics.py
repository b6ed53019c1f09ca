import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from freqfast.study import estimate, paired_difference


def test_few_values():
    assert estimate([]) is None
    assert (estimate([0.5]).mean, estimate([0.5]).half_width, estimate([0.5]).n) == (0.5, None, 1)
    assert estimate([0.5, 0.5]).half_width == 0


values = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@given(values)
def test_interval_is_scipys(sample):
    found = estimate(sample)
    if np.std(sample) < 1e-9:
        return
    low, high = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    assert found.mean - found.half_width == pytest.approx(low, abs=1e-9)
    assert found.mean + found.half_width == pytest.approx(high, abs=1e-9)


@given(values, st.integers(0, 2**32 - 1))
def test_pairs_are_scipys_and_take_out_what_seeds_share(sample, seed):
    baseline = np.random.default_rng(seed).random(len(sample))
    found = paired_difference(dict(enumerate(sample)), dict(enumerate(baseline)))
    low, high = stats.ttest_rel(sample, baseline).confidence_interval(0.95)
    assert found.mean - found.half_width == pytest.approx(low, abs=1e-9)
    assert found.mean + found.half_width == pytest.approx(high, abs=1e-9)
    shifted = paired_difference(dict(enumerate(baseline + 0.01)), dict(enumerate(baseline)))
    assert shifted.mean == pytest.approx(0.01)
    assert shifted.half_width == pytest.approx(0, abs=1e-12)


def test_only_common_seeds_count():
    found = paired_difference({0: 0.5, 1: 0.7, 5: 1.0}, {1: 0.6, 0: 0.5, 2: 0.0})
    assert found == estimate([0.0, 0.7 - 0.6])
    assert paired_difference({0: 0.5}, {1: 0.5}) is None
