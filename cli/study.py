"""`freqfast study`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from freqfast.cli.errors import one_line, print_error
from freqfast.cli.files import check_output, save_figure
from freqfast.cli.interrupts import interruptible, long_command
from freqfast.cli.options import refuse
from freqfast.cli.output import console, say
from freqfast.cli.slurm import parse_slurm
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    from freqfast.study import PlannedRun, StudyResults

__all__ = ["study"]


def study(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study: arms, seeds, settings.")],
    out: Annotated[
        Path | None, typer.Option(help="The study's folder, continued where it exists; by default runs/STUDY.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Where CIFAR-10 is, as for `freqfast run`.")] = None,
    arm: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Run this arm only; may be repeated.")] = None,
    seed: Annotated[list[int] | None, typer.Option(metavar="N", help="Run this seed only; may be repeated.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time on this machine.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of each run; by default the cores shared out.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where to train; by default a GPU for each run in turn, if there are any.")
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,...", help="Run as a Slurm job array, as in partition=gpu,gpus=1,time=240 (minutes)."
        ),
    ] = None,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Also run here what the result file has from elsewhere, and compare.")
    ] = False,
    table: Annotated[
        bool,
        typer.Option(
            "--table", help="Run nothing; show what is finished, and write the folder's results.json and figures anew."
        ),
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    against: Annotated[
        str | None, typer.Option(metavar="NAME", help="Print differences to this arm, instead of to the baseline.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="A result file to continue: its runs count as finished, new ones are added. By default "
            "STUDY.results.json beside the study file, which is only read.",
        ),
    ] = None,
) -> None:
    """Run a study's arms over its seeds, what is not finished yet, and compare them in one table.

    Leaves runs/ARM/seed-N, results.json and figures in the folder. A run that fails does not stop the others; the same
    command again runs what is left. With a result file, --table needs neither the runs nor the data.
    """
    from freqfast.study import (
        StudyResults,
        gather,
        load_study,
        merge,
        published_path,
        read_results,
        run_study,
        write_results,
    )

    if slurm:
        refuse(context, "Slurm itself says how many runs go on at a time", {"jobs"})
    plan = load_study(file)
    if against:
        plan.runs([against])  # refuses what is no arm
    kept = results or published_path(file)
    published = read_results(kept) if kept.exists() else ()
    check_output(results)
    out = out or Path("runs") / file.stem
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file; choose another --out")
    errors = {}
    if table:
        plan.runs(arm or (), seed or ())  # refuses names that it has not
    else:
        parameters = parse_slurm(slurm) if slurm else None
        known = merge(published, StudyResults(plan, ())).finished
        at_once = interruptible("stopped at once; the same command goes on from the last checkpoints")
        with long_command(out) as stop, at_once, _progress() as (progress, ended):
            errors = run_study(
                plan,
                out,
                arms=arm or (),
                seeds=seed or (),
                skip=() if repeat else known,
                data_path=data,
                device=device,
                jobs=jobs,
                threads=threads,
                slurm=parameters,
                progress=progress,
                ended=ended,
                stop=stop,
            )
    if kept.exists():
        published = read_results(kept)  # again: others may have added to it in the meantime
    found = merge(published, gather(plan, out))
    written = [out / "results.json"] if out.is_dir() else []
    if results is not None:
        written.append(results)
    try:
        for path in written:
            write_results(path, found)
        if out.is_dir():
            written += _draw(out / "figures", found)
    finally:
        if against:
            found = replace(found, study=replace(plan, baseline=against))
        _show(found, markdown)  # last: a reader who has gone costs no file
    if not markdown:
        for path in written:
            say(str(path))
    asked = {run.name for run in plan.runs(arm or (), seed or ())}
    failed = [name for name in {**errors, **found.failures} if name in asked]
    if failed and not table:
        print_error(f"{len(failed)} of the runs failed: {', '.join(failed)}")
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[tuple[Callable[[int, int, str], None], Callable[["PlannedRun", str | None], None]]]:
    """A live bar on stderr over all epochs of all runs, and a line for each run that ends.

    Time left comes from the whole of the time so far, since epochs may be minutes apart.
    """
    columns = (
        BarColumn(bar_width=10, table_column=Column(min_width=10)),
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("left"),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    stderr = Console(stderr=True, markup=False, highlight=False)
    live = stderr.is_terminal
    drawn = stderr if live else Console(quiet=True)  # or rich 14.1 ends a disabled bar with an empty line
    with Progress(*columns, console=drawn, transient=True, disable=not live, speed_estimate_period=1e9) as bar:
        task = bar.add_task("starting", total=None)

        def progress(done: int, total: int, message: str) -> None:
            bar.update(task, completed=done, total=total, description=message)

        def ended(run: "PlannedRun", error: str | None) -> None:
            stderr.print(f"{run.name}: {'finished' if error is None else one_line(error)}", soft_wrap=True)

        yield progress, ended


def _draw(folder: Path, results: "StudyResults") -> list[Path]:
    """Draw the figures that the results allow; tells what was written."""
    from freqfast.corruptions import FAMILIES
    from freqfast.report import by_family, clean_against_robust
    from freqfast.study import summarise

    summaries = summarise(results.study, results.rows)
    figures = {}
    for measure in ("mean15", "mean_bar"):
        if any({"clean", measure} <= summary.means.keys() for summary in summaries):
            figures[f"clean_{measure}"] = clean_against_robust(results.study, summaries, measure)
    if any(summary.means.keys() & FAMILIES.keys() for summary in summaries):
        figures["families"] = by_family(results.study, summaries)
    if figures:
        folder.mkdir(exist_ok=True)
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            save_figure(folder / f"{name}.{kind}", figure)
    return [folder / f"{name}.png" for name in figures]


def _show(results: "StudyResults", markdown: bool) -> None:
    """Print the table, on a terminal in parts that fit it, and, but with Markdown, what failed or was left out."""
    from freqfast.study import results_table, summarise, tables

    summaries = summarise(results.study, results.rows, results.failures)
    if markdown:
        print(results_table(summaries), end="")
        return
    say(one_line(results.study.title))
    say(f"percent, ± half of the 95 % interval over n seeds; diff: to {results.study.baseline}, paired")
    width = console.width if console.is_terminal else None
    for header, rows in tables(summaries):
        for first, *others in _parts(header, rows, width):
            say(Text(first, style="bold"))
            for line in ("─" * len(first), *others, ""):
                say(line)
    say(f"{len(results.finished)} of {len(results.study.runs())} runs are finished")
    for name, error in results.failures.items():
        say(f"{name} failed: {one_line(error)}")
    for note in results.notes:
        say(one_line(note))


def _parts(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> Iterator[list[str]]:
    """A table as lines, in parts that are no wider than a width where its columns allow that; all begin with the arms.

    A cell stays whole, and what "n" or "diff" heads stays with the column before it.
    """
    blocks: list[list[str]] = []
    for i, (label, *cells) in enumerate(zip(header, *rows, strict=True)):
        longest = max(map(len, (label, *cells)))
        column = [cell.rjust(longest) if i else cell.ljust(longest) for cell in (label, *cells)]
        if label in ("n", "diff"):
            column = [f"{before} {cell}" for before, cell in zip(blocks.pop(), column, strict=True)]
        blocks.append(column)
    arms, *measures = blocks
    part = arms
    for block in measures:
        if width is not None and part is not arms and len(part[0]) + 2 + len(block[0]) > width:
            yield part
            part = arms
        part = [f"{line}  {cells}" for line, cells in zip(part, block, strict=True)]
    yield part
