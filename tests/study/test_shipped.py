"""The study files that come with the recipes."""

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
    study, results = load_study(path), read_results(published_path(path))
    assert results.rows
    assert {row.arm for row in results.rows} <= {arm.name for arm in study.arms}
