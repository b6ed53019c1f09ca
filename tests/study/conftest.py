from dataclasses import replace

import pytest

from freqfast.runs.recipe import Recipe
from freqfast.study import Arm, ResultRow, Study
from tests.support.places import cache_folder  # noqa: F401 (a fixture that every test has)
from tests.support.runnable import tree  # noqa: F401
from tests.support.runs import ENVIRONMENT, REPORT
from tests.support.studies import STUDY

RATES = {"baseline": 0.1, "low": 0.2, "high": 0.3}  # in which the arms of the made-up study differ


@pytest.fixture
def write(tmp_path):
    """Writes a study file: the text above, with replacements."""

    def write(*replacements, extra=""):
        text = STUDY
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "stripes.toml"
        path.write_text(text + extra, encoding="utf-8")
        return path

    return write


@pytest.fixture
def here(monkeypatch, two_corruptions):
    """Measures two corruptions only, in runs of this process."""
    monkeypatch.setattr("freqfast.corruptions.runnable", lambda names: (names, []))


@pytest.fixture
def make_row():
    """A finished run out of its numbers; ``report`` and ``environment`` change fields of these records."""

    def make_row(arm, seed, clean, mean15=None, seconds=10.0, report=None, environment=None, **recipe):
        found = replace(
            REPORT,
            seed=seed,
            clean=clean,
            mean15=mean15,
            families={} if mean15 is None else {"noise": mean15 - 0.1, "blur": mean15 + 0.1},
            seconds=replace(REPORT.seconds, fit=seconds),
        )
        return ResultRow(
            arm,
            Recipe(arm, seed=seed, lr=RATES[arm], **recipe),
            replace(found, **report or {}),
            replace(ENVIRONMENT, **environment or {}),
        )

    return make_row


@pytest.fixture
def study():
    """A made-up study of three arms."""
    arms = tuple(Arm(name, Recipe(name, lr=rate), (0, 1, 2)) for name, rate in RATES.items())
    return Study("Made up", "", "baseline", arms, {"clean": -0.005, "mean15": 0.13})


@pytest.fixture
def rows(make_row):
    return (
        make_row("baseline", 0, 0.86, 0.64),
        make_row("baseline", 1, 0.87, 0.65),
        make_row("low", 0, 0.85, 0.70, seconds=11.0),
        make_row("low", 1, 0.87, 0.72, seconds=13.0),
        make_row("high", 2, 0.80),
    )
