"""What `freqfast run` reports of a finished run, and of a run beside its baseline."""

from pathlib import Path
from typing import TYPE_CHECKING

from freqfast.cli.errors import one_line
from freqfast.cli.evaluation_report import difference_table
from freqfast.cli.files import write
from freqfast.cli.output import (
    CleanTable,
    accuracy_text,
    command_text,
    console,
    interval_text,
    percent,
    proportion_text,
    say,
)
from rich.text import Text

from freqfast.files import write_text

if TYPE_CHECKING:
    from freqfast.progress import Progress
    from freqfast.robustness import Comparison
    from freqfast.runs.directory import RunDirectory


def run_table(run: "RunDirectory") -> CleanTable:
    """The main numbers of a finished run; intervals need its outcomes by image."""
    from freqfast.corruptions import MEANS
    from freqfast.robustness.result import CorruptionResult

    report = run.read_report()
    result = CorruptionResult.load(run.evaluation) if run.evaluation.exists() else CorruptionResult({})
    if not result.is_reported(report.clean, report.accuracy):
        result = CorruptionResult({})
    intervals = report.intervals or {}
    epochs = "1 epoch" if report.epochs == 1 else f"{report.epochs} epochs"
    table = CleanTable(f"{report.recipe or 'a recipe'}, {epochs}, seed {report.seed}", show_header=False)
    table.add_row("clean accuracy", accuracy_text(report.clean, intervals.get("clean")))
    table.add_row(
        "corrupted accuracy", accuracy_text(report.corrupted, result.interval(tuple(report.accuracy)), report.images)
    )
    table.add_row("measured on", f"{len(report.accuracy)} corruptions, {report.images} images each")
    if report.mean15 is not None:
        table.add_row("mean15", accuracy_text(report.mean15, result.interval(MEANS["mean15"]), report.images))
    if result.is_full(MEANS["mean7"]):
        table.add_row(
            "mean7", accuracy_text(result.mean(MEANS["mean7"]), result.interval(MEANS["mean7"]), report.images)
        )
    proportion = report.proportion
    table.add_row("frequency proportion before", proportion_text(report.bands, proportion.before))
    table.add_row("frequency proportion after", proportion_text(report.bands, proportion.after))
    if proportion.target:
        table.add_row("target proportion", proportion_text(report.bands, proportion.target))
    seconds = report.seconds
    table.add_row("seconds", f"{seconds.fit:.0f} training, {seconds.evaluate:.0f} evaluation")
    return table


def compare_with_baseline(run: "RunDirectory", baseline: "RunDirectory") -> "Comparison":
    """Print what a recipe's callbacks change, a sentence and a table by family, and return the comparison."""
    from freqfast.corruptions import MEANS
    from freqfast.robustness import CorruptionResult, compare

    ours, theirs = (CorruptionResult.load(each.evaluation) for each in (run, baseline))
    comparison = compare(ours, theirs, str(baseline.path))
    found = comparison.differences
    name = next(name for name in ("mean15", "corrupted") if name in found)  # any set of corruptions has one of them
    with_them, without = (percent(each.mean(MEANS.get(name))) for each in (ours, theirs))
    change = (
        f"{'gain' if found[name].value >= 0 else 'lose'} {abs(100 * found[name].value):.1f} points under corruption"
    )
    span = interval_text(found[name].interval, comparison.images, "{:+.1f} to {:+.1f}")
    clean = f"clean {percent(theirs.clean)} % without, {percent(ours.clean)} % with"
    sentence = f"the callbacks {change} (95 %: {span}): {without} % without them, {with_them} % with them; {clean}"
    say(Text(one_line(sentence), style="bold"))
    rows = {name: found[name] for name in ("clean", "mean15", "mean7", "corrupted") if name in found}
    console.print(difference_table("difference in points", {**comparison.families, **rows}, comparison.images))
    say("one seed each, so the intervals count test images alone; `freqfast study` counts trainings too")
    return comparison


def write_comparison(path: Path, baseline: Path, run: Path, progress: "Progress") -> None:
    """Write the page that compares a run with its baseline."""
    from freqfast.report.entries import load_entries
    from freqfast.report.page import render_page

    command = command_text("report", baseline, run, "-o", path)
    page = render_page(load_entries([baseline, run]), progress, command, command_text)
    write(path, lambda path: write_text(path, page))


def resume_command(run: Path, *, has_baseline: bool = False) -> str:
    """The command that goes on with an unfinished run, and with its baseline if it has one."""
    return command_text("run", "--resume", run, *(["--baseline"] * has_baseline))


def print_next(out: Path, *, can_compare: bool) -> None:
    """Name commands that take the run further."""
    say("next:")
    compared = [("run", "--resume", out, "--baseline")] if can_compare else []
    for words in (*compared, ("show", out), ("heatmap", out, "-o", "heatmap.png"), ("report", out)):
        say(f"  {command_text(*words)}")
