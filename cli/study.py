"""`freqfast study`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from freqfast.cli.interrupts import long_command, one_line_warnings
from freqfast.cli.output import console
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from freqfast.study import PlannedRun, StudyResults

__all__ = ["study"]


def study(
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
        bool, typer.Option("--repeat", help="Also run what is published beside the study file, and compare.")
    ] = False,
    table: Annotated[bool, typer.Option("--table", help="Run nothing; show what is finished.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Write the results beside the study file too, as STUDY.results.json.")
    ] = False,
) -> None:
    """Run a study's arms over its seeds, what is not finished yet, and compare them in one table.

    Leaves runs/ARM/seed-N, results.json and figures in the folder. A run that fails does not stop the others; the same
    command again runs what is left. Runs published beside the study file count as finished.
    """
    from freqfast.study import (
        StudyResults,
        gather,
        load_study,
        merge,
        parse_slurm,
        published_path,
        read_results,
        run_study,
        write_results,
    )

    plan = load_study(file)
    beside = published_path(file)
    published = read_results(beside) if beside.exists() else ()
    out = out or Path("runs") / file.stem
    errors = {}
    if table:
        plan.runs(arm or (), seed or ())  # refuses names that it has not
    else:
        parameters = parse_slurm(slurm) if slurm else None
        known = merge(published, StudyResults(plan, ())).rows
        with long_command(out) as stop, one_line_warnings(), _progress() as (progress, ended):
            try:
                errors = run_study(
                    plan,
                    out,
                    arms=arm or (),
                    seeds=seed or (),
                    skip=() if repeat else {row.name for row in known},
                    data_path=data,
                    device=device,
                    jobs=jobs,
                    threads=threads,
                    slurm=parameters,
                    progress=progress,
                    ended=ended,
                    stop=stop,
                )
            except KeyboardInterrupt:
                print("freqfast: stopped at once; the same command goes on from the last checkpoints", file=sys.stderr)
                raise typer.Exit(130) from None
    results = merge(published, gather(plan, out))
    written = [out / "results.json"] if out.is_dir() else []
    if publish:
        written.append(beside)
    for path in written:
        write_results(path, results)
    if out.is_dir():
        written += _draw(out / "figures", results)
    _show(results, markdown, written)
    if errors:
        print(f"freqfast: {len(errors)} of the runs failed: {', '.join(errors)}", file=sys.stderr)
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[tuple[Callable[[int, int, str], None], Callable[["PlannedRun", str | None], None]]]:
    """A live bar on stderr over all epochs of all runs, and a line for each run that ends.

    Time left comes from the whole of the time so far, since epochs may be minutes apart.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    stderr = Console(stderr=True, markup=False, highlight=False)
    live = stderr.is_terminal
    with Progress(*columns, console=stderr, transient=True, disable=not live, speed_estimate_period=1e9) as bar:
        task = bar.add_task("starting", total=None)

        def progress(done: int, total: int, message: str) -> None:
            bar.update(task, completed=done, total=total, description=message)

        def ended(run: "PlannedRun", error: str | None) -> None:
            stderr.print(f"{run.name}: {'finished' if error is None else error}", soft_wrap=True)

        yield progress, ended


def _draw(folder: Path, results: "StudyResults") -> list[Path]:
    """Draw the figures that the results allow; tells what was written."""
    from freqfast.files import replacing
    from freqfast.report.study import clean_against_robust
    from freqfast.study import summarise

    summaries = summarise(results.study, results.rows)
    written = []
    for measure in ("mean15", "mean_bar"):
        if not any({"clean", measure} <= summary.means.keys() for summary in summaries):
            continue
        folder.mkdir(exist_ok=True)
        figure = clean_against_robust(results.study, summaries, measure)
        for kind in ("png", "svg"):
            with replacing(folder / f"clean_{measure}.{kind}") as temporary:
                figure.savefig(temporary, format=kind)
        written.append(folder / f"clean_{measure}.png")
    return written


def _show(results: "StudyResults", markdown: bool, written: Sequence[Path]) -> None:
    """Print the table and, but with Markdown, all that belongs to it."""
    from freqfast.study import results_table, summarise, table_cells

    summaries = summarise(results.study, results.rows)
    if markdown:
        print(results_table(summaries), end="")
        return
    header, rows = table_cells(summaries)
    table = Table(
        title=f"{results.study.title}: percent, ± half of the 95 % interval over n seeds",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    for i, label in enumerate(header):
        table.add_column(label, justify="right" if i else "left", overflow="fold")
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    console.print(f"{len(results.rows)} of {len(results.study.runs())} runs are finished", soft_wrap=True)
    for name, error in results.failures.items():
        console.print(f"{name} failed: {error}", soft_wrap=True)
    for note in results.notes:
        console.print(note, soft_wrap=True)
    for path in written:
        console.print(f"{path}", soft_wrap=True)
