import io

import numpy as np
import pytest
from freqfast.cli import output
from rich.console import Console
from rich.style import Style


@pytest.mark.parametrize(
    ("fraction", "text"), [(None, "-"), (0.0, "0.00"), (1.0, "100.00"), (0.98765, "98.77"), (1 / 3, "33.33")]
)
def test_percent(fraction, text):
    assert output.percent(fraction) == text


def test_proportion_text():
    assert output.proportion_text(["low", "high"], [0.75, 0.25]) == "low 0.75, high 0.25"
    with pytest.raises(ValueError, match="zip"):
        output.proportion_text(["low"], [0.5, 0.5])


def drawn(table):
    console = Console(file=io.StringIO(), width=100)
    console.print(table)
    return [[cell.strip() for cell in line.strip("│┃").split("│")] for line in console.file.getvalue().splitlines()]


def test_corruption_table_leaves_dashes_where_nothing_was_measured():
    rows = drawn(output.corruption_table({"fog": {1: 0.5, 3: 0.25}, "snow": {"3": 1.0}}))
    assert ["fog", "50.00", "25.00", "37.50"] in rows
    assert ["snow", "-", "100.00", "100.00"] in rows


def test_heat_can_be_read_everywhere():
    """By WCAG's contrast ratio, written out here; 4.5 is its demand."""

    def luminance(colour):
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in np.array(colour) / 255]
        return np.dot((0.2126, 0.7152, 0.0722), linear) + 0.05

    lightness = []
    for percentage in range(101):
        (cell,) = output.corruption_table({"fog": {1: percentage / 100}}).columns[1].cells
        style = Style.parse(str(cell.style))
        ink, ground = (luminance(colour.get_truecolor()) for colour in (style.color, style.bgcolor))
        assert max(ink, ground) / min(ink, ground) > 4.5
        lightness.append(ground)
    assert lightness == sorted(lightness)


def test_corruption_table_of_nothing():
    assert drawn(output.corruption_table({}))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_drawn_on_a_terminal_and_goes(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stderr = Terminal()
    monkeypatch.setattr("sys.stderr", stderr)
    with output.progress_bar() as progress:
        for total in (3, 5):
            for done in range(1, total + 1):
                progress(done, total, f"stage of {total}")
    text = stderr.getvalue()
    assert "stage of 5" in text
    assert "5/5" in text
    assert text.endswith("\x1b[2K")  # the line is cleared


def test_a_log_holds_no_progress(capsys):
    with output.progress_bar() as progress:
        progress(1, 2, "half")
    assert capsys.readouterr() == ("", "")


def test_means_stand_alone_on_a_narrow_terminal(monkeypatch):
    monkeypatch.setattr(output.console, "width", 40)
    assert ["fog", "37.50"] in drawn(output.corruption_table({"fog": {1: 0.5, 3: 0.25}}))
