import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from freqfast.study import Sample, difference, estimate
from freqfast.study.statistics import image_groups

values = st.lists(st.floats(0, 1), min_size=2, max_size=8)


def sample(values):
    return Sample(dict(enumerate(values)))


def test_one_seed_has_no_interval():
    assert estimate(Sample({})) is None
    found = estimate(one := Sample({3: 0.5}, {3: (0.4, 0.6)}), [one, sample([0.1, 0.3])])
    assert (found.mean, found.half_width, found.n) == (0.5, None, 1)


@given(values, st.integers(0, 2**32 - 1), st.floats(0.5, 0.999))
@example([2.1e-81, 0.0], 0, 0.95)
@example([0.25, 0.5, 0.75], None, 0.95)
def test_without_other_arms_intervals_are_scipys(ours, seed, confidence):
    theirs = [value + 0.25 for value in ours] if seed is None else np.random.default_rng(seed).random(len(ours))
    for found, test in (
        (estimate(sample(ours), confidence=confidence), stats.ttest_1samp(ours, 0)),
        (
            difference(sample(ours), sample(theirs), confidence=confidence),
            stats.ttest_ind(ours, theirs, equal_var=False),
        ),
    ):
        if found.half_width > 1e-9:
            low, high = test.confidence_interval(confidence)
            assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))


# Arms of three seeds about 0.5, whose deviations are these.
def deviating(*deviations):
    return [sample([0.5 - deviation, 0.5, 0.5 + deviation]) for deviation in deviations]


# A table's t: of the pooled deviation's 16 degrees of freedom, and of an arm's own two.
@pytest.mark.parametrize(
    ("deviations", "half"),
    [
        ([0.001, *[0.08] * 7], 2.11991 * 0.08 * np.sqrt(7 / 8)),
        ([0.02] * 8, 4.30265 * 0.02),
        ([0.05, *[0.001] * 7], 4.30265 * 0.05),
    ],
)
def test_the_wider_interval_of_the_pooled_deviation_and_of_an_arms_own(deviations, half):
    arms = deviating(*deviations)
    assert estimate(arms[0], arms).half_width == pytest.approx(half / np.sqrt(3), rel=1e-4)


def test_in_the_pool_an_arm_weighs_by_its_degrees_of_freedom():
    arms = [sample([0.5, 0.5]), sample([0.3, 0.4, 0.5, 0.6, 0.7])]
    pooled = 0.025 * 4 / 5
    for confidence in (0.9, 0.95):
        half = stats.t.ppf((1 + confidence) / 2, 5) * np.sqrt(pooled / 2)
        assert estimate(arms[0], arms, confidence).half_width == pytest.approx(half)


def test_a_difference_deviates_by_the_root_of_two_as_much():
    arms = [*deviating(0, *[0.2] * 7), sample([0.6, 0.6, 0.6])]
    found = difference(arms[-1], arms[0], arms)
    pooled = 0.2 * np.sqrt(7 / 9)
    assert (found.mean, found.half_width) == pytest.approx((0.1, 2.10092 * pooled * np.sqrt(2 / 3)), rel=1e-5)


@given(st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_between_two_arms_of_equal_size_the_interval_is_welchs(n, seed):
    """The pooled interval is then never wider: the variance is the same, and its degrees of freedom are no fewer."""
    ours, theirs = np.random.default_rng(seed).normal(0.8, [[0.01], [0.03]], (2, n))
    arms = [sample(ours), sample(theirs)]
    low, high = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert difference(*arms, arms).half_width == pytest.approx((high - low) / 2)


def test_the_interval_changes_little_with_one_run_that_deviates_a_little_more():
    """Where the two intervals are equally wide, it goes from one to the other without a jump."""
    halves = [estimate((arms := deviating(own, *[0.02] * 7))[0], arms).half_width for own in np.linspace(0, 0.05, 501)]
    assert max(np.diff(halves)) < 0.0003
    assert halves[0] < halves[-1] / 4


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_all_seeds_of_both_count_whichever_they_are(own, others, seed):
    ours, theirs = (np.random.default_rng(seed).normal(0.8, 0.02, n) for n in (own, others))
    found = difference(Sample(dict(enumerate(ours, 3))), sample(theirs))
    low, high = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))
    assert found.n == own


def test_the_pooled_interval_of_a_difference_counts_the_seeds_of_both():
    arms = [sample([0.5, 0.5]), sample([0.3, 0.4, 0.5, 0.6, 0.7]), sample([0.1, 0.3, 0.5])]
    pooled = (0.1 + 0.08) / (1 + 4 + 2)
    half = stats.t.ppf(0.975, 7) * np.sqrt(pooled * (1 / 2 + 1 / 5))
    assert difference(arms[0], arms[1], arms).half_width == pytest.approx(half)


def test_a_difference_needs_a_seed_of_both_and_its_interval_two():
    assert difference(Sample({}), sample([0.5, 0.6])) is difference(sample([0.5, 0.6]), Sample({})) is None
    for ours, theirs in (([0.5], [0.3, 0.4]), ([0.6, 0.7], [0.3])):
        found = difference(sample(ours), sample(theirs))
        assert (found.mean, found.half_width) == (pytest.approx(np.mean(ours) - np.mean(theirs)), None)


@pytest.mark.parametrize("confidence", [0, 1, 95, np.nan])
def test_a_confidence_outside_0_to_1_is_refused(confidence):
    with pytest.raises(ValueError, match=f"confidence must lie between 0 and 1, got {confidence}"):
        estimate(sample([0.5, 0.6]), confidence=confidence)


def test_images_count_only_if_the_groups_of_all_networks_are_alike():
    ours = Sample({0: 0.5, 1: 0.7}, {0: (0.4, 0.6), 1: (0.7, 0.7)})
    for groups in ({0: (0.5, 0.5)}, {0: (0.5, 0.5), 1: (0.5, 0.6, 0.7)}):
        assert not difference(ours, Sample({0: 0.5, 1: 0.6}, groups)).counts_images


def test_images_are_dealt_out_to_groups():
    by_class = np.repeat([0.0, 1.0], 1000)
    assert image_groups(by_class) == (0.5,) * 50  # and not 25 of each class
    scores = np.random.default_rng(0).random(1283)
    assert image_groups(scores)[7] == pytest.approx(np.mean([scores[i] for i in range(7, 1283, 50)]), abs=1e-5)
    assert image_groups(np.array([1.0, 0.0])) == (1.0, 0.0)


def test_images_that_seeds_share_are_counted_once():
    """Networks that agree image by image: the interval is that of the mean of one sample of images."""
    scores = np.random.default_rng(0).random(50)
    mean = scores.mean()
    same = Sample(dict.fromkeys(range(4), mean), dict.fromkeys(range(4), tuple(scores)))
    low, high = stats.ttest_1samp(scores, 0).confidence_interval(0.95)
    found = estimate(same)
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))
    assert found.counts_images


def test_a_difference_is_paired_by_image():
    """Networks that agree image by image: the interval is that of the images' differences, for any numbers of seeds."""
    ours, theirs = np.random.default_rng(0).random((2, 50)) + np.linspace(0, 9, 50)
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.99)
    found = difference(
        Sample(dict.fromkeys(range(4), ours.mean()), dict.fromkeys(range(4), tuple(ours))),
        Sample(dict.fromkeys(range(2), theirs.mean()), dict.fromkeys(range(2), tuple(theirs))),
        confidence=0.99,
    )
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))


def test_chance_between_networks_is_no_chance_of_the_images():
    """By an analysis of variance of two factors: what neither seeds nor images explain is taken off the images' own."""
    rng, seeds, images = np.random.default_rng(0), 3, 6
    scores = rng.normal(0.5, 0.1, images) + rng.normal(0, 0.05, (seeds, images))
    design = np.column_stack([np.tile(np.eye(images), (seeds, 1)), np.repeat(np.eye(seeds), images, axis=0)[:, 1:]])
    (residual,) = np.linalg.lstsq(design, scores.ravel(), rcond=None)[1]
    square = seeds * scores.mean(0).var(ddof=1) - residual / (scores.size - design.shape[1])
    found = estimate(Sample(dict.fromkeys(range(seeds), 0.5), dict(enumerate(scores))))
    assert square > 0
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, images - 1) * np.sqrt(square / scores.size))


def test_a_single_group_of_images_counts_no_images():
    found = estimate(Sample({0: 1.0, 1: 0.5}, {0: (1.0,), 1: (0.5,)}))
    assert np.isfinite(found.half_width)
    assert not found.counts_images


@pytest.mark.parametrize(
    ("count", "seeds", "of_baseline", "factor", "least"),
    [
        (8, 3, 3, 1, 0.94),
        (8, 3, 3, 3, 0.94),
        (8, 3, 5, 3, 0.94),
        (4, 3, 3, 3, 0.94),
        (2, 2, 2, 3, 0.94),
        (2, 2, 2, 10, 0.92),
    ],
)
def test_intervals_hold_the_truth_where_the_baseline_deviates_more(count, seeds, of_baseline, factor, least):
    rng = np.random.default_rng(0)
    held = []
    for _ in range(600):
        arms = [sample(rng.normal(0, factor, of_baseline)), *map(sample, rng.normal(0, 1, (count - 1, seeds)))]
        found = difference(arms[1], arms[0], arms)
        held.append(abs(found.mean) <= found.half_width)
    assert least <= np.mean(held) <= 0.995


@pytest.mark.parametrize(("seeds", "images", "both"), [(0.02, 0.2, 0.2), (0.03, 0.0, 0.3), (0.0, 0.3, 0.0)])
def test_about_95_of_100_intervals_hold_the_truth(seeds, images, both):
    """Synthetic arms of three networks: each has its chance, each image its own for an arm, and each pair of these."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        arms = []
        for own in images * rng.standard_normal((6, 50)):
            scores = own + seeds * rng.standard_normal((3, 1)) + both * rng.standard_normal((3, 50))
            arms.append(Sample(dict(enumerate(scores.mean(axis=1))), dict(enumerate(scores))))
        found = [estimate(arms[1], arms), difference(arms[2], arms[0], arms)]
        held += [abs(one.mean) <= one.half_width for one in found]
    assert 0.93 <= np.mean(held) <= 0.99
