"""How the commands draw progress and tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

__all__ = ["console", "corruption_table", "percent", "progress_bar", "proportion_text"]

console = Console(markup=False, highlight=False)  # a path may hold [brackets]


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
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
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
    """Accuracy in percent, corruptions by severities, with each row's mean."""
    table = Table(title="accuracy under corruption, percent")
    table.add_column("corruption")
    severities = sorted({str(s) for by in accuracy.values() for s in by})
    for severity in severities:
        table.add_column(severity, justify="right")
    table.add_column("mean", justify="right")
    for name, by in accuracy.items():
        values = {str(s): a for s, a in by.items()}
        cells = [percent(values.get(s)) for s in severities]
        table.add_row(name, *cells, percent(sum(values.values()) / len(values)))
    return table
