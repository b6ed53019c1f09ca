"""What the commands print: lines, tables, percentages and progress."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any

from freqfast.cli.errors import one_line, print_error
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column, Table
from rich.text import Text


def _new_console(**options: Any) -> Console:
    """A console that prints text as it is: names and paths may hold [brackets] and :colons:."""
    return Console(markup=False, emoji=False, highlight=False, **options)


console = _new_console()
_FEWEST = 10  # images, whose interval says anything
_WIDEST = 0.5
_SECONDS_BETWEEN_LINES = 300  # of progress, in a log


def print_on_stderr(wanted: bool) -> bool:
    """Let lines and tables go to stderr, where JSON is to stand alone on stdout."""
    console.stderr = wanted
    return wanted


def print_json(content: Any) -> None:
    """Print values as JSON on stdout."""
    print(json.dumps(content, indent=2, allow_nan=False))


def say(text: str | Text) -> None:
    """Print a text as one line of a log, which a terminal wraps. A `Text` must be made of parts on one line."""
    console.print(text if isinstance(text, Text) else one_line(text), soft_wrap=True)


class CleanTable(Table):
    """A table whose title, headers and cells go through `one_line`; a cell may also be a picture."""

    def __init__(self, title: object, **options: Any) -> None:
        super().__init__(title=one_line(title), **options)

    def add_column(self, header: Any = "", *parts: Any, **options: Any) -> None:
        """Add a column."""
        super().add_column(one_line(header), *parts, **options)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row."""
        super().add_row(*(one_line(cell) if isinstance(cell, str) else cell for cell in cells), **options)


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int, str], None]]:
    """A live progress bar, fed by ``progress(done, total, message)``; a new total starts it anew.

    The console that prints lines draws it too, so that these appear above it; on stderr, if stdout is no terminal.
    Where stderr is none either, a line every five minutes shows that the work goes on. Time left comes from all of the
    time so far, since steps may be minutes apart. What other code prints meanwhile is no output of the command.
    """
    console.file = sys.stderr if console.stderr else sys.stdout
    try:
        if not sys.stderr.isatty():  # not `is_terminal`, which FORCE_COLOR makes true of a log
            with redirect_stdout(sys.stderr):
                yield _logged_progress()
            return
        live = Progress(
            BarColumn(bar_width=10, table_column=Column(min_width=10)),
            _State(table_column=Column(no_wrap=True)),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=console if console.file.isatty() else _new_console(stderr=True),
            transient=True,
            speed_estimate_period=1e9,
        )
        with live:
            yield _live_progress(live)
    finally:
        console.file = None  # type: ignore[assignment]  # whatever stdout is


class _State(ProgressColumn):
    """Steps done, time elapsed and, once there is an estimate, time left."""

    def render(self, task: Task) -> Text:
        steps = "" if task.total is None else f"{task.completed:,.0f}/{task.total:,.0f}  "
        left = "" if not task.time_remaining or not task.completed else f", {_clock(task.time_remaining)} left"
        return Text(f"{steps}elapsed {_clock(task.elapsed or 0)}{left}")


def _clock(seconds: float) -> str:
    """A time as 1:35, or 2:01:35."""
    text = str(timedelta(seconds=round(seconds)))
    return text.removeprefix("0:").removeprefix("0") if text.startswith("0:") else text


def _live_progress(live: Progress) -> Callable[[int, int, str], None]:
    task = live.add_task("loading PyTorch", total=None)
    stage: int | None = None

    def progress(done: int, total: int, message: str) -> None:
        nonlocal stage
        if total != stage:
            live.reset(task, total=total)
            stage = total
        live.update(task, completed=done, description=one_line(message))

    return progress


def _logged_progress() -> Callable[[int, int, str], None]:
    """Progress as lines on stderr; time left is by what was done here, since a resumed stage begins in its middle."""
    told, stage, began = time.monotonic(), None, (0, 0.0)

    def progress(done: int, total: int, message: str) -> None:
        nonlocal told, stage, began
        now = time.monotonic()
        if total != stage:
            stage, began = total, (done, now)
        first, start = began
        if now - told >= _SECONDS_BETWEEN_LINES and done > first:
            told = now
            left = _clock((now - start) / (done - first) * (total - done))
            print_error(f"{done:,} of {total:,}, elapsed {_clock(now - start)}, {left} left: {message}")

    return progress


def percent(fraction: float | None) -> str:
    """A fraction as percent with two decimals; a dash for what was not measured.

    Examples:
        >>> percent(0.98765), percent(None)
        ('98.77', '-')
    """
    return "-" if fraction is None else f"{100 * fraction:.2f}"


def accuracy_text(fraction: float | None, interval: Sequence[float] | None = None, images: int = _FEWEST) -> str:
    """An accuracy in percent, with its 95 % interval over the images if that is known.

    Examples:
        >>> accuracy_text(0.9, (0.85, 0.935)), accuracy_text(None)
        ('90.00 % (95 %: 85.00 to 93.50)', '-')
    """
    if fraction is None:
        return percent(None)
    return f"{percent(fraction)} %" + ("" if interval is None else f" (95 %: {interval_text(interval, images)})")


def interval_text(interval: Sequence[float] | None, images: int = _FEWEST, form: str = "{:.2f} to {:.2f}") -> str:
    """An interval in percent; a dash for fewer than ten images, without a width, or wider than 50 points.

    Examples:
        >>> interval_text((0.85, 0.935), 60), interval_text((0.85, 0.935), 9), interval_text((0.9, 0.9), 60)
        ('85.00 to 93.50', '-', '-')
    """
    if interval is None or images < _FEWEST or not 0 < interval[1] - interval[0] <= _WIDEST:
        return "-"
    return form.format(*(100 * bound for bound in interval))


def proportion_text(names: Sequence[str], fractions: Sequence[float]) -> str:
    """A frequency proportion in percent.

    Examples:
        >>> proportion_text(["low", "high"], [0.75, 0.25])
        'low 75 %, high 25 %'
    """
    return ", ".join(f"{name} {100 * fraction:.3g} %" for name, fraction in zip(names, fractions, strict=True))


def command_text(*words: str | Path) -> str:
    """A command of freqfast for a shell, in which a path with a dash first is no option.

    Examples:
        >>> command_text("show", Path("-odd run"), "--json")
        "freqfast show './-odd run' --json"
    """
    texts = (f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word) for word in words)
    return shlex.join(["freqfast", *texts])


def typed_command() -> str:
    """The shell command that started this program, to be kept with what it makes."""
    return command_text(*sys.argv[1:])
