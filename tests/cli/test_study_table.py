"""The tables that `freqfast study --table` prints from a result file."""

import errno
import os
from pathlib import Path
from unittest.mock import Mock

from freqfast.study import load_study, published_path, read_results, summarise, tables

MEDIUM = Path(__file__).parents[2] / "recipes" / "studies" / "medium.toml"


def test_differences_to_another_arm(call, refused):
    words = ("study", MEDIUM, "--table", "--against")
    printed = {}
    for arm in ("baseline", "contrast-equalization"):
        result = call(*words, arm)
        assert f"diff: difference to the mean of {arm}" in result.out
        headline = call(*words, arm, "--markdown").out.partition("\n\n")[0]
        cells = [line.split(" | ") for line in headline.splitlines()]
        printed[arm] = {row[0].lstrip("| "): row[3] for row in cells}
    there, back = printed["baseline"]["contrast-equalization"], printed["contrast-equalization"]["baseline"]
    assert float(there.split()[0]) == -float(back.split()[0]) != 0
    assert "the study has no arm 'high'" in refused(*words, "high")


def test_intervals_that_hold_all_at_once(call):
    words = ("study", MEDIUM, "--table", "--markdown")
    single, several = (call(*words, "--comparisons", count).out for count in (1, 20))
    assert single == call(*words).out
    assert several.endswith("± half of a 99.75 % confidence interval over the seeds alone; none from one seed\n")
    study = load_study(MEDIUM)
    found = summarise(study, read_results(published_path(MEDIUM)), confidence=0.9975)[1].differences["mean15"]
    assert f"| {100 * found.mean:+.1f} ±{100 * found.half_width:.1f} |" in several


def test_a_table_needs_no_place_to_write(call, accepted, place, monkeypatch):
    """Neither in the working directory, nor in the folder of a study that only others may write to."""
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    assert "runs are finished" in accepted("study", MEDIUM, "--table").out
    (place / "theirs").mkdir()
    denied = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr("freqfast.study.write_results", Mock(side_effect=denied))
    result = call("study", MEDIUM, "--table", "-o", "theirs")
    assert (result.code, result.err) == (2, "freqfast: theirs/results.json cannot be written (Permission denied)\n")
    assert "runs are finished" in result.out


def before_notes(result):
    return result.out.partition(" runs are finished")[0].splitlines()


def test_no_cell_of_the_table_is_broken(call, monkeypatch):
    """Piped, an arm has a line in each table; on a terminal wide tables come in parts, each with the arms' names."""
    expected = tables(summarise(load_study(MEDIUM), read_results(published_path(MEDIUM))))
    words = ("study", MEDIUM, "--out", "absent", "--table")
    piped = before_notes(call(*words))
    monkeypatch.setenv("COLUMNS", "80")
    assert before_notes(call(*words)) == piped
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    shown = [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in before_notes(call(*words))]
    assert max(map(len, shown[2:])) <= 80 < max(map(len, piped))
    for header, rows in expected:
        for cells in (header, *rows):
            assert " ".join(cells).split() in [line.split() for line in piped]
            for cell in cells:
                assert any(line.split()[:1] == cells[:1] and cell in line for line in shown)
