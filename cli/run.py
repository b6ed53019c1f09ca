"""`freqfast run`."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from freqfast.cli.command import complete_recipe, complete_run, option
from freqfast.cli.files import check_data, check_folder
from freqfast.cli.interrupts import long_command
from freqfast.cli.options import AsJson, Data, Settings, TrainingDevice
from freqfast.cli.output import console, print_json, progress_bar, say, typed_command
from freqfast.cli.ranks import has_several_ranks, is_first_rank, meet
from freqfast.cli.run_report import compare_with_baseline, print_next, resume_command, run_table, write_comparison

from freqfast.records import plain

if TYPE_CHECKING:
    from freqfast.runs.directory import RunDirectory
    from freqfast.runs.recipe import Recipe

_FEW_EPOCHS = 2  # of a trial, whose evaluation takes longer than its training
_FEW_IMAGES = 100  # with which it does not
_HINT = f"so short a run takes longer to evaluate than to train; --set test_images={_FEW_IMAGES} shortens that"


RecipeName = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE",
        autocompletion=complete_recipe,
        help="A recipe's name (`freqfast recipes` lists them), or package.module:recipe. Not needed with --resume.",
    ),
]
Out = Annotated[
    Path | None, option("PATH", "The run directory, which must not exist; by default one in runs/.", "-o", "--out")
]
Resume = Annotated[
    Path | None,
    option("RUN", "Go on with an unfinished run, where it stopped.", "--resume", autocompletion=complete_run),
]


def run(
    recipe: RecipeName = None,
    data: Data = None,
    out: Out = None,
    resume: Resume = None,
    epochs: Annotated[int | None, option("N", "Epochs of training.")] = None,
    seed: Annotated[int | None, option("N", "Seed of all random numbers.")] = None,
    device: TrainingDevice = None,
    settings: Settings = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Train it without callbacks too, in PATH-baseline, and compare the two.")
    ] = False,
    without: Annotated[list[str] | None, option("CALLBACK", "Leave a callback out; may be repeated.")] = None,
    save_minutes: Annotated[
        float, option("X", "Minutes between checkpoints within an epoch; 0 saves after each step.", min=0)
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Train a recipe, evaluate it clean and corrupted, and export its filter spectra.

    Leaves a run directory: recipe.toml, environment.json, metrics.csv, model.safetensors, spectra.h5,
    evaluation.json, report.json.

    Ctrl-C or SIGTERM finishes the step and saves. --resume continues; on the CPU the result is then bit for bit that of
    an uninterrupted run. With --baseline it goes on with both runs, and adds the baseline where there is none.

    Examples:
        freqfast run quickstart --baseline
        freqfast run quickstart -o runs/plain --without spectral_modulation
        freqfast run resnet18_cifar10.best --set model.width=16 --seed 1
        freqfast run --resume runs/plain
    """
    from freqfast.runs.directory import RunDirectory

    changes = parse_settings(settings or [])
    for key, value in (("epochs", epochs), ("seed", seed)):
        if value is not None and changes.setdefault(key, value) != value:
            raise ValueError(f"--{key} {value} and --set {key}={changes[key]} contradict each other; leave one out")
    out, chosen = _find(recipe, resume, out, changes, without or ())
    plain_out, page = out.with_name(f"{out.name}-baseline"), out.with_name(f"{out.name}-report.html")
    if baseline:
        _check_baseline(chosen, [plain_out, page] if resume is None else [])
    check_data(data)
    check_folder(out)
    finished = RunDirectory(out).is_finished
    hints = [_HINT] if resume is None and _is_trial(chosen) else []

    def log(line: str) -> None:
        say(line)
        while hints:
            say(hints.pop())

    meet()
    go_on = f"go on with `{resume_command(out, has_baseline=baseline)}`{' on as many ranks' * has_several_ranks()}"
    with long_command(out, go_on) as stop, progress_bar() as progress:
        if resume is None:
            from freqfast.models.start import try_model

            try_model(chosen.model, chosen.model_options)

        from freqfast.training import run_recipe  # imports fastai: only once the input is known to be sound
        from freqfast.training.checkpoint import CheckpointPolicy

        policy = CheckpointPolicy(minutes=save_minutes, share=0.01 if save_minutes else 1)
        train = partial(run_recipe, resume=resume is not None, policy=policy, stop=stop, log=log)
        run = train(chosen, out, data, device, progress, command=typed_command())
        if baseline:
            say(f"the baseline, without {', '.join(chosen.callbacks)}:")
            plain_recipe = replace(chosen, callbacks={}, description=f"{chosen.name} without its callbacks")
            train(plain_recipe, plain_out, data, device, progress, like=run, command=typed_command())
            if is_first_rank():
                write_comparison(page, plain_out, out, progress)
    if finished:
        say(f"{out} is finished already")
    _report(RunDirectory(out), RunDirectory(plain_out) if baseline else None, page, as_json)


def _check_baseline(recipe: "Recipe", made: Sequence[Path]) -> None:
    """Refuse a recipe that is its own baseline, and what is to be made if it is there."""
    if not recipe.callbacks:
        raise ValueError(f"{recipe.name} has no callbacks, so its baseline would be the same; leave --baseline out")
    for path in made:
        if path.exists():
            raise FileExistsError(f"{path} exists already; choose another --out or remove it")


def _report(run: "RunDirectory", baseline: "RunDirectory | None", page: Path, as_json: bool) -> None:
    """Print what was found, and where it is."""
    from freqfast.corruptions import CORRUPTIONS, runnable

    content = {"run": str(run.path), **plain(run.read_report())}
    if baseline is None:
        console.print(run_table(run))
    else:
        comparison = compare_with_baseline(run, baseline)
        found = {"run": str(baseline.path), **plain(baseline.read_report())}
        content |= {"baseline": found, "comparison": comparison.to_dict(), "page": str(page)}
    for note in runnable(CORRUPTIONS)[1]:
        say(note)
    say(f"run directory: {run.path}")
    if baseline is not None:
        say(f"its baseline: {baseline.path}")
        say(f"page of both: {page}")
    if as_json:
        print_json(content)
    else:
        print_next(run.path, can_compare=baseline is None and bool(run.read_recipe().callbacks))


def _find(
    recipe: str | None, resume: Path | None, out: Path | None, changes: dict[str, Any], without: Sequence[str]
) -> "tuple[Path, Recipe]":
    """The run directory and the recipe: of a run that goes on, or of a new one."""
    from freqfast.runs.directory import RunDirectory
    from freqfast.runs.recipe import apply_overrides
    from freqfast.runs.registry import load_recipe

    if resume is not None:
        if changes or without or out is not None:
            raise ValueError(f"--resume goes on with {resume} as it was started; leave --out, --set and the like out")
        chosen = RunDirectory(resume).read_recipe()
        if recipe is not None and recipe != chosen.name:
            raise ValueError(f"{resume} is a run of {chosen.name!r}, not of {recipe!r}; leave the recipe out")
        return resume, chosen
    if recipe is None:
        raise ValueError("name a recipe (`freqfast recipes` lists them), or a run to go on with by --resume")
    chosen = apply_overrides(_leave_out(load_recipe(recipe), without), changes)
    if out is None:
        if has_several_ranks():
            raise ValueError("several processes need one run directory; name it by --out")
        # To the microsecond, since a loop may start several at once.
        out = Path("runs") / f"{Path(chosen.name).name.replace(':', '.')}-{datetime.now():%Y%m%d-%H%M%S-%f}"
    elif out.exists():
        hint = f"; to go on with it use `{resume_command(out)}`" if RunDirectory(out).is_started else ""
        raise FileExistsError(f"{out} exists already; choose another --out or remove it{hint}")
    return out, chosen


def _is_trial(recipe: "Recipe") -> bool:
    return recipe.epochs <= _FEW_EPOCHS and not 0 < recipe.test_images <= _FEW_IMAGES


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Values by dotted key from ``KEY=TOML-LITERAL`` strings, tables before parts of them.

    Examples:
        >>> parse_settings(["epochs=2", "model.width=16", "precision='float32'"])
        {'epochs': 2, 'precision': 'float32', 'model.width': 16}
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
        if key.strip() in values:
            raise ValueError(f"--set {setting}: {key.strip()} was set before; leave one out")
        values[key.strip()] = table["value"]
    return dict(sorted(values.items(), key=lambda item: item[0].count(".")))


def _leave_out(recipe: "Recipe", names: Sequence[str]) -> "Recipe":
    """The recipe without some of its callbacks."""
    for name in names:
        if name not in recipe.callbacks:
            raise ValueError(f"--without {name}: the recipe's callbacks are {', '.join(recipe.callbacks) or 'none'}")
    return replace(recipe, callbacks={name: recipe.callbacks[name] for name in recipe.callbacks if name not in names})
