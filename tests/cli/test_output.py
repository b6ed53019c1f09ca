"""What is printed: lines, tables and progress, whatever a file puts into them."""

import io
import json
import sys
import unicodedata
from itertools import count, product

import pytest
from freqfast.cli import evaluation_report, output
from rich.console import Console

from freqfast.corruptions import CORRUPTIONS, EXTRA, MAIN, SEVERITIES
from freqfast.corruptions.registry import MEAN7
from freqfast.robustness import CLEAN, compare
from freqfast.runs.recipe import Recipe
from tests.support.commands import exit_code
from tests.support.finished import measured

EVIL = "\x1b[2J\x1b]0;x\x07\x9b31m\u202e[/bold]\n:smile:"
SHOWN = "[/bold] :smile:"  # the end of it: no markup, no emoji, on one line


def is_harmless(text):
    return not any(unicodedata.category(c) in ("Cc", "Cf") and c != "\n" for c in text)


def print_recipe(call, place, monkeypatch):
    monkeypatch.setattr("freqfast.runs.registry.list_recipes", lambda: {EVIL: Recipe(EVIL, data=EVIL)})
    return call("recipes")


def print_result(call, place, monkeypatch):
    archive, checkpoint = place.parent / "archive [of bold] images", place.parent / "model.safetensors"
    call("evaluate", checkpoint, "--corrupted", archive, "--corruptions", "fog", "--out", "r.json")
    content = json.loads((place / "r.json").read_text())
    content["provenance"] |= {"model": EVIL, "source": EVIL}
    (place / "r.json").write_text(json.dumps(content))
    return call("evaluate", "r.json", "--baseline", "r.json")


@pytest.mark.parametrize("print_evil", [print_recipe, print_result])  # others: tests/hostile/test_terminal.py
def test_text_of_others_is_printed_as_it_reads(print_evil, call, place, checkpoint, archive, monkeypatch):
    monkeypatch.setattr(output.console, "width", 300)
    result = print_evil(call, place, monkeypatch)
    printed = result.out + result.err
    assert "Traceback" not in printed
    assert is_harmless(printed)
    assert SHOWN.replace("/", "") in printed.replace("/", "")


def test_progress_is_drawn_on_a_terminal_and_removed(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stderr = io.StringIO()
    stderr.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", stderr)
    with output.progress_bar() as progress:
        for total in (3, 5):
            for done in range(1, total + 1):
                progress(done, total, f"stage of {total} {EVIL}")
        sys.stderr.write("a run has ended\n")
    text = stderr.getvalue()
    assert "stage of 5" in text
    assert SHOWN in text
    assert "\x1b[2J" not in text
    assert "5/5" in text
    assert "a run has ended\n" in text
    assert text.endswith("\x1b[2K")  # the line is cleared


def test_a_log_has_a_line_every_five_minutes(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # which is of colours
    monkeypatch.setattr("time.monotonic", count(0, 100).__next__)
    with output.progress_bar() as progress:
        for done in range(6):
            progress(done, 6, f"training {EVIL}")
        for done in (2000, 2400, 2800):  # as after a stop
            progress(done, 10_000, "evaluating")
    training, nearly, evaluating = capsys.readouterr().err.splitlines()
    assert training.startswith("freqfast: 2 of 6, elapsed 3:20, 6:40 left: training ?[2J")  # 200 seconds for two steps
    assert nearly.startswith("freqfast: 5 of 6, elapsed 8:20, 1:40 left: training")
    assert evaluating == "freqfast: 2,800 of 10,000, elapsed 3:20, 30:00 left: evaluating"


def drawn(table):
    console = Console(file=io.StringIO(), width=100)
    console.print(table)
    return [[cell.strip() for cell in line.strip("│┃").split("│")] for line in console.file.getvalue().splitlines()]


def test_output_that_a_full_disk_does_not_take(capsys, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert exit_code("models") == 1
    assert capsys.readouterr().err.startswith("freqfast: what was printed is not whole (No space left on device); ")


def test_corruption_table(monkeypatch):
    accuracy = {"fog": {1: 0.5, 3: 0.25}, "snow": {3: 1.0}}
    rows = drawn(evaluation_report.corruption_table(accuracy))
    assert ["fog", "50.00", "25.00", "37.50"] in rows
    assert ["snow", "-", "100.00", "100.00"] in rows
    monkeypatch.setattr(output.console, "width", 40)  # the means stand alone
    assert ["fog", "37.50"] in drawn(evaluation_report.corruption_table(accuracy))
    assert drawn(evaluation_report.corruption_table({}))


def of_accuracy(clean, mean7, others, extra):
    """A result of 100 images, with one accuracy for each of four groups."""
    accuracy = dict.fromkeys(MAIN, others) | dict.fromkeys(MEAN7, mean7) | dict.fromkeys(EXTRA, extra)
    return measured({CLEAN: clean} | {(name, s): accuracy[name] for name, s in product(CORRUPTIONS, SEVERITIES)}, 100)


def test_lines_of_a_result_and_of_a_comparison_hold_their_numbers(place):
    ours, theirs = of_accuracy(0.9, 0.75, 0.5, 0.25), of_accuracy(0.8, 0.7, 0.6, 0.25)
    lines = evaluation_report._result_lines(ours, ())
    assert lines[0] == "clean: 90.00 % (95 %: 82.56 to 94.48)"  # Wilson's
    for name, value, over in (("mean15", "61.67", MAIN), ("mean7", "75.00", MEAN7), ("mean19", "53.95", CORRUPTIONS)):
        low, high = ours.interval(over)
        assert f"{name}: {value} % (95 %: {100 * low:.2f} to {100 * high:.2f})" in lines
    assert "calibration error (ECE), mean over all measured: 21.05 %" in lines  # at a confidence of 75 %

    comparison = compare(ours, theirs, "runs/base")
    lines = evaluation_report._comparison_lines(comparison)
    for name, points in (("clean", "+10.00"), ("mean15", "-3.00"), ("mean7", "+5.00")):
        low, high = comparison.differences[name].interval
        assert f"  {name}: {points} points (95 %: {100 * low:+.2f} to {100 * high:+.2f})" in lines
    assert lines[-3:] == [
        "  mCE: 105.56 % of the baseline's errors",
        "  relative mCE: 176.67 % of the errors that corruption costs it",
        "  McNemar by cell, p < 0.05: better in 1, worse in 40 of 96",  # 5 images of 100 are too few for p < 0.05
    ]
    evaluation_report._draw(place / "figure.svg", ours, theirs, "runs/base")
    drawn = (place / "figure.svg").read_text()
    for words in ("model: clean 90.00 %, mean15 61.67 %", "base (baseline): clean 80.00 %, mean15 64.67 %"):
        assert f"<!-- {words} -->" in drawn
    few = measured({CLEAN: 0.8, ("fog", 1): 0.5})
    evaluation_report._draw(place / "figure.svg", few, few, ".")  # within the baseline's directory
    assert "<!-- work (baseline): clean 80.00 %" in (place / "figure.svg").read_text()
