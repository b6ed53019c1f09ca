"""The study files that come with the recipes, their result files, and the tables that are published of them."""

import json
import re
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from freqfast.records import plain
from freqfast.study import load_study, published_path, read_results, summarise, tables
from freqfast.training import build_callbacks

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs" / "results").glob("*.md")))
ALL = sorted((ROOT / "recipes" / "studies").glob("*.toml"))
STUDIES = [path for path in ALL if published_path(path).exists()]


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def columns(header):
    """Names of columns; a difference is named after the measure before it."""
    return [f"{before} diff" if name == "diff" else name for before, name in pairwise(["", *header])]


def tables_of(page):
    """Header and rows of every table."""
    for block in re.findall(r"(?:^ *\|.*\n)+", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        header, _, *rows = map(cells, block.splitlines())
        yield header, rows


def tables_of_arms(page):
    """Tables of arms: for each, the cells of an arm by column. A row that names its study is a table by itself."""
    for header, rows in tables_of(page):
        if header[0] == "arm":
            yield dict(arm_of(header, row) for row in rows)
        elif header[:2] == ["study", "arm"]:
            yield from (dict([arm_of(header[1:], row[1:])]) for row in rows)


def name_in(cell):
    """An arm's name; what it is may follow: "low-025: a quarter low", "antialiasing (`best`)"."""
    return re.split("[:, ]", cell)[0]


def arm_of(header, row):
    """Name and cells."""
    return name_in(row[0]), dict(zip(columns(header)[1:], row[1:], strict=True))


study_of = cache(load_study)


@cache
def results_of(path):
    """The rows of a study's result file, and what these say of the arms."""
    rows = read_results(published_path(path))
    return rows, summarise(study_of(path), rows)


@cache
def found_by(path, against=None):
    """The arms' cells by column that a study's result file gives, with differences to the baseline or another arm."""
    arms = {}
    rows, summaries = results_of(path)
    if against is not None:
        summaries = summarise(replace(study_of(path), baseline=against), rows)
    for header, rows in tables(summaries):
        for row in rows:
            arms.setdefault(row[0], {}).update(zip(columns(header)[1:], row[1:], strict=True))
    return arms


PUBLISHED = [(page, table) for page in PAGES for table in tables_of_arms(page)]


def departures(published, found):
    """Cells that differ; a published cell may leave the interval out."""
    differing = []
    for arm, row in published.items():
        for column, cell in row.items():
            given = found[arm].get(column, "")
            if cell not in (given, given.split(" ")[0]):
                differing.append((arm, column, cell, given))
    return differing


@pytest.mark.parametrize(
    ("page", "table"), PUBLISHED, ids=[f"{page.relative_to(ROOT)}-{i}" for i, (page, _) in enumerate(PUBLISHED)]
)
def test_a_published_table_is_what_a_result_file_gives(page, table):
    against = {path: departures(table, found_by(path)) for path in STUDIES if table.keys() <= found_by(path).keys()}
    assert [] in against.values(), against


DIFFERENCES = [
    (name_in(row[0]), name_in(row[1]), dict(zip(header[2:], row[2:], strict=True)))
    for page in PAGES
    for header, rows in tables_of(page)
    if header[:2] == ["difference of", "to"]
    for row in rows
]


@pytest.mark.parametrize(("arm", "against", "published"), DIFFERENCES)
def test_a_published_difference_to_another_arm_is_what_a_result_file_gives(arm, against, published):
    studies = [path for path in STUDIES if {arm, against} <= found_by(path).keys()]
    found = [found_by(path, against)[arm] for path in studies]
    assert published in [{name: differences.get(f"{name} diff") for name in published} for differences in found]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_with_results_has_a_published_table(path):
    found = found_by(path)
    assert any(table.keys() <= found.keys() and not departures(table, found) for _, table in PUBLISHED)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_arm_can_be_built(path):
    for arm in study_of(path).arms:
        assert len(build_callbacks(arm.recipe)) == len(arm.recipe.callbacks)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_published_results_are_of_the_study(path):
    rows, summaries = results_of(path)
    published, found = (
        json.loads(text, parse_float=lambda number: round(float(number), 6))  # versions of SciPy differ in last bits
        for text in (published_path(path).read_text(encoding="utf-8"), json.dumps({"table": plain(summaries)}))
    )
    assert published["table"] == found["table"]
    recipes = {arm.name: arm.recipe for arm in study_of(path).arms}
    for row in rows:
        assert row.recipe.callbacks == recipes[row.arm].callbacks
        assert replace(row.recipe, callbacks={}, seed=0) == replace(recipes[row.arm], callbacks={}, seed=0)
