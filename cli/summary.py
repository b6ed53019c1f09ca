"""What `freqfast evaluate` says of a report, in words and as JSON."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from freqfast.cli.output import percent

if TYPE_CHECKING:
    from freqfast.robustness import Comparison, CorruptionReport

__all__ = ["as_dict", "summary_lines"]


def as_dict(report: "CorruptionReport", comparison: "Comparison | None" = None) -> dict[str, Any]:
    """The report as JSON values, with its provenance (less the list of cells) and the comparison, if any."""
    content = report.to_dict()
    if report.provenance is not None:
        content["provenance"] = {name: value for name, value in asdict(report.provenance).items() if name != "cells"}
    if comparison is not None:
        content["comparison"] = comparison.to_dict()
    return content


def summary_lines(report: "CorruptionReport", comparison: "Comparison | None" = None) -> list[str]:
    """Means with their intervals, the comparison, and what was not measured; a line each."""
    lines = _report_lines(report) + (_comparison_lines(comparison) if comparison else [])
    return lines + ([f"not measured: {', '.join(report.missing)}"] if report.missing else [])


def _report_lines(report: "CorruptionReport") -> list[str]:
    from freqfast.robustness import CLEAN

    clean = report.outcomes.get(CLEAN)
    values = {
        "clean": (report.clean, clean.interval if clean else None),
        "mean15": (report.mean15, report.mean15_interval),
        "mean19": (report.mean19, None),
        "mean over CIFAR-10-C-bar": (report.mean_bar, None),
        "mean over all measured": (report.mean(), None),
        "calibration error (ECE), mean over all measured": (report.mean_ece, None),
    }
    lines = [
        f"{label}: {percent(value)}{'' if value is None else ' %'}{_span(interval)}"
        for label, (value, interval) in values.items()
        if value is not None or label in ("clean", "mean15", "mean19")
    ]
    families = ", ".join(f"{family} {percent(value)} %" for family, value in report.families.items())
    return [*lines, f"by family: {families}"] if families else lines


def _comparison_lines(comparison: "Comparison") -> list[str]:
    lines = [f"against {comparison.baseline}:"]
    if comparison.mean15_difference is not None:
        difference = 100 * comparison.mean15_difference
        lines.append(f"  mean15: {difference:+.2f} points{_span(comparison.mean15_interval, '+.2f')}")
    for label, value in (("mCE", comparison.mce), ("relative mCE", comparison.relative_mce)):
        if value is not None:
            lines.append(f"  {label}: {percent(value)} % of the baseline's errors")
    better, worse = (
        sum(cell.p < 0.05 and cell.difference * sign > 0 for cell in comparison.cells.values()) for sign in (1, -1)
    )
    lines.append(f"  McNemar by cell, p < 0.05: better in {better}, worse in {worse} of {len(comparison.cells)}")
    return lines


def _span(interval: tuple[float, float] | None, form: str = ".2f") -> str:
    if interval is None:
        return ""
    low, high = (format(100 * bound, form) for bound in interval)
    return f" (95 %: {low} to {high})"
