"""The figure of a study by family of corruptions."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from freqfast.report.colours import FAMILY_COLOURS
from freqfast.report.panels import dress, panels
from freqfast.study import ArmSummary, Study

__all__ = ["by_family"]

_TITLES = {"mean_bar": "CIFAR-10-C-bar"}
_OTHER = "#606060"


def by_family(study: Study, summaries: Sequence[ArmSummary]) -> Figure:
    """Accuracy in percent under each family of corruptions, arms as rows with 95 % intervals.

    A dashed line marks the baseline. A gain that a single family makes is a gain against that kind of corruption, not
    robustness at large. Corruptions of CIFAR-10-C-bar have a panel of their own where they were measured.

    Args:
        study: The study.
        summaries: Its arms, see `freqfast.study.summarise`.

    Raises:
        ValueError: If no arm was measured under a whole family.
    """
    measured = {name for summary in summaries for name in summary.means}
    names = [name for name in (*FAMILY_COLOURS, *_TITLES) if name in measured]
    shown = [summary for summary in summaries if summary.means.keys() & set(names)]
    if not names:
        raise ValueError("no arm has accuracies by family of corruptions, so there is nothing to draw")
    longest = max(len(summary.arm) for summary in shown)
    width, height = 0.065 * longest + 0.3 + 1.35 * len(names), 0.7 + 0.17 * len(shown)
    figure, axes = panels(1, len(names), width, height, sharey=True)
    figure.suptitle(study.title, fontsize=9, parse_math=False)
    for name, panel in zip(names, axes[0], strict=True):
        for row, summary in enumerate(shown):
            if (value := summary.means.get(name)) is None:
                continue
            baseline = summary.arm == study.baseline
            panel.errorbar(
                100 * value.mean,
                row,
                xerr=100 * (value.half_width or 0) or None,
                fmt="s" if baseline else "o",
                color=FAMILY_COLOURS.get(name, _OTHER),
                markersize=4,
                elinewidth=0.9,
                capsize=1.5,
            )
            if baseline:
                panel.axvline(100 * value.mean, color="0.5", linestyle="--", linewidth=0.8, zorder=0)
        dress(panel, _TITLES.get(name, name), "percent")
    first = axes[0, 0]
    first.set_yticks(range(len(shown)), [summary.arm for summary in shown], parse_math=False)
    first.set_ylim(len(shown) - 0.5, -0.5)
    return figure
