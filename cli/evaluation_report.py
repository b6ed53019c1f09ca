"""What `freqfast evaluate` reports of a result: words, a table, JSON, CSV and a figure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqfast.cli.errors import one_line, print_error
from freqfast.cli.files import save_figure, write
from freqfast.cli.images import Choice
from freqfast.cli.output import CleanTable, accuracy_text, console, interval_text, percent, say
from rich.text import Text

if TYPE_CHECKING:
    from freqfast.robustness import Comparison, CorruptionResult
    from freqfast.robustness.comparison import Difference

_LABELS = {
    "mean_bar": "mean over CIFAR-10-C-bar",
    "mean_bar_imagenet": "mean over ImageNet-C-bar",
    "corrupted": "mean over all that both have",
}
_WIDE = 70  # columns: five severities and their mean


def present(
    result: "CorruptionResult",
    rival: "CorruptionResult | None",
    baseline: str,
    choice: Choice | None,
    out: Sequence[Path],
    as_json: bool,
) -> None:
    """Write the files that are wanted, then print, so that a closed pipe costs no file.

    Hours of work may be in the result, so whatever fails, all is done that can be done without it.
    """
    from freqfast.robustness import compare

    try:
        comparison = None if rival is None else compare(result, rival, baseline)
    except ValueError:
        present(result, None, "", choice, out, as_json)
        raise
    errors = []
    for act in [partial(_write, path, result, rival, comparison) for path in out] + [
        partial(_print, result, comparison, choice, as_json)
    ]:
        try:
            act()
        except Exception as error:
            errors.append(error)
    precisions = [each.provenance.precision for each in (result, rival) if each is not None and each.provenance]
    if len(set(precisions)) > 1:
        print_error(
            f"warning: the model ran in {precisions[0]}, {baseline} in {precisions[1]}, which moves accuracies too"
        )
    if errors:
        raise errors[0]


def _write(
    path: Path, result: "CorruptionResult", rival: "CorruptionResult | None", comparison: "Comparison | None"
) -> None:
    """Write what the file's name says."""
    from freqfast.cli.rows import write_csv

    if path.suffix == ".json":
        write(path, result.save)
    elif path.suffix == ".csv":
        write(path, lambda path: write_csv(path, result, comparison))
    else:
        _draw(path, result, rival, comparison.baseline if comparison else "")


def _draw(path: Path, result: "CorruptionResult", rival: "CorruptionResult | None", baseline: str) -> None:
    from freqfast.report.robustness_figures import accuracy_by_severity

    results = {} if rival is None else {_heading(f"{Path(baseline).resolve().name} (baseline)", rival): rival}
    name = _heading(Path(result.provenance.model if result.provenance else "model").resolve().name, result)
    figure = accuracy_by_severity(results | {name: result})
    if rival is None:
        figure.suptitle(name, fontsize=8, parse_math=False)
    save_figure(path, figure)


def _heading(name: str, result: "CorruptionResult") -> str:
    """A model's name and its main figures."""
    means = {"clean": result.clean, "mean15": result.mean15}
    told = ", ".join(f"{label} {percent(value)} %" for label, value in means.items() if value is not None)
    return f"{name}: {told}" if told else name


def _print(result: "CorruptionResult", comparison: "Comparison | None", choice: Choice | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_dict(result, comparison), indent=2))
        return
    from freqfast.report.measures import verdict

    asked = _asked(result, choice)
    if result.accuracy:
        say(Text(one_line(verdict(result) + _against(comparison)), style="bold"))
    say(_conditions(result))
    console.print(corruption_table(result.accuracy))
    for line in _result_lines(result, asked):
        say(line)
    if comparison is not None:
        for line in _comparison_lines(comparison):
            say(line)
        by_corruption = sorted(comparison.by_corruption.items(), key=lambda item: -item[1].value)
        console.print(difference_table("difference by corruption, points", dict(by_corruption), comparison.images))
    if missing := [name for name in asked if name not in result.accuracy]:
        say(f"not measured: {', '.join(missing)}")


def _against(comparison: "Comparison | None") -> str:
    """The difference to the baseline under corruption, added to the sentence."""
    if comparison is None:
        return ""
    means = [found for name, found in comparison.differences.items() if name != "clean"]  # the widest known first
    told = f"{100 * means[0].value:+.1f} points (95 %: {_span(means[0], comparison.images)})" if means else "-"
    return f"; against {comparison.baseline}: {told}"


def _conditions(result: "CorruptionResult") -> str:
    """What was measured on what, in a line."""
    of = result.provenance
    what = f"{of.model} on {of.source}, " if of else ""
    how = f", {of.precision}" if of else ""
    among = f", choosing among {len(of.outputs)} classes" if of and of.outputs else ""
    return f"{what}{result.images:,} image{'' if result.images == 1 else 's'} a cell{how}{among}"


def _as_dict(result: "CorruptionResult", comparison: "Comparison | None") -> dict[str, Any]:
    """The result as JSON values, with its provenance (less the list of cells) and the comparison, if any."""
    content = result.to_dict()
    if result.provenance is not None:
        content["provenance"] = {name: value for name, value in asdict(result.provenance).items() if name != "cells"}
    if comparison is not None:
        content["comparison"] = comparison.to_dict()
    if (alexnet := _over_alexnet(result)) is not None:
        content["over_alexnet"] = dict(zip(("mce", "relative_mce"), alexnet, strict=True))
    return content


def _over_alexnet(result: "CorruptionResult") -> tuple[float, float | None] | None:
    """The mCE and relative mCE over AlexNet's errors; None for images that are not ImageNet's."""
    from freqfast.robustness.alexnet import alexnet_mce

    mce, relative = alexnet_mce(result)
    return (mce, relative) if mce is not None and result.provenance and result.provenance.imagenet else None


def _asked(result: "CorruptionResult", choice: Choice | None) -> Sequence[str]:
    """The corruptions that were to be measured: those chosen, else the benchmarks of which any were."""
    from freqfast.corruptions import find_set

    if choice is not None and choice.names:
        return choice.names
    measured = result.accuracy.keys()
    benchmarks = [choice.benchmark] if choice is not None and choice.benchmark else ["c", "bar"]
    # Both C-bars have five in common.
    sets = [
        max(find_set(name, "cifar10"), find_set(name, "imagenet"), key=lambda names: len(measured & names))
        for name in benchmarks
    ]
    return [name for names in sets if len(sets) == 1 or measured & names for name in names]


def _result_lines(result: "CorruptionResult", asked: Sequence[str]) -> list[str]:
    """Means with their intervals, a line each."""
    from freqfast.corruptions import HEADLINES, MEANS
    from freqfast.robustness import CLEAN

    clean = result.outcomes.get(CLEAN)
    means = [name for name in HEADLINES if result.is_full(MEANS[name]) or set(MEANS[name]) <= set(asked)]
    lines = [f"clean: {accuracy_text(result.clean, clean.interval if clean else None, clean.images if clean else 0)}"]
    for name in means:
        told = accuracy_text(result.mean(MEANS[name]), result.interval(MEANS[name]), result.images)
        lines.append(f"{_LABELS.get(name, name)}: {told}")
    if result.accuracy:
        if all(result.mean() != result.mean(MEANS[name]) for name in means):
            lines.append(f"mean over all measured: {accuracy_text(result.mean())}")
        lines.append(f"calibration error (ECE), mean over all measured: {accuracy_text(result.mean_ece)}")
    if families := result.families:
        told = ", ".join(f"{family} {percent(value)} %" for family, value in families.items())
        lines.append(f"by family: {told}")
    if (alexnet := _over_alexnet(result)) is not None:
        mce, relative = (percent(value) for value in alexnet)
        lines.append(f"over AlexNet's errors on ImageNet-C: mCE {mce} %, relative mCE {relative} %")
    return lines


def _comparison_lines(comparison: "Comparison") -> list[str]:
    from freqfast.robustness import CLEAN

    lines = [f"against {comparison.baseline}:"]
    if comparison.other_clean:
        lines.append("  clean: not paired, since it was measured on other images there, or in another order")
    for name, found in comparison.differences.items():
        label = _LABELS.get(name, name)
        lines.append(f"  {label}: {100 * found.value:+.2f} points (95 %: {_span(found, comparison.images)})")
    if comparison.mce is not None:
        lines.append(f"  mCE: {percent(comparison.mce)} % of the baseline's errors")
    if comparison.relative_mce is not None:
        lines.append(f"  relative mCE: {percent(comparison.relative_mce)} % of the errors that corruption costs it")
    elif comparison.mce is not None:
        has_clean = CLEAN in comparison.cells or comparison.other_clean
        without = "a corruption costs the baseline nothing" if has_clean else "no clean accuracy"
        lines.append(f"  relative mCE: - ({without})")
    significant = [cell.difference for cell in comparison.cells.values() if cell.p < 0.05]
    better = sum(difference > 0 for difference in significant)
    worse = sum(difference < 0 for difference in significant)
    lines.append(f"  McNemar by cell, p < 0.05: better in {better}, worse in {worse} of {len(comparison.cells)}")
    return lines


def _span(found: "Difference", images: int) -> str:
    return interval_text(found.interval, images, "{:+.2f} to {:+.2f}")


def difference_table(title: str, differences: "Mapping[str, Difference]", images: int) -> CleanTable:
    """Differences in points with their intervals over so many images, in the order given."""
    table = CleanTable(title)
    for header in ("", "difference", "95 % interval"):
        table.add_column(header, justify="right" if header else "left")
    for name, found in differences.items():
        table.add_row(_LABELS.get(name, name), f"{100 * found.value:+.2f}", _span(found, images))
    return table


def corruption_table(accuracy: Mapping[str, Mapping[int, float]]) -> CleanTable:
    """Accuracy in percent, corruptions by severities, with each row's mean; on a narrow terminal the means alone."""
    table = CleanTable("accuracy under corruption, percent")
    table.add_column("corruption")
    severities = sorted({severity for by in accuracy.values() for severity in by}) if console.width >= _WIDE else []
    for severity in severities:
        table.add_column(str(severity), justify="right")
    table.add_column("mean", justify="right")
    for name, by in accuracy.items():
        mean = sum(by.values()) / len(by)
        table.add_row(name, *(percent(by.get(severity)) for severity in severities), percent(mean))
    return table
