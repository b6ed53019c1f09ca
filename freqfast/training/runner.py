"""Recipe to run directory, in one go or in several."""

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from freqfast.callbacks import FitProgress
from freqfast.compute.memory import memory_error
from freqfast.corruptions import own_corruptions, try_corruptions
from freqfast.data import ImageData, load_data
from freqfast.files import lock_folder
from freqfast.progress import Progress, RunStoppedError, Stop, stopping
from freqfast.runs.creation import create_run, remove_leftovers
from freqfast.runs.directory import Run, load_run, read_environment, read_recipe
from freqfast.runs.environment import describe_environment, threads
from freqfast.runs.recipe import Recipe
from freqfast.training.checkpoint import CheckpointFolder, CheckpointPolicy
from freqfast.training.continuity import (
    compare_start,
    require_same_recipe,
    require_sound_recipe,
    stored_place,
    stored_settings,
)
from freqfast.training.learner import build_learner, fit_recipe
from freqfast.training.loop import DivergenceWatch, FitKeeper, ResumableLearner
from freqfast.training.outcome import filter_proportion, write_outcome

__all__ = ["run_recipe"]


def run_recipe(
    recipe: Recipe,
    out: str | Path,
    data_path: str | Path | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
    resume: bool = False,
    *,
    policy: CheckpointPolicy | None = None,
    stop: Stop = lambda: None,
    like: Run | None = None,
) -> Run:
    """Train, evaluate and export a recipe into a run directory; see `freqfast.runs.directory` for what it holds.

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
        ValueError: If the recipe or the data does not fit (or is not the one that `out` was started with), a corruption
            of another package is faulty, all checkpoints are damaged, or the training diverges.
        RunStoppedError: If it was stopped, or the disk or the memory is full. The run can be resumed.
    """
    out, work = Path(out), _Work(policy or CheckpointPolicy(), progress, stop)
    if not os.path.lexists(out):
        try:
            return _start(recipe, out, data_path, device, like, work)
        except FileExistsError:
            if not (resume and out.exists()):  # else another process has started it in the meantime
                raise
    elif not resume:
        raise FileExistsError(f"{out} exists already; choose another --out or remove it")
    with lock_folder(out):
        return _go_on(recipe, out, data_path, device, work)


@dataclass(frozen=True)
class _Work:
    """How a run is to be carried out, which changes nothing of what comes out."""

    policy: CheckpointPolicy
    progress: Progress | None
    stop: Stop

    @property
    def watched(self) -> Progress:
        """The progress function of all stages but the training."""
        return stopping(self.progress, self.stop)


def _start(
    recipe: Recipe,
    out: Path,
    data_path: str | Path | None,
    device: torch.device | str | None,
    like: Run | None,
    work: _Work,
) -> Run:
    settings: dict[str, Any] = {}
    if like is not None:
        settings = stored_settings(like.environment, like.path)
        data_path = data_path or stored_place(settings, like.path)
    data = load_data(recipe.data, data_path, progress=work.watched)
    with threads(settings.get("threads", torch.get_num_threads())):
        chosen = replace(recipe, precision=settings.get("precision", recipe.precision))
        environment = describe_environment(chosen, data, data_path, device or settings.get("device"))
        learn, data = _build(recipe, data, environment, environment["device"], out)
        with create_run(out, recipe, environment):
            return _complete(learn, recipe, data, out, work, stored_settings(environment, out))


def _go_on(
    given: Recipe, out: Path, data_path: str | Path | None, device: torch.device | str | None, work: _Work
) -> Run:
    recipe = read_recipe(out)  # whose name and description the run keeps
    require_same_recipe(given, recipe, out)
    remove_leftovers(out)
    if (out / "report.json").is_file():
        return _finished(out)
    environment = read_environment(out)
    require_sound_recipe(environment, out)
    settings = stored_settings(environment, out)
    data_path = data_path or stored_place(settings, out)
    with _how_to_go_on(out):
        data = load_data(recipe.data, data_path, progress=work.watched)
    with threads(settings["threads"]):
        place = device or settings["device"]
        compare_start(environment, replace(recipe, precision=settings["precision"]), data, data_path, place, out)
        learn, data = _build(recipe, data, environment, place, out)
        return _complete(learn, recipe, data, out, work, settings)


def _build(
    recipe: Recipe, data: ImageData, environment: Mapping[str, Any], device: torch.device | str, out: Path
) -> tuple[ResumableLearner, ImageData]:
    """The Learner of a run, in the precision that was chosen at its start, and the data that it is evaluated on."""
    data = data.hold_out(recipe.holdout)
    try:
        try_corruptions(own_corruptions(), data.test.images)
    except ValueError as error:
        raise ValueError(f"{error}; mend it, or uninstall its package, for runs are evaluated on it") from error
    return build_learner(replace(recipe, precision=environment["precision"]), data, device, path=out), data


def _complete(
    learn: ResumableLearner,
    recipe: Recipe,
    data: ImageData,
    out: Path,
    work: _Work,
    settings: Mapping[str, Any],
) -> Run:
    """From wherever the run is to its end."""
    before = filter_proportion(learn)
    start = {key: settings[key] for key in ("threads", "precision", "sha256")}
    keeper = FitKeeper(CheckpointFolder(out / "checkpoints"), work.policy, out / "metrics.csv", start, work.stop)
    keeper.load()
    watch = DivergenceWatch()
    learn.keeper = keeper
    with _how_to_go_on(out), _one_line(recipe, out, keeper):
        extra = [watch] if work.progress is None else [watch, FitProgress(work.progress)]
        with learn.no_bar(), learn.no_logging(), learn.added_cbs(extra):
            fit_recipe(learn, recipe)
        if watch.found is not None:
            raise FloatingPointError(watch.found)
        with _weights_kept(out):
            write_outcome(learn, recipe, data, out, before, keeper.seconds, work.watched)
    return _finished(out)


def _finished(out: Path) -> Run:
    run = load_run(out)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return run


@contextmanager
def _how_to_go_on(out: Path) -> Iterator[None]:
    """Add to the message of a run that stopped what is left of it, and how to go on."""
    try:
        yield
    except RunStoppedError as error:
        there = (out / "recipe.toml").is_file()
        left = f"go on with {_resume(out)}" if there else f"{out} is gone, and the run with it"
        raise RunStoppedError(f"{error}; {left}", error.signum) from error.__cause__


def _resume(out: Path) -> str:
    return f"`freqfast run --resume {shlex.quote(str(out))}`"


@contextmanager
def _weights_kept(out: Path) -> Iterator[None]:
    """Say of an error after the training that the training is not lost."""
    hint = f"the trained weights are kept; once this is mended, {_resume(out)} goes on with the evaluation"
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error}; {hint}") from error
    except Exception as error:
        error.add_note(hint)
        raise


@contextmanager
def _one_line(recipe: Recipe, out: Path, keeper: FitKeeper) -> Iterator[None]:
    """Say in one line what stopped a run."""
    try:
        yield
    except FloatingPointError as error:
        last = f"the last good checkpoint is {keeper.folder.files()[-1]}" if keeper.saved else "nothing was saved yet"
        raise ValueError(
            f"the training diverged {error}; {last}. Lower lr ({recipe.lr:g}) or lengthen its rise (pct_start, "
            f"{recipe.pct_start:g}), and start a new run: {out} stays unfinished"
        ) from None
    except RunStoppedError:
        raise
    except OSError as error:
        text = f"{error.filename or out}: {error.strerror}" if error.strerror else str(error)
        raise RunStoppedError(" ".join(text.split())) from error
    except Exception as error:
        if (reason := memory_error(error)) is None:
            raise
        raise RunStoppedError(
            f"out of memory {keeper.place()} ({reason:.300}); end other programs, or start anew with a batch_size "
            f"below {recipe.batch_size}"
        ) from error
