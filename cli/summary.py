"""What `freqfast evaluate` makes of a report: words, JSON, a table of cells and a figure."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqfast.cli.errors import one_line
from freqfast.cli.files import save_figure, write
from freqfast.cli.output import console, corruption_table, percent, say

if TYPE_CHECKING:
    from freqfast.robustness import Comparison, CorruptionResult

__all__ = ["present"]

_MEANS = ("mean15", "mean19", "mean_bar")
_LABELS = {"mean_bar": "mean over CIFAR-10-C-bar", "corrupted": "mean over all that both have"}


def present(
    report: "CorruptionResult",
    rival: "CorruptionResult | None",
    baseline: str,
    chosen: Sequence[str] | None,
    as_json: bool,
    out: Path | None,
    csv: Path | None,
    figure: Path | None,
) -> None:
    """Leave the report in the files that are wanted, then print it: a reader who has gone costs no file.

    What fails costs nothing that is done without it: hours of work may be in the report. Where corruptions were chosen,
    only what these lack is said to be missing.

    Raises:
        ValueError: If the baseline was measured on other images; all is written and printed without it nevertheless.
        OSError: If a file cannot be written; the report is printed nevertheless.
    """
    from freqfast.robustness import compare
    from freqfast.robustness.rows import write_csv

    try:
        comparison = None if rival is None else compare(report, rival, baseline)
    except ValueError:
        present(report, None, "", chosen, as_json, out, csv, figure)
        raise
    try:
        write(out, report.save)
        write(csv, lambda path: write_csv(path, report, comparison))
        if figure is not None:
            _draw(figure, report, rival, baseline)
    finally:
        _print(report, comparison, chosen, as_json)


def _print(
    report: "CorruptionResult", comparison: "Comparison | None", chosen: Sequence[str] | None, as_json: bool
) -> None:
    if as_json:
        print(json.dumps(_as_dict(report, comparison), indent=2))
        return
    say(_title(report))
    console.print(corruption_table(report.accuracy))
    for line in _summary_lines(report, comparison, _asked(report, chosen)):
        say(line)


def _title(report: "CorruptionResult") -> str:
    """What was evaluated on what; a result file may call them anything."""
    of = report.provenance
    what = f"{one_line(of.model)} on {one_line(of.source)}, " if of else ""
    return f"{what}{report.images:,} image{'' if report.images == 1 else 's'} a cell"


def _asked(report: "CorruptionResult", chosen: Sequence[str] | None) -> Sequence[str]:
    """The corruptions that were to be measured: those chosen, else the sets of which any were."""
    from freqfast.corruptions import SETS

    if chosen is not None:
        return chosen
    return [name for names in SETS.values() if report.accuracy.keys() & names for name in names]


def _draw(path: Path, report: "CorruptionResult", rival: "CorruptionResult | None", baseline: str) -> None:
    from freqfast.report.runs import accuracy_by_severity

    results = {} if rival is None else {_heading(f"{Path(baseline).name} (baseline)", rival): rival}
    name = _heading(Path(report.provenance.model if report.provenance else "model").name, report)
    figure = accuracy_by_severity(results | {name: report})
    if rival is None:
        figure.suptitle(name, fontsize=8, parse_math=False)
    save_figure(path, figure)


def _heading(name: str, report: "CorruptionResult") -> str:
    """A model's name and its main figures."""
    means = {"clean": report.clean, "mean15": report.mean15}
    told = ", ".join(f"{label} {percent(value)} %" for label, value in means.items() if value is not None)
    return f"{name}: {told}" if told else name


def _as_dict(report: "CorruptionResult", comparison: "Comparison | None" = None) -> dict[str, Any]:
    """The report as JSON values, with its provenance (less the list of cells) and the comparison, if any."""
    content = report.to_dict()
    if report.provenance is not None:
        content["provenance"] = {name: value for name, value in asdict(report.provenance).items() if name != "cells"}
    if comparison is not None:
        content["comparison"] = comparison.to_dict()
    return content


def _summary_lines(report: "CorruptionResult", comparison: "Comparison | None", asked: Sequence[str]) -> list[str]:
    """Means with their intervals, the comparison, and what was asked for but not measured; a line each."""
    lines = _report_lines(report, asked) + (_comparison_lines(comparison) if comparison else [])
    missing = [name for name in asked if name not in report.accuracy]
    return lines + ([f"not measured: {', '.join(missing)}"] if missing else [])


def _report_lines(report: "CorruptionResult", asked: Sequence[str]) -> list[str]:
    from freqfast.corruptions import MEANS
    from freqfast.robustness import CLEAN

    clean = report.outcomes.get(CLEAN)
    means = [name for name in _MEANS if report.is_full(MEANS[name]) or set(MEANS[name]) <= set(asked)]
    values: dict[str, tuple[float | None, tuple[float, float] | None]] = {
        "clean": (report.clean, clean.interval if clean else None),
        **{_LABELS.get(name, name): (report.mean(MEANS[name]), report.interval(MEANS[name])) for name in means},
    }
    if report.accuracy:
        if all(report.mean() != report.mean(MEANS[name]) for name in means):
            values["mean over all measured"] = report.mean(), None
        values["calibration error (ECE), mean over all measured"] = report.mean_ece, None
    lines = [
        f"{label}: {percent(value)}{'' if value is None else ' %'}{_span(interval)}"
        for label, (value, interval) in values.items()
    ]
    families = ", ".join(f"{family} {percent(value)} %" for family, value in report.families.items())
    return [*lines, f"by family: {families}"] if families else lines


def _comparison_lines(comparison: "Comparison") -> list[str]:
    from freqfast.robustness import CLEAN

    lines = [f"against {comparison.baseline}:"]
    if comparison.other_clean:
        lines.append("  clean: not paired, since it was measured on other images there, or in another order")
    for name, found in comparison.differences.items():
        label = _LABELS.get(name, name)
        lines.append(f"  {label}: {100 * found.value:+.2f} points{_span(found.interval, '+.2f')}")
    if comparison.mce is not None:
        lines.append(f"  mCE: {percent(comparison.mce)} % of the baseline's errors")
    if comparison.relative_mce is not None:
        lines.append(f"  relative mCE: {percent(comparison.relative_mce)} % of the errors that corruption costs it")
    elif comparison.mce is not None:
        has_clean = CLEAN in comparison.cells or comparison.other_clean
        without = "a corruption costs the baseline nothing" if has_clean else "no clean accuracy"
        lines.append(f"  relative mCE: - ({without})")
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
