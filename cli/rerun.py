"""`freqfast rerun`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from freqfast.cli.command import complete_run, option
from freqfast.cli.files import check_data, check_folder
from freqfast.cli.interrupts import long_command
from freqfast.cli.options import AsJson, Data, TrainingDevice
from freqfast.cli.output import CleanTable, console, percent, print_json, progress_bar, say, typed_command
from freqfast.cli.ranks import meet

if TYPE_CHECKING:
    from freqfast.training import Repetition


def rerun(
    run: Annotated[Path, typer.Argument(metavar="RUN", autocompletion=complete_run, help="A finished run directory.")],
    out: Annotated[Path | None, option("PATH", "Where to repeat it; RUN-rerun by default.", "-o", "--out")] = None,
    data: Data = None,
    device: TrainingDevice = None,
    as_json: AsJson = False,
) -> None:
    """Repeat a run with its recipe, data, device, threads and precision, and report the difference.

    A repetition that was interrupted goes on; one that is finished is only compared.

    Examples:
        freqfast rerun runs/first
        freqfast rerun runs/first -o again --device cuda:0
    """
    from freqfast.runs.directory import RunDirectory

    RunDirectory(run).read_recipe()  # before the packages that train are imported
    RunDirectory(run).read_report()
    out = run.resolve().with_name(f"{run.resolve().name}-rerun") if out is None else out

    check_data(data)
    check_folder(out)

    meet()
    with long_command(out, "the same command goes on") as stop, progress_bar() as progress:
        from freqfast import training

        found = training.rerun(run, out, data, device, progress, stop=stop, command=typed_command(), log=say)
    if as_json:
        kept = {name: getattr(found, name) for name in ("weights_equal", "weights_distance", "accuracy", "environment")}
        print_json({"run": str(out), **kept})
    console.print(_table(found))
    for difference in found.environment:
        say(f"environment: {difference}")
    say(f"run directory: {out}")


def _table(found: "Repetition") -> CleanTable:
    table = CleanTable(f"{found.first.path.name}, repeated", show_header=False)
    distance = f"largest difference {found.weights_distance:.3g}"
    table.add_row("weights", "equal, bit for bit" if found.weights_equal else distance)
    for name, (first, second) in found.accuracy.items():
        table.add_row(name, f"{percent(first)} %, {'equal' if first == second else f'now {percent(second)} %'}")
    count = len(found.environment)
    table.add_row("environment", f"{count} difference{'s' * (count > 1)}" if count else "equal")
    return table
