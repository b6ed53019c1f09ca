"""Runs side by side: clean accuracy against robustness, and accuracy by corruption and severity."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from freqfast.corruptions import CORRUPTIONS, EXTRA, SEVERITIES
from freqfast.report.colours import run_style
from freqfast.report.panels import COLUMN, dress, panels, runs_below
from freqfast.report.summary import measure
from freqfast.robustness import CorruptionReport
from freqfast.robustness.metrics import wilson_interval

__all__ = ["accuracy_by_severity", "clean_against_mean15"]


def clean_against_mean15(results: Mapping[str, CorruptionReport]) -> Figure:
    """Clean accuracy (x) against mean15 (y), a point a run with its 95 % intervals.

    Args:
        results: What the runs measured, by label.

    Raises:
        ValueError: If no run has both.
    """
    points = {label: (measure(one, "clean"), measure(one, "mean15")) for label, one in results.items()}
    if not any(x and y for x, y in points.values()):
        raise ValueError("no run has both clean accuracy and mean15, so there is nothing to draw")
    figure, ((axes,),) = panels(1, 1, COLUMN, 2.9 + 0.16 * len(points))
    for i, (x, y) in enumerate(points.values()):
        if x is None or y is None:
            continue
        style = run_style(i)
        axes.errorbar(
            100 * x.value,
            100 * y.value,
            xerr=None if x.half is None else [[100 * (x.value - x.low)], [100 * (x.high - x.value)]],  # type: ignore[operator]
            yerr=None if y.half is None else [[100 * (y.value - y.low)], [100 * (y.high - y.value)]],  # type: ignore[operator]
            fmt=style["marker"],
            color=style["color"],
            markersize=5,
            elinewidth=0.8,
            capsize=2,
        )
    dress(axes, "Clean accuracy and robustness", "clean accuracy (%)", "mean15 (%)")
    runs_below(figure, list(points), linestyle="none", markersize=5)
    return figure


def accuracy_by_severity(results: Mapping[str, CorruptionReport]) -> Figure:
    """Accuracy against severity, a panel a corruption, a line a run, with 95 % Wilson intervals.

    Corruptions that are not in mean15 have their titles in italics.

    Args:
        results: What the runs measured, by label.

    Raises:
        ValueError: If no run measured any corruption.
    """
    names = [name for name in CORRUPTIONS if any(name in one.accuracy for one in results.values())]
    if not names:
        raise ValueError("no run measured a corruption, so there is nothing to draw")
    columns = min(5, len(names))
    rows = math.ceil(len(names) / columns)
    figure, grid = panels(rows, columns, max(COLUMN, 1.44 * columns), 1.35 * rows + 0.6, sharex=True, sharey=True)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, names, strict=False):
        for i, one in enumerate(results.values()):
            by = one.accuracy.get(name, {})
            values = 100 * np.array(list(by.values()))
            style = run_style(i)
            axes.plot(list(by), values, linewidth=1.2, markersize=2.5, **style)
            if one.images:
                spans = [wilson_interval(round(a * one.images), one.images) for a in by.values()]
                low, high = 100 * np.array(spans).reshape(-1, 2).T
                axes.fill_between(list(by), low, high, color=style["color"], alpha=0.2, linewidth=0)
        dress(axes)
        slant = "italic" if name in EXTRA else "normal"
        axes.set_title(name.replace("_", " "), fontsize=7, loc="left", style=slant)
        axes.set(ylim=(0, 100), xticks=SEVERITIES)
    for i in range(len(names)):
        axes = grid.flat[i]
        if i + columns >= len(names):  # nothing below it
            axes.set_xlabel("severity", fontsize=8)
            axes.tick_params(labelbottom=True)
        if i % columns == 0:
            axes.set_ylabel("accuracy (%)", fontsize=8)
    runs_below(figure, list(results))
    return figure
