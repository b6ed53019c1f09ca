"""Figures of a study: clean accuracy against robustness, and accuracy by family of corruptions."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from freqfast.analysis.colours import FAMILY_COLOURS, band_colour
from freqfast.analysis.panels import NotebookFigure, dress, panels, wrap
from freqfast.report.labels import place_labels
from freqfast.study import ArmSummary, Estimate, Study

_ARM, _BASELINE, _TARGET = (band_colour("", index) for index in (0, 4, 2))
_NAMED = 8  # with more arms than this, points have numbers and a legend gives the names
_PANEL = 5.4  # inches, the width of a panel with its labels
_FONT = 7.5  # points, of labels and legend
_LINE, _CHARACTER = 0.16, 0.085  # inches, of the legend and the title
_TITLES = {"mean_bar": "CIFAR-10-C-bar"}
_BARS: dict[str, Any] = {"elinewidth": 0.8, "capsize": 1.5, "zorder": 3}
_OTHER = "#606060"  # the colour of what is not a family of CIFAR-10-C


def clean_against_robust(
    study: Study, summaries: Sequence[ArmSummary], measures: Sequence[str] = ("mean15", "mean7")
) -> Figure:
    """Clean accuracy (x) against accuracy under corruption (y) in percent, arms as points with their intervals.

    Each measure has a panel with the arms that have it. Up and to the right is better; the baseline is a square. If the
    study has a target, the region that reaches it is shaded in the panel of mean15.

    Args:
        study: The study.
        summaries: Its arms, see `freqfast.study.summarise`.
        measures: What to draw as y; measures that no arm has are left out.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If no arm has clean accuracy and one of the measures.

    Examples:
        >>> from freqfast import Recipe
        >>> from freqfast.study import Arm, Estimate
        >>> study = Study("One arm", "", "baseline", (Arm("baseline", Recipe("plain"), (0,)),))
        >>> means = {"clean": Estimate(0.9, None, 1), "mean15": Estimate(0.7, None, 1)}
        >>> figure = clean_against_robust(study, [ArmSummary("baseline", "", (0,), means, {}, None)])
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['mean15, percent']
    """
    drawn = [name for name in measures if any({"clean", name} <= summary.means.keys() for summary in summaries)]
    if not drawn:
        raise ValueError(f"no arm has clean accuracy and {' or '.join(measures)}, so there is nothing to draw")
    shown = [summary for summary in summaries if "clean" in summary.means and summary.means.keys() & set(drawn)]
    numbers = {summary.arm: str(i + 1) for i, summary in enumerate(shown)} if len(shown) > _NAMED else {}
    columns = 2 * len(drawn)
    lines = -(-len(numbers) // columns)
    below = 0.5 + _LINE * lines + (0.1 if lines else 0)  # inches
    width = _PANEL * len(drawn)
    title = wrap(study.title, int(width / _CHARACTER))
    height = 3.7 + below + _LINE * title.count("\n")
    figure = NotebookFigure(figsize=(width, height), dpi=200)
    figure.suptitle(title, fontsize=9, parse_math=False, y=1 - 0.1 / height, va="top")
    for i, name in enumerate(drawn):
        place = ((_PANEL * i + 0.62) / width, below / height, (_PANEL - 0.78) / width, 3.4 / height)
        arms = [summary for summary in shown if name in summary.means]
        _draw_panel(figure.add_axes(place), study, arms, name, numbers)
    for i, (arm, number) in enumerate(numbers.items()):
        column, line = divmod(i, lines)
        bottom = (below - 0.5 - _LINE * line - 0.05) / height
        figure.text((0.62 + column * _PANEL / 2) / width, bottom, f"{number}  {arm}", fontsize=_FONT, va="center")
    return figure


def _mean_and_half(value: Estimate) -> tuple[float, float]:
    """Mean and half of its interval, in percent; the half is 0 for a single seed, which has no interval."""
    return 100 * value.mean, 100 * (value.half_width or 0)


def _draw_panel(axes: Axes, study: Study, arms: Sequence[ArmSummary], measure: str, numbers: Mapping[str, str]) -> None:
    """Draw the arms by clean accuracy and a measure, each with its name, or with its number if it has one."""
    points, drawn = [], []
    for summary in arms:
        (x, half_x), (y, half_y) = _mean_and_half(summary.means["clean"]), _mean_and_half(summary.means[measure])
        marker, colour, size = ("s", _BASELINE, 5.5) if summary.arm == study.baseline else ("o", _ARM, 4.5)
        axes.errorbar(x, y, half_y or None, half_x or None, marker, color=colour, markersize=size, **_BARS)
        points.append((x, y))
        drawn += [Bbox.from_extents(x - half_x, y, x + half_x, y), Bbox.from_extents(x, y - half_y, x, y + half_y)]
    _frame(axes, drawn)
    note = _shade_target(axes, study, arms, measure)
    axes.set_xlabel("clean accuracy, percent", fontsize=9)
    axes.set_ylabel(f"{measure}, percent", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    labels = [numbers.get(summary.arm, summary.arm) for summary in arms]
    place_labels(axes, points, labels, [*(_with_marker(axes, box) for box in drawn), *note], _FONT)


def _frame(axes: Axes, drawn: Sequence[Bbox]) -> None:
    """Set limits with room for labels around what is drawn, at least 0.5 percentage points, within 0 to 100."""
    whole = Bbox.union(list(drawn))
    for low, high, setter in ((whole.x0, whole.x1, axes.set_xlim), (whole.y0, whole.y1, axes.set_ylim)):
        margin = max(0.12 * (high - low), 0.5)
        setter(max(low - margin, 0), min(high + margin, 100))


def _with_marker(axes: Axes, box: Bbox) -> Bbox:
    """The box of a bar, enlarged by the room that marker and line take, in data coordinates."""
    pixels = box.transformed(axes.transData).padded(2.5 * axes.figure.dpi / 72)
    return pixels.transformed(axes.transData.inverted())


def _shade_target(axes: Axes, study: Study, shown: Sequence[ArmSummary], measure: str) -> list[Bbox]:
    """Shade where clean accuracy and mean15 reach the study's target; returns the place of the note that says so."""
    baseline = next((summary for summary in shown if summary.arm == study.baseline), None)
    if not study.target or baseline is None or measure != "mean15":
        return []
    x, y = (100 * (baseline.means[name].mean + study.target[name]) for name in ("clean", "mean15"))
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set_xlim(left, right := max(right, x + 0.5))
    axes.set_ylim(bottom, top := max(top, y + 0.5))
    axes.add_patch(Rectangle((x, y), right - x, top - y, facecolor=_TARGET, alpha=0.12, linewidth=0, zorder=0))
    text = f"{100 * study.target['mean15']:+g} at {100 * study.target['clean']:+g} or better"
    note = axes.annotate(
        text, (right, top), (-4, -4), textcoords="offset points", fontsize=7, ha="right", va="top", color="0.35"
    )
    return [note.get_window_extent().transformed(axes.transData.inverted())]


def by_family(study: Study, summaries: Sequence[ArmSummary]) -> Figure:
    """Accuracy in percent under each family of corruptions, arms as rows with their intervals.

    A dashed line marks the baseline. A gain in a single family is a gain against that kind of corruption, not general
    robustness. Corruptions of CIFAR-10-C-bar have a panel of their own if they were measured.

    Args:
        study: The study.
        summaries: Its arms, see `freqfast.study.summarise`.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If no arm was measured under a whole family.

    Examples:
        >>> study = Study("Nothing measured yet", "", "baseline", ())
        >>> by_family(study, [])
        Traceback (most recent call last):
        ValueError: no arm has accuracies by family of corruptions, so there is nothing to draw
    """
    measured = {name for summary in summaries for name in summary.means}
    names = [name for name in (*FAMILY_COLOURS, *_TITLES) if name in measured]
    shown = [summary for summary in summaries if summary.means.keys() & set(names)]
    if not names:
        raise ValueError("no arm has accuracies by family of corruptions, so there is nothing to draw")
    longest = max(len(summary.arm) for summary in shown)
    width = 0.065 * longest + 0.3 + 1.35 * len(names)
    title = wrap(study.title, int(width / _CHARACTER))
    height = 0.7 + 0.17 * len(shown) + _LINE * title.count("\n")
    figure, axes = panels(1, len(names), width, height, sharey=True)
    figure.suptitle(title, fontsize=9, parse_math=False)
    for name, panel in zip(names, axes[0], strict=True):
        for row, summary in enumerate(shown):
            if name not in summary.means:
                continue
            (mean, half), colour = _mean_and_half(summary.means[name]), FAMILY_COLOURS.get(name, _OTHER)
            marker = "s" if summary.arm == study.baseline else "o"
            panel.errorbar(mean, row, None, half or None, marker, color=colour, markersize=4, **_BARS)
            if summary.arm == study.baseline:
                panel.axvline(mean, color="0.5", linestyle="--", linewidth=0.8, zorder=0)
        dress(panel, _TITLES.get(name, name), "percent")
        low, high = panel.get_xlim()
        panel.set_xlim(max(low, 0), min(high, 100))
    first = axes[0, 0]
    first.set_yticks(range(len(shown)), [summary.arm for summary in shown], parse_math=False)
    first.set_ylim(len(shown) - 0.5, -0.5)
    return figure
