import numpy as np
import pytest
from scipy import stats

from freqfast.corruptions import FAMILIES, MAIN, SEVERITIES
from freqfast.report.measures import ALL, difference, measure, measures_of
from freqfast.robustness import CLEAN, CorruptionResult, Outcomes

IMAGES = 40


def evaluation(seed, crc=0, images=IMAGES):
    """Random outcomes of every cell, image by image."""
    rng = np.random.default_rng(seed)
    hard = rng.random(images)  # the same image is hard in all cells
    cells = [CLEAN, *((name, severity) for name in MAIN for severity in SEVERITIES)]
    return CorruptionResult(
        {key: Outcomes.measure(rng.random(images) < hard, np.full(images, 0.7), np.ones(images), crc) for key in cells}
    )


def test_the_interval_of_a_mean_has_the_image_as_its_unit():
    result = evaluation(0)
    names = FAMILIES["noise"][:3]
    scores = np.mean([result.outcomes[n, s].correct for n in MAIN if n in names for s in SEVERITIES], axis=0)
    interval = stats.norm.interval(0.95, scores.mean(), scores.std(ddof=1) / np.sqrt(IMAGES))
    assert measure(result, "noise") == (pytest.approx(scores.mean()), pytest.approx(interval))
    assert measure(result, "mean15").value == pytest.approx(result.mean15)
    assert measure(result, "clean") == (result.clean, result.outcomes[CLEAN].interval)
    assert measure(result, "mean19") is None


def test_differences_are_paired_on_the_same_images():
    ours, theirs = evaluation(1), evaluation(2)
    found, paired = difference(ours, theirs, "mean15")
    assert paired
    change = ours.image_scores(MAIN) - theirs.image_scores(MAIN)
    interval = stats.norm.interval(0.95, change.mean(), change.std(ddof=1) / np.sqrt(IMAGES))
    assert found == (pytest.approx(change.mean()), pytest.approx(interval))
    assert difference(ours, ours, "clean") == ((0, (0, 0)), True)
    assert difference(ours, theirs, "noise")[1]
    assert difference(ours, ours, "mean19") == (None, False)


@pytest.mark.parametrize(("name", "crc", "images"), [("clean", 1, IMAGES), ("mean15", 1, IMAGES), ("mean15", 0, 30)])
def test_differences_on_other_images_are_unpaired(name, crc, images):
    ours, theirs = evaluation(1, crc, images), evaluation(2)
    found, paired = difference(ours, theirs, name)
    assert not paired
    a, b = measure(ours, name), measure(theirs, name)
    assert found.value == pytest.approx(a.value - b.value)
    half = np.hypot(np.ptp(a.interval), np.ptp(b.interval)) / 2
    assert found.interval == pytest.approx((found.value - half, found.value + half))


def test_the_mean_over_all_stands_for_means_that_none_has():
    def only(result, *names):
        return CorruptionResult({key: each for key, each in result.outcomes.items() if key[0] in (CLEAN[0], *names)})

    ours, theirs = evaluation(1), evaluation(2)
    assert measures_of([ours, theirs]) == ["clean", "mean15", "mean7", *FAMILIES]
    some = [only(each, "fog", "snow") for each in (ours, theirs)]
    assert measures_of(some) == ["clean", ALL]
    assert measures_of([some[0], only(theirs, "fog")]) == ["clean"]  # means over others say nothing together
    change = np.subtract(*(each.image_scores(["fog", "snow"]) for each in some))
    interval = stats.norm.interval(0.95, change.mean(), change.std(ddof=1) / np.sqrt(IMAGES))
    assert difference(*some, ALL) == ((pytest.approx(change.mean()), pytest.approx(interval)), True)


def test_the_mean_of_one_image_has_no_interval():
    found, paired = difference(evaluation(1, images=1), evaluation(2), "mean15")
    assert (found.interval, paired) == (None, False)
