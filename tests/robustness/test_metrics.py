from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from freqfast.robustness.metrics import (
    corruption_error,
    expected_calibration_error,
    mcnemar,
    mean_interval,
    wilson_interval,
)


@given(st.data(), st.integers(1, 20_000))
def test_wilson_equals_scipy(data, total):
    right = data.draw(st.integers(0, total))
    expected = stats.binomtest(right, total).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_stays_within_bounds():
    assert (wilson_interval(0, 10)[0], wilson_interval(10, 10)[1]) == (0, 1)
    for right, total in [(0, 0), (-1, 5), (6, 5)]:
        with pytest.raises(ValueError, match=f"got {right} of {total}"):
            wilson_interval(right, total)


@given(st.lists(st.integers(0, 75), min_size=2, max_size=50))
def test_mean_interval_equals_scipy(counts):
    scores = np.array(counts) / 75
    expected = scores.mean() + np.array([-1, 1]) * stats.norm.ppf(0.975) * stats.sem(scores)
    assert mean_interval(scores) == pytest.approx(tuple(expected), abs=1e-12)


def test_one_image_has_no_interval():
    assert mean_interval(np.array([0.5])) is None
    assert mean_interval(np.array([0.5, 0.5])) == (0.5, 0.5)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_a_binomial_test_of_discordant_images(pairs):
    ours, theirs = np.array(pairs).T
    only_ours, only_theirs, p = mcnemar(ours, theirs)
    b, c = sum(a and not t for a, t in pairs), sum(t and not a for a, t in pairs)
    assert (only_ours, only_theirs) == (b, c)
    expected = min(1.0, 2 * stats.binom.cdf(min(b, c), b + c, 0.5)) if b + c else 1.0
    assert p == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [(5, 5, 5, 5, 5), (5, 4, 4, 5, 7), (5, 4, 4, 5, 6)])
def test_no_error_relative_to_a_baseline_that_loses_nothing(wrong):
    errors, (clean,) = twentieths(6, 7, 8, 9, 10), twentieths(5)
    assert corruption_error(errors, twentieths(*wrong), clean, clean) is None
    assert corruption_error(errors, twentieths(0, 0, 0, 0, 0)) is None


def twentieths(*counts):
    return [Fraction(count, 20) for count in counts]


def test_calibration_error_is_of_bins_whose_gaps_do_not_cancel():
    assert expected_calibration_error([(4, 3, 3 * 2**24)], 2**24) == 0
    assert expected_calibration_error([(4, 3, 2 * 2**24), (4, 1, 2 * 2**24)], 2**24) == 0.25
    assert expected_calibration_error([(4, 3, 4 * 2**24)], 2**24) == 0.25
