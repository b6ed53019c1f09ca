import json

import numpy as np
import pytest
from scipy import stats

from freqfast.corruptions import MEANS
from freqfast.robustness import CLEAN, CorruptionResult, compare


@pytest.fixture
def pair(outcomes, all_names):
    """A model and a baseline on 40 images, with random but dependent outcomes; corruption costs both."""
    rng = np.random.default_rng(0)
    difficulty = rng.random(40)
    cells = [CLEAN, *((name, s) for name in all_names for s in range(1, 6))]

    def made(skill):
        ease = {CLEAN: 0.3}
        return CorruptionResult(
            {key: outcomes(rng.random(40) < skill + ease.get(key, 0) - 0.5 * difficulty) for key in cells}
        )

    return made(1.1), made(0.9)


def accuracies(result, names):
    return np.array([[result.accuracy[name][s] for s in range(1, 6)] for name in names])


def test_corruption_errors_by_their_definition(pair, main_names):
    ours, theirs = pair
    e, b = 1 - accuracies(ours, main_names), 1 - accuracies(theirs, main_names)
    found = compare(ours, theirs)
    assert found.mce == pytest.approx((e.sum(1) / b.sum(1)).mean())
    clean_e, clean_b = 1 - ours.clean, 1 - theirs.clean
    assert found.relative_mce == pytest.approx(((e - clean_e).sum(1) / (b - clean_b).sum(1)).mean())


def assert_by_image(found, ours, theirs, keys):
    """It is the difference of the means over some cells, with its interval from the images' own differences."""
    scores = [np.mean([result.outcomes[key].correct for key in keys], 0) for result in (ours, theirs)]
    change = scores[0] - scores[1]
    half = stats.norm.ppf(0.975) * stats.sem(change)
    expected = (change.mean(), change.mean() - half, change.mean() + half)
    assert (found.value, *found.interval) == pytest.approx(expected)


def test_differences_over_complete_sets(pair, main_names, all_names):
    ours, theirs = pair
    found = compare(ours, theirs).differences
    assert list(found) == ["clean", "mean15", "mean7", "mean19"]
    for name, names in (("mean15", main_names), ("mean7", MEANS["mean7"]), ("mean19", all_names)):
        keys = [(corruption, s) for corruption in names for s in range(1, 6)]
        assert_by_image(found[name], ours, theirs, keys)
    assert_by_image(found["clean"], ours, theirs, [CLEAN])


def test_differences_of_families_over_what_both_have(pair):
    ours, theirs = pair
    assert list(compare(ours, theirs).families) == ["noise", "blur", "weather", "digital"]
    found = compare(ours, only(theirs, "snow", "fog", "brightness", "spatter", "pixelate")).families
    assert list(found) == ["weather without frost", "digital without contrast, elastic transform, jpeg compression"]
    keys = [(corruption, s) for corruption in ("snow", "fog", "brightness") for s in range(1, 6)]
    assert_by_image(found["weather without frost"], ours, theirs, keys)


def only(result, *names):
    return CorruptionResult({key: cell for key, cell in result.outcomes.items() if key[0] in names})


def test_an_incomplete_set_is_compared_over_the_common_cells_without_a_summary(pair, all_names):
    ours, theirs = pair
    found = compare(ours, only(theirs, "clean", "fog", "snow"))
    assert list(found.differences) == ["clean", "corrupted"]
    assert_by_image(
        found.differences["corrupted"], ours, theirs, [(name, s) for name in ("snow", "fog") for s in range(1, 6)]
    )
    assert len(found.cells) == 11
    for a, b in ((ours, only(theirs, "fog", "snow")), (only(ours, "fog", "snow"), theirs)):
        found = compare(a, b)
        assert (found.mce, found.relative_mce, found.differences.keys()) == (None, None, {"corrupted"})
    for a, b in ((ours, only(theirs, *all_names)), (only(ours, *all_names), theirs)):
        assert compare(a, b).relative_mce is None
        assert compare(a, b).mce is not None


@pytest.mark.parametrize("name", ["mean_bar", "mean_bar_imagenet"])
def test_difference_over_c_bar(outcomes, name):
    rng = np.random.default_rng(0)
    keys = [(corruption, s) for corruption in MEANS[name] for s in range(1, 6)]
    ours, theirs = (CorruptionResult({key: outcomes(rng.random(30) < 0.5) for key in keys}) for _ in range(2))
    found = compare(ours, theirs)
    assert list(found.differences) == [name]
    mean_bar = found.differences[name]
    assert_by_image(mean_bar, ours, theirs, keys)
    assert found.to_dict()["differences"] == {name: {"difference": mean_bar.value, "interval": list(mean_bar.interval)}}
    assert f"({name} " in repr(ours)


def test_a_single_image_has_no_interval(outcomes):
    ours, theirs = (CorruptionResult({("fog", 1): outcomes([right])}) for right in (1, 0))
    assert compare(ours, theirs).to_dict()["differences"] == {"corrupted": {"difference": 1.0, "interval": None}}


def test_cells_of_other_numbers_of_images_have_no_common_difference(outcomes):
    ours = CorruptionResult({("fog", 1): outcomes([1, 0, 1]), ("snow", 1): outcomes([1, 0])})
    found = compare(ours, ours)
    assert (len(found.cells), found.differences) == (2, {})


def test_every_cell_is_paired(pair):
    ours, theirs = pair
    found = compare(ours, theirs, "other")
    assert list(found.cells) == list(ours.outcomes)
    for key, cell in found.cells.items():
        a, b = ours.outcomes[key].correct, theirs.outcomes[key].correct
        assert cell.difference == pytest.approx(a.mean() - b.mean())
        assert (cell.only_model, cell.only_baseline) == ((a & ~b).sum(), (b & ~a).sum())
        table = stats.binomtest(int((a & ~b).sum()), max(1, int((a ^ b).sum())))
        assert cell.p == pytest.approx(table.pvalue if (a ^ b).any() else 1.0)


def test_to_dict_is_json(pair):
    found = compare(*pair, "base").to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["baseline"] == "base"
    assert set(found["cells"]["fog"]) == {"1", "2", "3", "4", "5"}
    assert set(found["clean"]) == {"difference", "only_model", "only_baseline", "p"}


@pytest.mark.parametrize(("right_of", "clean"), [(lambda i, s: 20, 20), (lambda i, s: 20 if i == 3 else 10, 18)])
def test_a_baseline_that_is_perfect_on_any_corruption_has_no_corruption_error(resulting, all_names, right_of, clean):
    perfect = resulting(right_of, all_names, clean=clean)
    assert compare(perfect, perfect).mce is None
    assert compare(perfect, perfect).relative_mce is None


def test_other_clean_images_are_not_paired(pair, outcomes):
    """A run is measured on all test images clean, and on fewer under corruption."""
    ours, theirs = pair
    more = CorruptionResult(theirs.outcomes | {CLEAN: outcomes(np.arange(60) < 54)})
    reordered = CorruptionResult(theirs.outcomes | {CLEAN: outcomes(np.arange(40) < 36, images_crc32=1)})
    found = compare(ours, theirs)
    for baseline in (more, reordered):
        apart = compare(ours, baseline)
        assert (found.other_clean, apart.other_clean) == (False, True)
        assert apart.cells == {key: cell for key, cell in found.cells.items() if key != CLEAN}
        assert (apart.mce, apart.differences["mean15"]) == (found.mce, found.differences["mean15"])
        assert apart.relative_mce == compare(ours, reordered).relative_mce  # by the accuracy alone, here 0.9
        assert apart.to_dict()["clean"] is None


def test_other_images_are_refused(outcomes):
    ours = CorruptionResult({("fog", 2): outcomes([1, 0], images_crc32=1)})
    message = (
        r"base was measured on other images of fog 2 \(2, checksum 00000002\) than the model \(2, checksum 00000001\)"
    )
    with pytest.raises(ValueError, match=message):
        compare(ours, CorruptionResult({("fog", 2): outcomes([1, 0], images_crc32=2)}), "base")
    with pytest.raises(ValueError, match="base was measured on none of these corruptions"):
        compare(ours, CorruptionResult({CLEAN: outcomes([1, 0])}), "base")
