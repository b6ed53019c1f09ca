import pytest

from tests.support.finished import write_run


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """Writes a finished run in a folder of its own, see `write_run`."""
    return lambda name, **settings: write_run(tmp_path_factory.mktemp("runs") / name, **settings)


@pytest.fixture
def no_figures(monkeypatch):
    """Pages of words alone: figures take most of the time."""
    monkeypatch.setattr("freqfast.report.page.page_figures", lambda entries: ())
