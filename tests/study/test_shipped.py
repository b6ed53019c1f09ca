"""The study files that come with the recipes."""

from dataclasses import replace
from pathlib import Path

import pytest

from freqfast.study import load_study, published_path, read_results
from freqfast.training import build_callbacks

STUDIES = sorted((Path(__file__).parents[2] / "recipes" / "studies").glob("*.toml"))
PUBLISHED = [path for path in STUDIES if published_path(path).exists()]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_arm_can_be_built(path):
    study = load_study(path)
    for arm in study.arms:
        assert len(build_callbacks(arm.recipe)) == len(arm.recipe.callbacks)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_results_are_of_the_study(path):
    study, rows = load_study(path), read_results(published_path(path))
    assert rows
    recipes = {arm.name: arm.recipe for arm in study.arms}
    for row in rows:
        assert row.recipe.callbacks == recipes[row.arm].callbacks
        assert replace(row.recipe, callbacks={}, seed=0) == replace(recipes[row.arm], callbacks={}, seed=0)


@pytest.mark.parametrize("name", ["medium", "large", "gpu"])
def test_the_upper_tiers_are_judged_on_all_test_images(name):
    (path,) = (path for path in STUDIES if path.stem == name)
    assert {(arm.recipe.test_images, arm.recipe.holdout) for arm in load_study(path).arms} == {(0, 0)}
