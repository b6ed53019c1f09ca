from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqfast.robustness.outcomes import BINS, CONFIDENCE_UNIT, Outcomes

PREDICTIONS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(2**-20, 1, width=32)), min_size=1, max_size=60
)


@given(PREDICTIONS)
def test_counts_are_those_of_a_loop(predictions):
    classes, labels, confidence = (np.array(column) for column in zip(*predictions, strict=True))
    confidence = confidence.astype(np.float32)
    found = Outcomes.measure(classes, confidence, labels, 5)
    np.testing.assert_array_equal(found.correct, classes == labels)
    assert found.right == (classes == labels).sum()
    assert found.accuracy == (classes == labels).mean()
    expected = [[0, 0, 0] for _ in range(BINS)]
    for right, p in zip(classes == labels, confidence.tolist(), strict=True):
        units = max(1, round(Fraction(p) * 2**24))
        place = next(m for m in range(BINS) if Fraction(m, BINS) < Fraction(units, 2**24) <= Fraction(m + 1, BINS))
        expected[place][0] += 1
        expected[place][1] += int(right)
        expected[place][2] += units
    assert found.bins == tuple(map(tuple, expected))


def test_certainty_is_in_the_last_bin_and_edges_belong_below():
    found = Outcomes.measure(np.zeros(3), np.array([1.0, 0.2, 1e-9]), np.zeros(3))
    counts = [inside for inside, _, _ in found.bins]
    assert counts == [1, 0, 1, *[0] * 11, 1]  # 0.2 in units of 2**-24 is just below 3/15 + 1 ulp


def test_contradictions_are_refused():
    sound = Outcomes.measure(np.array([1, 0, 1]), np.array([0.5, 0.7, 0.9]), np.ones(3))
    first = next(i for i, bin_ in enumerate(sound.bins) if bin_[0])

    def with_first(right, confidence):
        return (*sound.bins[:first], (1, right, confidence), *sound.bins[first + 1 :])

    for change, message in [
        ({"images": 9}, "9 images, but bits for 8 and 3 in bins"),
        ({"images": 5}, "5 images, but bits for 8 and 3 in bins"),
        ({"correct_bits": b""}, "bits for 0"),
        ({"correct_bits": b"\xff"}, "the bins count 2 right images"),
        ({"correct_bits": b"\xe0", "bins": with_first(2, 2**23)}, "the bins count 3 right images"),
        ({"bins": with_first(1, 1)}, "do not lie in it"),
        ({"bins": with_first(1, CONFIDENCE_UNIT)}, "do not lie in it"),
        ({"images": 0, "correct_bits": b"", "bins": ((0, 0, 0),) * BINS}, "0 images"),
    ]:
        with pytest.raises(ValueError, match=message):
            replace(sound, **change)


@pytest.mark.parametrize("confidence", [8608480567734479531, CONFIDENCE_UNIT + 1])
def test_confidences_that_would_wrap_are_refused(confidence):
    sound = Outcomes.measure(np.array([1]), np.array([1.0]), np.ones(1))
    with pytest.raises(ValueError, match="a bin's"):
        replace(sound, bins=(*sound.bins[:-1], (1, 1, confidence)))
