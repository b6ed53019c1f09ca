"""Figures of what runs measured: clean accuracy against robustness, and accuracy by corruption and severity."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from freqfast.analysis.colours import run_style
from freqfast.analysis.panels import COLUMN, dress, panels, runs_below, wrap
from freqfast.corruptions import MAIN, SEVERITIES
from freqfast.report.measures import Measured, corruption_families, measure
from freqfast.robustness import CorruptionResult

_COLUMNS = 5


def clean_against_mean15(results: Mapping[str, CorruptionResult]) -> Figure:
    """Clean accuracy (x) against mean15 (y), one point per run with its 95 % intervals.

    Args:
        results: What the runs measured, by label.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If no run has both.

    Examples:
        >>> clean_against_mean15({"a run": CorruptionResult({})})
        Traceback (most recent call last):
        ValueError: no run has both clean accuracy and mean15, so there is nothing to draw
    """
    points = {label: (measure(one, "clean"), measure(one, "mean15")) for label, one in results.items()}
    if not any(x and y for x, y in points.values()):
        raise ValueError("no run has both clean accuracy and mean15, so there is nothing to draw")
    figure, ((axes,),) = panels(1, 1, COLUMN, 2.7)
    for i, (x, y) in enumerate(points.values()):
        if x is None or y is None:
            continue
        style = run_style(i)
        place = 100 * x.value, 100 * y.value, _distances(y), _distances(x)
        axes.errorbar(*place, style["marker"], color=style["color"], markersize=5, elinewidth=0.8, capsize=2)
    dress(axes, "Clean accuracy and robustness", "clean accuracy (%)", "mean15 (%)")
    runs_below(figure, list(points), linestyle="none", markersize=5)
    return figure


def _distances(found: Measured) -> list[list[float]] | None:
    """How far the ends of an interval lie from its value, in percent, as `errorbar` takes them."""
    if found.interval is None:
        return None
    return [[100 * abs(end - found.value)] for end in found.interval]


def accuracy_by_severity(results: Mapping[str, CorruptionResult]) -> Figure:
    """Accuracy against severity with 95 % Wilson intervals; a panel per corruption, a line per run, families as rows.

    A dotted line is the clean accuracy. Corruptions that are not in mean15 have their titles in italics.

    Args:
        results: What the runs measured, by label.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If no run measured any corruption.

    Examples:
        >>> from freqfast.robustness import Outcomes
        >>> fog = Outcomes.measure(np.array([True, False]), np.array([0.75, 0.75]), np.ones(2))
        >>> figure = accuracy_by_severity({"a run": CorruptionResult({("fog", 1): fog})})
        >>> figure.axes[0].get_title(loc="left")
        'fog'
    """
    families = corruption_families(name for result in results.values() for name in result.accuracy)
    rows = [
        (family, names[i : i + _COLUMNS]) for family, names in families.items() for i in range(0, len(names), _COLUMNS)
    ]
    if not rows:
        raise ValueError("no run measured a corruption, so there is nothing to draw")
    columns = max(len(names) for _, names in rows)
    height = 1.35 * len(rows) + 0.3
    figure, grid = panels(len(rows), columns, max(COLUMN, 1.44 * columns), height, sharex=True, sharey=True)
    for line, (family, names) in zip(grid, rows, strict=True):
        for axes, name in zip(line, names, strict=False):
            for i, result in enumerate(results.values()):
                if name in result.accuracy:
                    _draw(axes, result, name, run_style(i))
            dress(axes)
            title, slant = wrap(name.replace("_", " ")), "normal" if name in MAIN else "italic"
            axes.set_title(title, fontsize=7, loc="left", style=slant, parse_math=False)
            axes.set(ylim=(0, 100), xticks=SEVERITIES)
        for axes in line[len(names) :]:
            axes.set_axis_off()
        line[0].set_ylabel(family, fontsize=8, weight="bold")
    for column in grid.T:  # the lowest panel of each names the severities
        lowest = [axes for axes in column if axes.axison][-1]
        lowest.tick_params(labelbottom=True)
        lowest.set_xlabel("severity", fontsize=8)
    figure.supylabel("accuracy (%)", fontsize=8)
    runs_below(figure, list(results))
    return figure


def _draw(axes: Axes, result: CorruptionResult, name: str, style: Mapping[str, Any]) -> None:
    cells = {severity: result.outcomes[name, severity] for severity in sorted(result.accuracy[name])}
    axes.plot(list(cells), [100 * cell.accuracy for cell in cells.values()], linewidth=1.2, markersize=2.5, **style)
    low, high = 100 * np.transpose([cell.interval for cell in cells.values()])
    axes.fill_between(list(cells), low, high, color=style["color"], alpha=0.2, linewidth=0)
    if result.clean is not None:
        axes.axhline(100 * result.clean, color=style["color"], linestyle=":", linewidth=0.8)
