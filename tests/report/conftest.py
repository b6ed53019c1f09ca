from dataclasses import replace

import pytest

from freqfast.report.entries import load_entries
from tests.support.finished import image_results, write_run


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """Writes a finished run in a folder of its own, see `write_run`."""
    return lambda name, **settings: write_run(tmp_path_factory.mktemp("runs") / name, **settings)


@pytest.fixture(scope="session")
def entry(make_run):
    """A run as the page reads it, with one result of each analysis."""
    return load_entries([make_run("whole", analyses=image_results())])[0]


@pytest.fixture(scope="session")
def variant(entry):
    """Gives the entry under another label, with other settings of its recipe."""

    def variant(label, result=entry.result, analyses=entry.analyses, **settings):
        run = replace(entry.run, recipe=replace(entry.run.recipe, **settings))
        return replace(entry, label=label, run=run, result=result, analyses=analyses)

    return variant
