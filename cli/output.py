"""How the commands draw progress and tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

__all__ = ["console", "corruption_table", "percent", "progress_bar", "proportion_text", "say"]

_WIDE = 70  # columns: five severities and their mean
console = Console(markup=False, highlight=False)  # a path may hold [brackets]


def say(text: str | Text) -> None:
    """Print a text whose lines the terminal wraps, so that a log has each on one."""
    console.print(text, soft_wrap=True)


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int, str], None]]:
    """A live bar on stderr, fed by ``progress(done, total, message)``; a new total starts it anew.

    Where stderr is no terminal nothing is drawn, so that a log holds messages only.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    stderr = Console(stderr=True)
    stderr.quiet = not stderr.is_terminal  # or rich 14.1 ends a disabled bar with an empty line
    with Progress(*columns, console=stderr, transient=True, disable=stderr.quiet) as bar:
        task = bar.add_task("starting", total=None)
        stage: int | None = None

        def progress(done: int, total: int, message: str) -> None:
            nonlocal stage
            if total != stage:
                bar.reset(task, total=total)
                stage = total
            bar.update(task, completed=done, description=message)

        yield progress


def percent(fraction: float | None) -> str:
    """A fraction as percent with two decimals; a dash for what was not measured."""
    return "-" if fraction is None else f"{100 * fraction:.2f}"


def proportion_text(names: Sequence[str], fractions: Sequence[float]) -> str:
    """A frequency proportion such as ``low 0.75, high 0.25``."""
    return ", ".join(f"{name} {fraction:.3g}" for name, fraction in zip(names, fractions, strict=True))


def corruption_table(accuracy: Mapping[str, Mapping[Any, float]]) -> Table:
    """Accuracy in percent, corruptions by severities, with each row's mean.

    On a narrow terminal the means stand alone. Where the terminal has colours, cells are shaded from dark (0 %) to
    light (100 %); the numbers alone say all.
    """
    table = Table(title="accuracy under corruption, percent")
    table.add_column("corruption")
    severities = sorted({str(s) for by in accuracy.values() for s in by}) if console.width >= _WIDE else []
    for severity in severities:
        table.add_column(severity, justify="right")
    table.add_column("mean", justify="right")
    for name, by in accuracy.items():
        values = {str(s): a for s, a in by.items()}
        mean = sum(values.values()) / len(values)
        table.add_row(name, *(_heat(values.get(s)) for s in severities), _heat(mean))
    return table


# The colour map cividis at 0, 25, 50, 75 and 100 %: it looks alike with and without red-green vision, and its
# lightness grows evenly.
_CIVIDIS = ((0, 34, 78), (61, 77, 107), (125, 124, 120), (188, 174, 108), (254, 232, 56))


def _heat(fraction: float | None) -> Text:
    """A percentage on the colour of its size, in the one of black and white that has more contrast to it."""
    if fraction is None:
        return Text(percent(None))
    place = min(max(fraction, 0.0), 1.0) * (len(_CIVIDIS) - 1)
    start = min(int(place), len(_CIVIDIS) - 2)
    low, high = _CIVIDIS[start], _CIVIDIS[start + 1]
    red, green, blue = (round(a + (b - a) * (place - start)) for a, b in zip(low, high, strict=True))
    weighted = zip((0.2126, 0.7152, 0.0722), (red, green, blue), strict=True)
    luminance = sum(weight * (value / 255) ** 2.2 for weight, value in weighted)
    # Written out, since a terminal's own "white" is a light grey.
    ink = "rgb(255,255,255)" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "rgb(0,0,0)"
    return Text(percent(fraction), style=f"{ink} on rgb({red},{green},{blue})")
