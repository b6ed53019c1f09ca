"""`freqfast run`."""

import re
import shlex
import tomllib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from freqfast.cli.interrupts import long_command
from freqfast.cli.output import CleanTable, console, percent, progress_bar, proportion_text, say, typed_command
from freqfast.cli.ranks import is_shared

if TYPE_CHECKING:
    from freqfast.runs.report import RunReport

__all__ = ["run"]


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="Name of a recipe (`freqfast recipes` lists them), or package.module:recipe. Not needed with --resume."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="An archive, its folder, or a data set's folder; else FREQFAST_DATA, the cache.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory, which must not exist yet.")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with an unfinished run directory, exactly.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of training.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    device: Annotated[str | None, typer.Option(help="Where to train, such as cpu or cuda:0.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a value (TOML), as in model.width=16 or frequency_proportion.purity=0.8.",
        ),
    ] = None,
    save_epochs: Annotated[
        int | None,
        typer.Option(help="Epochs between two checkpoints; without it one, but no more than 1 % of the time for them."),
    ] = None,
    save_minutes: Annotated[float, typer.Option(help="Minutes between two checkpoints within an epoch.")] = 10,
) -> None:
    """Train a recipe, evaluate it clean and corrupted, and export its filter spectra.

    Leaves a run directory: recipe.toml, environment.json, metrics.csv, model.safetensors, spectra.h5,
    evaluation.json, report.json.
    Ctrl-C or SIGTERM finishes the step and saves; --resume goes on, and ends with the same bits as an uninterrupted
    run on the CPU.
    """
    from freqfast.runs.directory import RunDirectory
    from freqfast.runs.recipe import apply_overrides
    from freqfast.runs.registry import load_recipe

    changes = parse_settings(settings or [])
    for key, value in (("epochs", epochs), ("seed", seed)):
        if value is not None and changes.setdefault(key, value) != value:
            raise ValueError(f"--{key} {value} and --set {key}={changes[key]} contradict each other; leave one out")
    if resume is not None:
        if changes or out is not None:
            raise ValueError(f"--resume goes on with {resume} as it was started; leave --out, --set and the like out")
        out, chosen = resume, RunDirectory(resume).read_recipe()
        if recipe is not None and recipe != chosen.name:
            raise ValueError(f"{resume} is a run of {chosen.name!r}, not of {recipe!r}; leave the recipe out")
    else:
        if recipe is None:
            raise ValueError("name a recipe (`freqfast recipes` lists them), or a run to go on with by --resume")
        chosen = apply_overrides(load_recipe(recipe), changes)
        if out is None:
            # To the microsecond, since a loop may start several at once.
            out = Path("runs") / f"{Path(chosen.name).name.replace(':', '.')}-{datetime.now():%Y%m%d-%H%M%S-%f}"
        elif out.exists():
            hint = f"; to go on with it use --resume {out}" if RunDirectory(out).is_started else ""
            raise FileExistsError(f"{out} exists already; choose another --out or remove it{hint}")

    finished = RunDirectory(out).is_finished
    resuming = f"go on with `freqfast run --resume {shlex.quote(str(out))}`{' on as many ranks' * is_shared()}"
    with long_command(out, resuming) as stop:
        from freqfast.corruptions import unavailable
        from freqfast.training import run_recipe  # imports fastai: only once the input is known to be sound
        from freqfast.training.checkpoint import CheckpointPolicy

        policy = CheckpointPolicy(minutes=save_minutes)
        if save_epochs is not None:  # who names a number of epochs gets it, whatever it costs
            policy = CheckpointPolicy(epochs=save_epochs, minutes=save_minutes, share=1)
        with progress_bar() as progress:
            result = run_recipe(
                chosen,
                out,
                data,
                device,
                progress,
                resume=resume is not None,
                policy=policy,
                stop=stop,
                command=typed_command(),
            )
        if finished:
            say(f"{out} is finished already")
        console.print(_summary(result.report))
        for reason in unavailable().values():
            say(f"not measured: {reason}")
        say(f"run directory: {out}")


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Values by dotted key from ``KEY=TOML-LITERAL`` strings.

    Raises:
        ValueError: If a setting is not of this form.

    Examples:
        >>> parse_settings(["epochs=2", "model.width=16", "precision='float32'"])
        {'epochs': 2, 'model.width': 16, 'precision': 'float32'}
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, literal = setting.partition("=")
        try:
            table = tomllib.loads(f"value = {literal}")
        except (ValueError, RecursionError):  # also numbers too long and arrays too deep to read
            table = {}
        if not equals or not key.strip() or set(table) != {"value"}:
            word = f"{key}='\"{literal}\"'" if re.fullmatch(r"[A-Za-z][\w.]*", literal) else "precision='\"float32\"'"
            raise ValueError(f"--set {setting}: write KEY=VALUE with a TOML value, such as epochs=2 or {word}")
        values[key.strip()] = table["value"]
    return values


def _summary(report: "RunReport") -> CleanTable:
    table = CleanTable(f"{report.recipe}, {report.epochs} epochs, seed {report.seed}", show_header=False)
    table.add_row("clean accuracy", f"{percent(report.clean)} %")
    measured = f"{len(report.accuracy)} corruptions, {report.images} images each"
    table.add_row("corrupted accuracy", f"{percent(report.corrupted)} % ({measured})")
    if report.mean15 is not None:
        table.add_row("mean15", f"{percent(report.mean15)} %")
    proportion = report.proportion
    table.add_row("frequency proportion before", proportion_text(report.bands, proportion.before))
    table.add_row("frequency proportion after", proportion_text(report.bands, proportion.after))
    if proportion.target:
        table.add_row("target proportion", proportion_text(report.bands, proportion.target))
    seconds = report.seconds
    table.add_row("seconds", f"{seconds.fit:.0f} training, {seconds.evaluate:.0f} evaluation")
    return table
