"""The study files that come with the recipes, their result files, and what is published of them."""

import json

import pytest

from freqfast.records import plain
from freqfast.study import load_study, published_path, summarise
from freqfast.training import build_callbacks
from tests.study.published import ALL, PAGES, ROOT, STUDIES, TABLES, agreeing, elsewhere, intervals, results_of


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table[0].place)
def test_a_published_table_is_what_a_result_file_gives(table):
    assert agreeing(table), {study.stem: [row.departures(study) for row in table] for study in STUDIES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_an_interval_anywhere_stands_in_a_table_of_arms(page):
    quoted = {found.groups() for found in elsewhere(page, page.read_text(encoding="utf-8"))}
    assert quoted <= {found for table in TABLES for row in table for found in intervals(row.cells.values())}


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.stem)
def test_every_study_with_results_has_a_published_table(study):
    assert any(study in agreeing(table) for table in TABLES if table[0].against is None)


@pytest.mark.parametrize("study", ALL, ids=lambda study: study.stem)
def test_every_arm_can_be_built(study):
    for arm in load_study(study).arms:
        assert len(build_callbacks(arm.recipe)) == len(arm.recipe.callbacks)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.stem)
def test_published_results_are_of_the_study(study):
    definition, rows = results_of(study)
    published, found = (
        json.loads(text, parse_float=lambda number: round(float(number), 6))  # versions of SciPy differ in last bits
        for text in (
            published_path(study).read_text(encoding="utf-8"),
            json.dumps({"table": plain(summarise(definition, rows))}),
        )
    )
    assert published["table"] == found["table"]
    runs = {run.name: run for arm in definition.arms for run in arm.runs}
    for row in rows:
        assert runs[row.name].difference(row.recipe) is None
