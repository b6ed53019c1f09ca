"""Recipe to run directory, in one go or in several."""

import os
import shlex
import shutil
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from freqfast.callbacks import FitProgress
from freqfast.checkpoint import CheckpointFolder, CheckpointPolicy
from freqfast.data import ImageData, load_data
from freqfast.recipe import Recipe
from freqfast.run import Run, load_run, read_environment, read_recipe
from freqfast.training.directory import create_run, lock_run, remove_leftovers
from freqfast.training.environment import describe_environment, environment_differences, threads
from freqfast.training.learner import build_learner, fit_recipe
from freqfast.training.loop import DivergenceWatch, FitKeeper, ResumableLearner, RunStoppedError
from freqfast.training.outcome import filter_proportion, write_outcome

__all__ = ["Progress", "run_recipe"]

Progress = Callable[[int, int, str], None]


def run_recipe(
    recipe: Recipe,
    out: str | Path,
    data_path: str | Path | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
    resume: bool = False,
    *,
    policy: CheckpointPolicy | None = None,
    stop: Callable[[], int | None] = lambda: None,
    like: Run | None = None,
) -> Run:
    """Train, evaluate and export a recipe into a run directory; see `freqfast.run` for what it holds.

    Everything that the recipe and the data can get wrong is checked before the directory appears. On the CPU a run
    that was stopped and resumed, however often and wherever, ends with the same bits as one that was not.

    Args:
        recipe: What to run.
        out: The run directory.
        data_path: Where the data is; see `freqfast.data.load_data`. A resumed run looks where it was at the start.
        device: Where to train; fastai's default device if None, for a resumed run the one of its start.
        progress: Called as ``progress(done, total, message)``.
        resume: Go on with `out` if it is unfinished, read it if it is finished; otherwise it must not exist.
        policy: When to save checkpoints; after each epoch and every ten minutes by default.
        stop: Asked after each step for the number of a signal that wants the run to stop; None if none does.
        like: A run whose data path, device, number of threads and precision a new run takes over.

    Raises:
        FileExistsError: If `out` exists and `resume` is off.
        FileNotFoundError: If `out` exists and is no run directory, or the data is not there.
        BlockingIOError: If another process works on `out`.
        ValueError: If the recipe or the data does not fit (or is not the one that `out` was started with), all
            checkpoints are damaged, or the training diverges.
        RunStoppedError: If it was stopped, or the disk or the memory is full. The run can be resumed.
    """
    out, policy = Path(out), policy or CheckpointPolicy()
    watched = _watched(progress, stop)
    if not os.path.lexists(out):
        settings = {} if like is None else _settings(like.environment, like.path)
        data_path = data_path or settings.get("path")
        data = load_data(recipe.data, data_path, progress=watched)
        with threads(settings.get("threads", torch.get_num_threads())):
            chosen = replace(recipe, precision=settings.get("precision", recipe.precision))
            environment = describe_environment(chosen, data, data_path, device or settings.get("device"))
            learn, data = _build(recipe, data, environment, environment["device"], out)
            with create_run(out, recipe, environment):
                return _complete(learn, recipe, data, out, policy, progress, watched, stop)
    if not resume:
        raise FileExistsError(f"{out} exists already; choose another --out or remove it")
    with lock_run(out):
        _require_same(recipe, read_recipe(out), out)
        remove_leftovers(out)
        if (out / "report.json").is_file():
            return _finished(out)
        environment = read_environment(out)
        settings = _settings(environment, out)
        data_path = data_path or settings["path"]
        data = load_data(recipe.data, data_path, progress=watched)
        with threads(settings["threads"]):
            place = device or settings["device"]
            _compare(environment, replace(recipe, precision=settings["precision"]), data, data_path, place, out)
            learn, data = _build(recipe, data, environment, place, out)
            return _complete(learn, recipe, data, out, policy, progress, watched, stop)


def _build(
    recipe: Recipe, data: ImageData, environment: Mapping[str, Any], device: torch.device | str, out: Path
) -> tuple[ResumableLearner, ImageData]:
    """The Learner of a run, in the precision that was chosen at its start, and the data that it is evaluated on."""
    if recipe.holdout:
        data = data.hold_out(recipe.holdout)
    return build_learner(replace(recipe, precision=environment["precision"]), data, device, path=out), data


def _complete(
    learn: ResumableLearner,
    recipe: Recipe,
    data: ImageData,
    out: Path,
    policy: CheckpointPolicy,
    progress: Progress | None,
    watched: Progress,
    stop: Callable[[], int | None],
) -> Run:
    """From wherever the run is to its end."""
    before = filter_proportion(learn)
    keeper = FitKeeper(CheckpointFolder(out / "checkpoints"), policy, out / "metrics.csv", stop)
    keeper.load()
    watch = DivergenceWatch()
    learn.keeper = keeper
    with _one_line(recipe, out, keeper):
        extra = [watch] if progress is None else [watch, FitProgress(progress)]
        with learn.no_bar(), learn.no_logging(), learn.added_cbs(extra):
            fit_recipe(learn, recipe)
        if watch.found is not None:
            raise FloatingPointError(watch.found)
        write_outcome(learn, recipe, data, out, before, keeper.seconds, watched)
    return _finished(out)


def _finished(out: Path) -> Run:
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return load_run(out)


def _watched(progress: Progress | None, stop: Callable[[], int | None]) -> Progress:
    """A progress function for the stages that can stop at once, since they are repeated when the run goes on."""

    def report(done: int, total: int, message: str) -> None:
        if (signum := stop()) is not None:
            raise RunStoppedError(f"interrupted in {message}", signum)
        if progress is not None:
            progress(done, total, message)

    return report


@contextmanager
def _one_line(recipe: Recipe, out: Path, keeper: FitKeeper) -> Iterator[None]:
    """Say in one line what stopped a run, what is left of it, and how to go on."""
    try:
        yield
    except FloatingPointError as error:
        last = f"the last good checkpoint is {keeper.folder.files()[-1]}" if keeper.saved else "nothing was saved yet"
        raise ValueError(
            f"the training diverged {error}; {last}. Lower lr ({recipe.lr:g}) or lengthen its rise (pct_start, "
            f"{recipe.pct_start:g}), and start a new run: {out} stays unfinished"
        ) from None
    except RunStoppedError as error:
        raise RunStoppedError(f"{error}; {_how_to_go_on(out)}", error.signum) from None
    except OSError as error:
        raise RunStoppedError(f"{' '.join(str(error).split())}; {_how_to_go_on(out)}") from error
    except Exception as error:
        if (reason := _memory_error(error)) is None:
            raise
        raise RunStoppedError(
            f"out of memory {keeper.place()} ({reason:.300}); end other programs, or start anew with a batch_size "
            f"below {recipe.batch_size}; {_how_to_go_on(out)}"
        ) from error


def _how_to_go_on(out: Path) -> str:
    if not (out / "recipe.toml").is_file():
        return f"{out} is gone, and the run with it"
    return f"go on with `freqfast run --resume {shlex.quote(str(out))}`"


def _memory_error(error: BaseException | None) -> str | None:
    """What an exception says of memory that could not be had; None if it is about something else."""
    while error is not None:
        text = " ".join(str(error).split())
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if known or (isinstance(error, RuntimeError) and ("allocate memory" in text or "out of memory" in text)):
            return text or type(error).__name__
        error = error.__context__  # fastai stumbles over an exception without a text
    return None


def _settings(environment: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """What a run takes over from the environment of another, or of its own start.

    Raises:
        ValueError: If it is not all there.
    """
    try:
        settings = {key: environment[key] for key in ("device", "threads", "precision")}
        return settings | {"path": environment["data"]["path"], "sha256": environment["data"]["sha256"]}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{out / 'environment.json'} lacks {error}, so this run cannot be repeated exactly") from None


def _compare(
    environment: Mapping[str, Any],
    recipe: Recipe,
    data: ImageData,
    data_path: str | Path | None,
    device: torch.device | str,
    out: Path,
) -> None:
    """Refuse other data than that of the start; warn of another environment.

    Raises:
        ValueError: If the data has changed.
    """
    now = describe_environment(recipe, data, data_path, device)
    then = environment["data"]["sha256"]
    if now["data"]["sha256"] != then:
        raise ValueError(
            f"the data {data_path or data.name} has changed since {out} was started (SHA-256 of its arrays "
            f"{now['data']['sha256'][:12]}..., then {str(then)[:12]}...); put the old data back or start a new run"
        )
    if differences := environment_differences(environment, now):
        warnings.warn(
            f"not the environment that {out} was started in, so its result may differ: {'; '.join(differences)}",
            stacklevel=3,
        )


def _require_same(given: Recipe, stored: Recipe, out: Path) -> None:
    """Refuse to go on with another recipe.

    Raises:
        ValueError: Naming the first key that differs.
    """
    a, b = (_flat(tomllib.loads(recipe.to_toml())) for recipe in (given, stored))
    for key in dict.fromkeys((*a, *b)):
        if a.get(key) != b.get(key):
            raise ValueError(
                f"{out} was started with {key} {b.get(key)!r}, the recipe given has {a.get(key)!r}; "
                "give the same recipe or another run directory"
            )


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat
