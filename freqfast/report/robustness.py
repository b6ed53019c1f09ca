"""Accuracy by corruption and severity, beside a baseline's."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from freqfast.corruptions import BAR, EXTRA, FAMILIES, SEVERITIES
from freqfast.report.colours import FAMILY_COLOURS
from freqfast.report.panels import NotebookFigure
from freqfast.robustness.outcomes import Outcomes
from freqfast.robustness.provenance import CLEAN
from freqfast.robustness.report import CorruptionReport

__all__ = ["robustness_figure"]

_COLUMNS = 5
_GREY = "#595959"


def robustness_figure(
    report: CorruptionReport,
    baseline: CorruptionReport | None = None,
    *,
    model: str = "model",
    baseline_name: str = "baseline",
) -> Figure:
    """Accuracy against severity, a panel for each corruption, a row for each family.

    Points carry their 95 % Wilson intervals; a dotted line is the clean accuracy. The number above a panel is the mean
    over its severities, followed by the difference to the baseline in points.

    Args:
        report: What to draw.
        baseline: What to draw beside it, in grey and dashed.
        model: What to call the model.
        baseline_name: What to call the baseline.

    Raises:
        ValueError: If the report holds no corrupted cell.
    """
    rows = _rows(report)
    if not rows:
        raise ValueError("the report holds no corruption, so there is nothing to draw")
    columns = max(len(names) for _, names in rows)
    figure = NotebookFigure(figsize=(2.0 * columns + 0.9, 1.75 * len(rows) + 1.0), layout="constrained")
    grid = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    for line, (family, names) in zip(grid, rows, strict=True):
        colour = FAMILY_COLOURS.get(family, "black")
        for axes, name in zip(line, names, strict=False):
            _draw(axes, report, name, colour, "-", "o", shift=-0.06 if baseline else 0.0)
            if baseline is not None:
                _draw(axes, baseline, name, _GREY, "--", "s", shift=0.06)
            style = "italic" if name in EXTRA else "normal"
            axes.set_title(_title(name, report, baseline), fontsize=8, style=style, parse_math=False)
        for axes in line[len(names) :]:
            axes.set_axis_off()
        line[0].set_ylabel(family, color=colour, fontsize=10, weight="bold")
    for axes in grid.flat:
        axes.set(xlim=(0.6, 5.4), ylim=(0, 1), xticks=SEVERITIES)
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
        axes.tick_params(labelsize=7)
        axes.grid(visible=True, axis="y", linewidth=0.4, alpha=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    for column in grid.T:  # the lowest panel of each names the severities
        [axes for axes in column if axes.axison][-1].tick_params(labelbottom=True)
    figure.supxlabel("severity", fontsize=9)
    figure.supylabel("accuracy, percent", fontsize=9)
    if baseline is None:
        figure.suptitle(_heading(report, model), fontsize=10, parse_math=False)
    else:
        ours, theirs = _heading(report, model), _heading(baseline, baseline_name)
        handles = [
            Line2D([], [], color="black", linestyle="-", marker="o", markersize=3, linewidth=1, label=ours),
            Line2D([], [], color=_GREY, linestyle="--", marker="s", markersize=3, linewidth=1, label=theirs),
        ]
        legend = figure.legend(handles=handles, loc="outside upper center", fontsize=9, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def _rows(report: CorruptionReport) -> list[tuple[str, list[str]]]:
    """Families with the corruptions that were measured, at most five to a row; those of other packages last."""
    known: Mapping[str, tuple[str, ...]] = {**FAMILIES, "bar": BAR}
    of_none = tuple(n for n in report.accuracy if not any(n in names for names in known.values()))
    rows = []
    for family, members in {**known, "own": of_none}.items():
        names = [name for name in members if name in report.accuracy]
        rows += [(family, names[start : start + _COLUMNS]) for start in range(0, len(names), _COLUMNS)]
    return rows


def _draw(axes: Axes, report: CorruptionReport, name: str, colour: str, line: str, marker: str, shift: float) -> None:
    cells: dict[int, Outcomes] = {
        severity: outcomes for (corruption, severity), outcomes in report.outcomes.items() if corruption == name
    }
    severities = sorted(cells)
    accuracy = [cells[severity].accuracy for severity in severities]
    low = [max(0.0, a - cells[s].interval[0]) for s, a in zip(severities, accuracy, strict=True)]
    high = [max(0.0, cells[s].interval[1] - a) for s, a in zip(severities, accuracy, strict=True)]
    places = [severity + shift for severity in severities]
    axes.errorbar(
        places,
        accuracy,
        yerr=(low, high),
        color=colour,
        linestyle=line,
        marker=marker,
        markersize=2.5,
        linewidth=1,
        capsize=1.5,
    )
    if report.clean is not None:
        axes.axhline(report.clean, color=colour, linestyle=":", linewidth=0.8)


def _title(name: str, report: CorruptionReport, baseline: CorruptionReport | None) -> str:
    mean = _mean(report, name)
    text = f"{name.replace('_', ' ')}  {100 * mean:.1f}"
    both = baseline is not None and set(baseline.accuracy.get(name, ())) == set(report.accuracy[name])
    return f"{text} ({100 * (mean - _mean(baseline, name)):+.1f})" if baseline is not None and both else text


def _mean(report: CorruptionReport, name: str) -> float:
    by = report.accuracy[name].values()
    return sum(by) / len(by)


def _heading(report: CorruptionReport, name: str) -> str:
    """The model's name and its main figures."""
    figures = {"clean": report.clean, "mean15": report.mean15}
    intervals = {
        "clean": report.outcomes[CLEAN].interval if CLEAN in report.outcomes else None,
        "mean15": report.mean15_interval,
    }
    parts = []
    for label, value in figures.items():
        if value is not None:
            span = intervals[label]
            within = "" if span is None else f" ({100 * span[0]:.1f} to {100 * span[1]:.1f})"
            parts.append(f"{label} {100 * value:.1f} %{within}")
    return f"{name}: {', '.join(parts)}" if parts else name
