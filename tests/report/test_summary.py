import dataclasses

import numpy as np
import pytest
from scipy import stats

from freqfast.corruptions import FAMILIES, MAIN, SEVERITIES
from freqfast.report.summary import RunResult, difference, measure
from freqfast.robustness import CLEAN, CorruptionReport, Outcomes

IMAGES = 40


def evaluation(seed, crc=0):
    """Random outcomes of every cell, image by image."""
    rng = np.random.default_rng(seed)
    hard = rng.random(IMAGES)  # the same image is hard in all cells
    cells = [CLEAN, *((name, severity) for name in MAIN for severity in SEVERITIES)]
    return CorruptionReport(
        {key: Outcomes.measure(rng.random(IMAGES) < hard, np.full(IMAGES, 0.7), np.ones(IMAGES), crc) for key in cells}
    )


def test_without_outcomes_the_interval_is_wilson_s_for_as_many_trials_as_images():
    result = RunResult({"clean": 0.8, "mean15": 0.6, "families": {"noise": 0.5}, "images": 200})
    for name, value in (("clean", 0.8), ("mean15", 0.6), ("noise", 0.5)):
        expected = stats.binomtest(round(200 * value), 200).proportion_ci(method="wilson")
        found = measure(result, name)
        assert (found.value, found.low, found.high) == pytest.approx((value, expected.low, expected.high))
    assert measure(result, "mean19") is None


@pytest.mark.parametrize(
    ("environment", "holdout", "images"),
    [({}, 0, 200), ({"data": None}, 0, 200), ({"data": {"name": "cifar10"}}, 0, 10_000), ({}, 500, 500)],
)
def test_clean_images_are_counted_where_they_are_known(environment, holdout, images):
    result = RunResult({"clean": 0.8, "images": 200}, environment, holdout)
    expected = stats.binomtest(round(0.8 * images), images).proportion_ci(method="wilson")
    assert measure(result, "clean")[1:] == pytest.approx((expected.low, expected.high))


def test_a_report_s_own_interval_comes_first():
    result = RunResult({"mean15": 0.6, "images": 200, "intervals": {"mean15": [0.58, 0.63], "clean": None}, "clean": 1})
    assert measure(result, "mean15") == (0.6, 0.58, 0.63)
    assert measure(result, "clean").high == 1


def test_outcomes_by_image_give_the_interval_of_a_mean_over_images():
    report = evaluation(0)
    result = RunResult({"clean": 0.1, "mean15": 0.1, "images": 3}, evaluation=report)
    names = FAMILIES["noise"][:3]
    scores = np.mean([report.outcomes[n, s].correct for n in MAIN if n in names for s in SEVERITIES], axis=0)
    found = measure(result, "noise")
    low, high = stats.norm.interval(0.95, scores.mean(), scores.std(ddof=1) / np.sqrt(IMAGES))
    assert found == pytest.approx((scores.mean(), low, high))
    assert measure(result, "clean").value == report.clean
    assert measure(result, "mean15").value == pytest.approx(report.mean15)


def test_differences_are_paired_on_the_same_images():
    ours, theirs = evaluation(1), evaluation(2)
    found, paired = difference(RunResult({}, evaluation=ours), RunResult({}, evaluation=theirs), "mean15")
    assert paired
    change = ours.image_scores(MAIN) - theirs.image_scores(MAIN)
    low, high = stats.norm.interval(0.95, change.mean(), change.std(ddof=1) / np.sqrt(IMAGES))
    assert found == pytest.approx((change.mean(), low, high))
    itself, paired = difference(RunResult({}, evaluation=ours), RunResult({}, evaluation=ours), "clean")
    assert (itself, paired) == ((0, 0, 0), True)


def test_differences_are_unpaired_where_the_images_differ_or_are_unknown():
    report = {"clean": 0.8, "mean15": 0.6, "images": 200}
    for ours, theirs in (
        (RunResult({}, evaluation=evaluation(1, crc=1)), RunResult({}, evaluation=evaluation(2))),
        (RunResult({}, evaluation=evaluation(1)), RunResult(report)),
        (RunResult(report), RunResult(report | {"mean15": 0.5})),
    ):
        found, paired = difference(ours, theirs, "mean15")
        assert not paired
        a, b = measure(ours, "mean15"), measure(theirs, "mean15")
        assert found.value == pytest.approx(a.value - b.value)
        assert found.half == pytest.approx(np.hypot(a.high - a.low, b.high - b.low) / 2)
    assert difference(RunResult(report), RunResult(report), "mean19") == (None, False)


def test_without_a_count_there_is_no_interval():
    result = RunResult({"clean": 0.8})
    assert measure(result, "clean") == (0.8, None, None)
    assert difference(result, result, "clean") == ((0, None, None), False)


def test_outcomes_of_a_part_leave_the_rest_to_the_report():
    report = evaluation(0)
    part = dataclasses.replace(report, outcomes={CLEAN: report.outcomes[CLEAN]})
    result = RunResult({"mean15": 0.6, "images": 200}, evaluation=part)
    assert measure(result, "mean15").value == 0.6
    assert measure(result, "clean").value == report.clean
