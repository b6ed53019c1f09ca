"""`freqfast report`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from freqfast.cli.command import complete_run, option
from freqfast.cli.files import check_output, write
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import AsJson, Force
from freqfast.cli.output import command_text, print_json, progress_bar, say, typed_command

from freqfast.files import write_text


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            autocompletion=complete_run,
            help="Finished run directories; differences are to the first.",
        ),
    ],
    out: Annotated[Path, option("FILE", "The HTML page to write.", "-o", "--out")] = Path("report.html"),
    as_json: AsJson = False,
    force: Force = False,
) -> None:
    """Show a run, or compare several, on one self-contained HTML page: tables with intervals, figures, commands.

    The page has the analyses that `freqfast heatmap`, `reliance`, `ablation`, `features` and `quality` keep in the
    runs. Differences are paired, image by image, by the outcomes in RUN/evaluation.json, which `freqfast evaluate RUN
    --force -o RUN/evaluation.json` replaces.

    Examples:
        freqfast report runs/first
        freqfast report runs/baseline runs/low -o low.html
    """
    check_output(out, (), runs, force)

    from freqfast.runs.directory import RunDirectory

    for run in runs:  # before the packages that draw are imported
        RunDirectory(run).read_recipe()
        RunDirectory(run).read_report()

    with interruptible(), progress_bar() as progress:
        from freqfast.report.entries import load_entries
        from freqfast.report.page import render_page

        try:
            entries = load_entries(runs)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}{_way_out(runs)}") from None
        page = render_page(entries, progress, typed_command(), command_text)
        write(out, lambda path: write_text(path, page))
    count = f"{len(runs)} runs" if len(runs) > 1 else "one run"
    if as_json:
        print_json({"page": str(out), "runs": [str(run) for run in runs], "bytes": out.stat().st_size})
    say(f"{out}: {count}, {out.stat().st_size / 2**20:.1f} MiB")


def _way_out(runs: Sequence[Path]) -> str:
    """The command that writes the evaluation of the first finished run without one, to be added to a message."""
    from freqfast.runs.directory import RunDirectory

    for run in map(RunDirectory, runs):
        if run.is_finished and not run.evaluation.is_file():
            words = ("evaluate", run.path, "--out", run.evaluation)
            held_out = run.read_recipe().holdout
            return f"; `{command_text(*(('rerun', run.path) if held_out else words))}` writes it"
    return ""
