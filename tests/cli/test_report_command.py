"""`freqfast report`: a page of runs, and what it refuses."""

import pytest

from tests.support.finished import write_run


@pytest.fixture
def run(place):
    return write_run(place / "a")


@pytest.fixture
def former(place):
    """A page of an earlier day, which no refusal may touch."""
    (place / "report.html").write_text("a former page")
    yield
    assert (place / "report.html").read_text() == "a former page"


def test_a_page_of_two_runs(accepted, place, run, no_figures):
    write_run(place / "b [bold]", seed=1)
    result = accepted("report", "a", "b [bold]", "-o", "page.html")
    assert result.out.startswith("page.html: 2 runs, ")
    page = (place / "page.html").read_text(encoding="utf-8")
    assert "freqfast report a &#39;b [bold]&#39; -o page.html" in page
    assert page.endswith("</html>\n")
    assert sorted(path.name for path in place.iterdir()) == ["a", "b [bold]", "page.html"]


def test_a_page_of_the_default_name_is_replaced_on_request_only(accepted, refused, place, run, no_figures):
    assert accepted("report", "a").out.startswith("report.html: one run, ")
    (place / "report.html").write_text("a former page")
    assert "report.html exists already; replace it by --force, or choose another path" in refused("report", "a")
    accepted("report", "a", "--force")
    assert (place / "report.html").read_text(encoding="utf-8").endswith("</html>\n")


def test_what_is_refused_leaves_the_former_page(refused, run, former):
    assert "RUN" in refused("report", "--force")
    assert "absent is no run directory: recipe.toml is missing" in refused("report", "--force", "absent")
    assert "a is named twice; name each run once" in refused("report", "--force", "a", "a")


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        ({}, "`freqfast evaluate 'a b' --out 'a b/evaluation.json'` writes it"),
        ({"holdout": 5}, "measures the images that it holds out; `freqfast rerun 'a b'` writes it"),
    ],
)
def test_a_missing_evaluation_is_named_with_the_command_that_writes_it(refused, place, former, settings, command):
    run = write_run(place / "a b", **settings)
    (run / "evaluation.json").unlink()
    line = refused("report", "a b", "--force")
    assert "a b/evaluation.json is missing; " in line
    assert command in line


def test_a_full_disk_leaves_the_former_page(call, run, former, full_disk, no_figures):
    with full_disk(1_000):
        result = call("report", "a", "--force")
    assert (result.code, result.out) == (1, "")
    assert result.err == "freqfast: report.html cannot be written (File too large)\n"
