import json

import numpy as np
import pytest

from freqfast.corruptions import C_BAR, HEADLINES
from freqfast.robustness import CLEAN, CorruptionResult


def test_means_by_hand(resulting, all_names):
    result = resulting(lambda i, s: i + (s > 1) * 1, all_names, clean=18)
    # Severities 1..5 add 0, 1, 1, 1, 1: 0.8 on average; corruptions 0..14 average to 7, and 0..18 to 9.
    assert result.mean15 == pytest.approx(7.8 / 20)
    assert result.mean19 == pytest.approx(9.8 / 20)
    assert result.mean() == result.mean19
    assert result.mean(["fog"]) == pytest.approx(9.8 / 20)
    assert result.families == pytest.approx(
        {"noise": 1.8 / 20, "blur": 5.3 / 20, "weather": 9.3 / 20, "digital": 13.3 / 20}
    )
    assert (result.missing, result.images, result.clean) == ([], 20, 0.9)


def test_mean_over_c_bar(resulting, main_names):
    result = resulting(lambda i, s: 5 if i < 15 else i - 9, (*main_names, *C_BAR))
    assert result.mean_bar == pytest.approx(np.mean(range(6, 16)) / 20)
    assert result.mean15 == pytest.approx(5 / 20)
    assert resulting(lambda i, s: i, C_BAR[1:]).mean_bar is None


@pytest.mark.parametrize("absent", [("fog", None), ("fog", 3)])
def test_no_mean_of_missing_corruptions(resulting, main_names, all_names, absent):
    name, severity = absent
    cells = resulting(lambda i, s: 10, all_names).outcomes
    result = CorruptionResult({key: cells[key] for key in cells if key != absent and (severity or key[0] != name)})
    assert result.mean15 is None
    assert result.interval(main_names) is None
    assert result.mean19 is None
    assert result.mean() == 0.5
    assert set(result.families) == {"noise", "blur", "digital"}
    assert result.missing == ([name] if severity is None else [])


def test_empty_result(all_names):
    result = CorruptionResult({})
    assert result.mean() is None
    assert result.mean([]) is None
    assert result.mean_ece is None
    assert result.families == {}
    assert result.missing == list(all_names)
    assert result.images == 0
    json.dumps(result.to_dict())


def test_a_shard_of_clean_images_alone_counts_them(outcomes):
    result = CorruptionResult({CLEAN: outcomes([1, 1, 1, 0])})
    assert (result.images, repr(result)) == (4, "CorruptionResult(clean 75.00 %; 1 cells of 4 images)")


def test_to_dict_is_json_with_fractions(outcomes):
    cells = {CLEAN: outcomes([1, 1, 1, 1]), ("fog", 1): outcomes([1, 1, 0, 0]), ("fog", 2): outcomes([1, 0, 0, 0])}
    found = CorruptionResult(cells).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["accuracy"] == {"fog": {"1": 0.5, "2": 0.25}}
    assert (found["clean"], found["corrupted"], found["images"]) == (1.0, 0.375, 4)
    assert (found["mean15"], found["mean19"], found["mean_bar"], found["families"]) == (None, None, None, {})
    assert len(found["missing"]) == 18
    assert found["ece"] == {"clean": 0.25, "corrupted": 0.375, "cells": {"fog": {"1": 0.25, "2": 0.5}}}
    assert set(found["intervals"]) == {"clean", *HEADLINES, "accuracy"}
    assert found["intervals"]["mean15"] is None
    low, high = found["intervals"]["accuracy"]["fog"]["1"]
    assert 0 < low < 0.5 < high < 1


def test_the_unit_of_the_interval_is_the_image(outcomes, main_names):
    """Twenty images that are each right in all cells or in none are worth 20 observations, not 1,500."""
    rng = np.random.default_rng(0)
    right = rng.random(20) < 0.6
    same = CorruptionResult({(name, s): outcomes(right) for name in main_names for s in range(1, 6)})
    half = 1.959964 * right.std(ddof=1) / np.sqrt(20)
    assert same.interval(main_names) == pytest.approx((right.mean() - half, right.mean() + half))
    assert same.to_dict()["intervals"]["mean15"] == list(same.interval(main_names))
    apart = CorruptionResult({(n, s): outcomes(rng.permutation(right)) for n in main_names for s in range(1, 6)})
    assert np.diff(apart.interval(main_names)) < np.diff(same.interval(main_names)) / 4


def test_intervals_stay_within_0_and_1(resulting, main_names):
    assert resulting(lambda i, s: 19, main_names).interval(main_names)[1] == 1
    assert resulting(lambda i, s: 1, main_names).interval(main_names)[0] == 0


def test_no_interval_over_cells_of_other_numbers_of_images(outcomes, main_names):
    cells = {
        (name, s): outcomes(np.arange(20 if name == "fog" else 10) < 5) for name in main_names for s in range(1, 6)
    }
    result = CorruptionResult(cells)
    assert (result.image_scores(main_names), result.interval(main_names)) == (None, None)
    assert result.mean15 is not None
