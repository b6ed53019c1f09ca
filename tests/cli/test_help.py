"""Help of every command at 80 columns, and what a shell completes."""

import shlex
from itertools import pairwise

import pytest
import typer
from freqfast.cli.command import complete_corruption, complete_recipe, complete_run
from freqfast.cli.main import app

COMMANDS = list(typer.main.get_command(app).commands)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_and_ends_with_examples(call, accepted, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    result = accepted(name, "-h", silent=True)
    assert call(name, "--help").out == result.out
    lines = [line.rstrip() for line in result.out.splitlines()]
    assert max(map(len, lines)) <= 80
    assert not any(word in result.out for word in ("<str>", "<path>", "<int", "<bool>", "<float>", "<list"))
    examples = [line.strip() for line in lines[lines.index(" Examples:") :] if line.strip()][1:]
    assert examples
    for example in examples:  # a line that was wrapped would not begin so
        assert shlex.split(example)[:2] == ["freqfast", name]
    box = next(i for i, line in enumerate(lines) if line.startswith("╭"))
    for line, following in pairwise(lines[2:box]):  # one that was wrapped twice has room for the next one's first word
        if line.strip() and following.strip():
            assert len(line) + 1 + len(following.split()[0]) >= 79


@pytest.fixture
def runs(place):
    for name in ("first", "second"):
        (place / "runs" / name).mkdir(parents=True)
        (place / "runs" / name / "recipe.toml").touch()
    (place / "runs" / "esc\x1b[2J").mkdir()
    (place / "runs" / "esc\x1b[2J" / "recipe.toml").touch()


def test_names_that_a_shell_completes(runs):
    assert complete_recipe("quick") == ["quickstart", "quickstart_baseline"]
    assert complete_corruption("ri") == ["ripple"]
    assert complete_run("ru") == complete_run("runs/") == ["runs/first", "runs/second"]
    assert complete_run("runs/s") == ["runs/second"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("freqfast run quickst", ["quickstart", "quickstart_baseline"]),
        ("freqfast corrupt photos --corruptions elas", ["elastic_transform"]),
        ("freqfast show runs/f", ["runs/first"]),
        ("freqfast evaluate --corruptions c-", ["c-bar"]),
    ],
)
def test_completion_in_bash(call, runs, monkeypatch, words, expected):
    asked = {"_FREQFAST_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    done = call()
    assert (done.out.split(), done.err) == (expected, "")
