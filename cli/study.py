"""`freqfast study`."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from freqfast.cli.command import option
from freqfast.cli.errors import one_line, print_error
from freqfast.cli.files import check_data, check_exists, check_folder, check_output, save_figure, write
from freqfast.cli.interrupts import long_command
from freqfast.cli.options import AsJson, Data, TrainingDevice, refuse
from freqfast.cli.output import console, print_json, progress_bar, say
from rich.text import Text

from freqfast.records import plain

if TYPE_CHECKING:
    from freqfast.study import StudyResults
    from freqfast.study.definition import PlannedRun

_SHORT_KEYS = {"gpus": "gpus_per_node", "cpus": "cpus_per_task"}


Out = Annotated[
    Path | None,
    option("PATH", "The study's folder, continued where it exists; by default runs/STUDY.", "-o", "--out"),
]
Modules = Annotated[
    list[str] | None, option("NAME", "Import this module, whose recipes the study names as NAME:RECIPE.", "--module")
]
Arms = Annotated[list[str] | None, option("NAME", "Run this arm only; may be repeated.", "--arm")]
Seeds = Annotated[list[int] | None, option("N", "Run this seed only; may be repeated.", "--seed")]
Jobs = Annotated[int, option("N", "Runs at a time on this machine; several need the extra `cluster`.", min=1)]
Threads = Annotated[int | None, option("N", "Threads of each new run; by default the cores shared out.", min=1)]
Slurm = Annotated[
    list[str] | None,
    option("KEY=VALUE,...", "Run as a Slurm job array, as in partition=gpu,gpus=1,time=240 (minutes)."),
]
Repeat = Annotated[
    bool, typer.Option("--repeat", help="Also run here what the result file has from elsewhere, and compare.")
]
TableAlone = Annotated[
    bool,
    typer.Option(
        "--table", help="Run nothing; show what is finished, and write the folder's results.json and figures anew."
    ),
]
Against = Annotated[str | None, option("NAME", "Print differences to this arm, instead of to the baseline.")]
Comparisons = Annotated[int, option("N", "Print intervals so wide that N of them hold at once (Bonferroni).", min=1)]
Results = Annotated[
    Path | None,
    option(
        "FILE.json",
        "A result file to continue: its runs count as finished, new ones are added. By default STUDY.results.json "
        "beside the study file, which is only read.",
    ),
]


def study(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study: arms, seeds, settings.")],
    out: Out = None,
    module: Modules = None,
    data: Data = None,
    arms: Arms = None,
    seeds: Seeds = None,
    jobs: Jobs = 1,
    threads: Threads = None,
    device: TrainingDevice = None,
    slurm: Slurm = None,
    repeat: Repeat = False,
    table: TableAlone = False,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    against: Against = None,
    comparisons: Comparisons = 1,
    results: Results = None,
) -> None:
    """Train every arm of a study under every seed, except finished runs, and compare the arms in one table.

    Writes runs/ARM/seed-N, results.json and figures into the folder. A run that fails does not stop the others; call
    again to run what is left. With a result file, --table needs neither the runs nor the data.

    Examples:
        freqfast study low.toml --jobs 2
        freqfast study low.toml --table --markdown
        freqfast study low.toml --slurm partition=gpu,gpus=1,time=240
    """
    check_exists(file, "a study file (.toml)")
    if slurm:
        refuse(context, "Slurm itself says how many runs go on at a time", {"jobs"})
    if table:
        options = {"data", "arms", "seeds", "jobs", "threads", "device", "slurm", "repeat"}
        refuse(context, "--table runs nothing, and shows all that is finished", options)
    out = out or Path("runs") / file.stem
    if results is not None:
        check_output(results, (), [file, data], force=True)  # it is continued
    check_data(data)
    _check_folder(out, table)

    from freqfast.study import gather, load_study, merge, published_path, read_results, run_study

    plan = load_study(file, module or ())
    kept = results or published_path(file)
    if table and not (out.is_dir() or kept.exists()):
        raise FileNotFoundError(
            f"nothing has been run: there is neither {out} nor {kept}; name the study's folder with --out"
        )
    which = {"arms": arms or (), "seeds": seeds or ()}
    asked = {run.name for run in plan.runs(arms or (), seeds or ())}  # refuses names that the study has not
    if against:
        plan.runs([against])
    published = read_results(kept) if kept.exists() else ()
    errors = {}
    if not table:
        where: dict[str, Any] = {"data_path": data, "device": device, "jobs": jobs, "threads": threads}
        where["slurm"] = parse_slurm(slurm) if slurm else None
        skip = () if repeat else merge(published, gather(plan, out)).finished  # by the rows that the table will have
        with long_command(out, "the same command goes on", has_children=True) as stop, progress_bar() as progress:
            told = {"progress": progress, "ended": _print_end, "stop": stop, "log": _print_log}
            errors = run_study(plan, out, skip=skip, **which, **where, **told)  # type: ignore[arg-type]
    if kept.exists():
        published = read_results(kept)  # again: others may have added to it in the meantime
    found = merge(published, gather(plan, out))
    found = replace(found, failures={**errors, **found.failures})
    try:
        written = _write(found, out, results)
    finally:
        if against:
            found = replace(found, study=replace(plan, baseline=against))
        _print(found, markdown, as_json, 1 - 0.05 / comparisons)
    if not markdown:
        for path in written:
            say(str(path))
    failed = [name for name in {**errors, **found.failures} if name in asked]
    if failed and not table:
        print_error(f"{len(failed)} of the runs failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _check_folder(out: Path, table: bool) -> None:
    """Refuse a folder that cannot be the study's; a table is printed also where nothing can be written."""
    from freqfast.runs.directory import RunDirectory

    if RunDirectory(out).is_started:
        raise FileExistsError(f"{out} is the directory of a run; choose another --out")
    if not table or (out.exists() and not out.is_dir()):
        check_folder(out)


def _print_log(line: str) -> None:
    print(one_line(line), file=sys.stderr)


def parse_slurm(texts: Sequence[str]) -> dict[str, Any]:
    """Parameters of a Slurm job array from ``KEY=VALUE,KEY=VALUE`` texts, also of ``partition=short,long``.

    Keys are those of `submitit.SlurmExecutor`, which are Slurm's (``partition``, ``account``, ``mem``, ``gres``,
    ``time`` in minutes, ``array_parallelism``), and ``gpus`` and ``cpus``, those of each run.
    """
    from freqfast.study.executors import import_submitit

    # submitit has no public way to ask for the names without a cluster.
    known = import_submitit("--slurm").SlurmExecutor._valid_parameters()
    known -= {"additional_parameters", "setup", "teardown"}
    found: dict[str, Any] = {}
    for part in re.split(r",(?=\s*[\w-]+=)", ",".join(texts)):  # a value may have commas
        key, equals, value = part.strip().partition("=")
        name = _SHORT_KEYS.get(key, key).replace("-", "_")
        if not (key and equals and value):
            raise ValueError(f"--slurm {part!r}: write KEY=VALUE,KEY=VALUE, such as partition=gpu,gpus=1")
        if name not in known:
            raise ValueError(f"--slurm has no parameter {key!r}; it has {', '.join(sorted({*known, *_SHORT_KEYS}))}")
        if name in found:
            raise ValueError(f"--slurm sets {name} twice")
        found[name] = _slurm_value(value)
    if "time" in found and not (type(found["time"]) is int and found["time"] > 0):
        raise ValueError(f"--slurm time must be whole minutes, got {found['time']!r}")
    return found


def _slurm_value(text: str) -> int | bool | str:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isascii() and text.isdigit() else text


def _print_end(run: "PlannedRun", error: str | None) -> None:
    print(f"{run.name}: {'finished' if error is None else one_line(error)}", file=sys.stderr)


def _write(found: "StudyResults", out: Path, results: Path | None) -> list[Path]:
    """Write the result files and, into the study's folder if it exists, the figures; gives their paths."""
    from freqfast.study import write_results
    from freqfast.study.folder import StudyFolder

    folder = StudyFolder(out)
    written = [folder.results] if out.is_dir() else []
    if results is not None:
        written.append(results)
    for path in written:
        write(path, lambda path: write_results(path, found))
    return written + (_draw(folder.figures, found) if out.is_dir() else [])


def _draw(folder: Path, results: "StudyResults") -> list[Path]:
    """Draw the figures that the results allow; tells what was written."""
    from freqfast.corruptions import FAMILIES
    from freqfast.report import by_family, clean_against_robust
    from freqfast.study import summarise

    summaries = summarise(results.study, results.rows)
    figures = {}
    for name, measures in {"clean_robust": ("mean15", "mean7"), "clean_mean_bar": ("mean_bar",)}.items():
        if any("clean" in summary.means and summary.means.keys() & set(measures) for summary in summaries):
            figures[name] = clean_against_robust(results.study, summaries, measures)
    if any(summary.means.keys() & FAMILIES.keys() for summary in summaries):
        figures["families"] = by_family(results.study, summaries)
    if figures:
        folder.mkdir(exist_ok=True)
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            save_figure(folder / f"{name}.{kind}", figure)
    return [folder / f"{name}.png" for name in figures]


def _print(results: "StudyResults", markdown: bool, as_json: bool, confidence: float) -> None:
    """Print the table, on a terminal in parts that fit it, and, except in Markdown, what failed or was left out."""
    from freqfast.study import legend, results_table, summarise, tables

    summaries = summarise(results.study, results.rows, results.failures, confidence)
    if markdown:
        print(results_table(summaries), end="")
        return
    if as_json:
        print_json(
            {
                "title": results.study.title,
                "arms": [plain(each) for each in summaries],
                "failures": dict(results.failures),
            }
        )
    say(results.study.title)
    baseline = results.study.baseline
    columns = f"diff: difference to the mean of {baseline}; time: of an epoch, relative to {baseline}'s"
    say(f"percent; {columns}; {legend(summaries)}")
    width = console.width if console.is_terminal else None
    for header, rows in tables(summaries):
        for first, *others in _parts(header, rows, width):
            say(Text(first, style="bold"))
            for line in ("─" * len(first), *others, ""):
                say(line)
    on = ", ".join(sorted({row.environment.data.name for row in results.rows}))
    say(f"{len(results.finished)} of {len(results.study.runs())} runs are finished{on and f', on {on}'}")
    for name, error in results.failures.items():
        say(f"{name} failed: {error}")
    for note in results.notes:
        say(note)


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
