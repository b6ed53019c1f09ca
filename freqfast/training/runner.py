"""Recipe to run directory, in one go or in several."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from freqfast.callbacks import FitProgress
from freqfast.compute.memory import memory_error
from freqfast.corruptions import own_corruptions, try_corruptions
from freqfast.data import ImageData, load_data
from freqfast.progress import Progress, RunStoppedError, Stop, stopping
from freqfast.runs.directory import RunDirectory
from freqfast.runs.environment import Environment
from freqfast.runs.recipe import Recipe
from freqfast.runs.run import Run, load_run
from freqfast.training.checkpoint import CheckpointFolder, CheckpointPolicy
from freqfast.training.continuity import check_data, check_recipe, stored_place, warn_of_changes
from freqfast.training.environment import describe_environment, threads
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
    command: str | None = None,
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
        command: The shell command that starts the run, to be kept with it.

    Raises:
        FileExistsError: If `out` exists and `resume` is off.
        FileNotFoundError: If `out` exists and is no run directory, or the data is not there.
        BlockingIOError: If another process works on `out`.
        ValueError: If the recipe or the data does not fit (or is not the one that `out` was started with), a corruption
            of another package is faulty, all checkpoints are damaged, or the training diverges.
        RunStoppedError: If it was stopped, or the disk or the memory is full. The run can be resumed.
    """
    directory = RunDirectory(out)
    work = _Work(policy or CheckpointPolicy(), progress, stop)
    if not os.path.lexists(out):
        try:
            return _start(recipe, directory, data_path, device, like, command, work)
        except FileExistsError:
            if not (resume and directory.path.exists()):  # else another process has started it in the meantime
                raise
    elif not resume:
        raise FileExistsError(f"{out} exists already; choose another out or remove it")
    with directory.locked():
        return _go_on(recipe, directory, data_path, device, work)


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
    directory: RunDirectory,
    data_path: str | Path | None,
    device: torch.device | str | None,
    like: Run | None,
    command: str | None,
    work: _Work,
) -> Run:
    count, chosen = torch.get_num_threads(), recipe
    if like is not None:
        model = like.environment
        data_path = data_path or stored_place(model, like.path)
        device = device or model.device
        count, chosen = model.threads, replace(recipe, precision=model.precision)
    data = load_data(recipe.data, data_path, progress=work.watched)
    with threads(count):
        environment = describe_environment(chosen, data, data_path, device, command)
        learn, data = _build(recipe, data, environment, directory)
        with directory.created(recipe, environment):
            return _complete(learn, recipe, data, directory, environment, work)


def _go_on(
    given: Recipe,
    directory: RunDirectory,
    data_path: str | Path | None,
    device: torch.device | str | None,
    work: _Work,
) -> Run:
    recipe = check_recipe(given, directory)
    if directory.is_finished:
        return _finished(directory)
    start = directory.read_environment()
    data_path = data_path or stored_place(start, directory.path)
    with _how_to_go_on(directory):
        data = load_data(recipe.data, data_path, progress=work.watched)
    with threads(start.threads):
        chosen = replace(recipe, precision=start.precision)
        now = describe_environment(chosen, data, data_path, device or start.device)
        check_data(start, now, data, directory)
        warn_of_changes(start, now, directory.path)
        learn, data = _build(recipe, data, replace(start, device=now.device), directory)
        return _complete(learn, recipe, data, directory, start, work)


def _build(
    recipe: Recipe, data: ImageData, environment: Environment, directory: RunDirectory
) -> tuple[ResumableLearner, ImageData]:
    """The Learner of a run, in the precision that was chosen at its start, and the data that it is evaluated on."""
    data = data.hold_out(recipe.holdout)
    try:
        try_corruptions(own_corruptions(), data.test.images)
    except ValueError as error:
        raise ValueError(f"{error}; mend it, or uninstall its package, for runs are evaluated on it") from error
    chosen = replace(recipe, precision=environment.precision)
    return build_learner(chosen, data, environment.device, path=directory.path), data


def _complete(
    learn: ResumableLearner,
    recipe: Recipe,
    data: ImageData,
    directory: RunDirectory,
    environment: Environment,
    work: _Work,
) -> Run:
    """From wherever the run is to its end."""
    before = filter_proportion(learn)
    start = {
        "threads": environment.threads,
        "precision": environment.precision,
        "sha256": environment.data.sha256,
    }
    keeper = FitKeeper(CheckpointFolder(directory.checkpoints), work.policy, directory.metrics, start, work.stop)
    keeper.load()
    watch = DivergenceWatch()
    learn.keeper = keeper
    with _how_to_go_on(directory), _explained(recipe, directory, keeper):
        extra = [watch] if work.progress is None else [watch, FitProgress(work.progress)]
        with learn.no_bar(), learn.no_logging(), learn.added_cbs(extra):
            fit_recipe(learn, recipe)
        if watch.found is not None:
            raise FloatingPointError(watch.found)
        with _weights_kept():
            write_outcome(learn, recipe, data, directory, before, keeper.seconds, work.watched)
    return _finished(directory)


def _finished(directory: RunDirectory) -> Run:
    run = load_run(directory.path)
    directory.remove_checkpoints()
    return run


@contextmanager
def _how_to_go_on(directory: RunDirectory) -> Iterator[None]:
    """Add to the message of a run that stopped what is left of it."""
    try:
        yield
    except RunStoppedError as error:
        left = "it can be resumed" if directory.is_started else f"{directory.path} is gone, and the run with it"
        raise RunStoppedError(f"{error}; {left}", error.signum) from error.__cause__


@contextmanager
def _weights_kept() -> Iterator[None]:
    """Say of an error after the training that the training is not lost."""
    hint = "the trained weights are kept; once this is mended, resume the run, which goes on with the evaluation"
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error}; {hint}") from error
    except Exception as error:
        error.add_note(hint)
        raise


@contextmanager
def _explained(recipe: Recipe, directory: RunDirectory, keeper: FitKeeper) -> Iterator[None]:
    """Say in one line what stopped a run."""
    try:
        yield
    except FloatingPointError as error:
        last = f"the last good checkpoint is {keeper.folder.files()[-1]}" if keeper.saved else "nothing was saved yet"
        raise ValueError(
            f"the training diverged {error}; {last}. Lower lr ({recipe.lr:g}) or lengthen its rise (pct_start, "
            f"{recipe.pct_start:g}), and start a new run: {directory.path} stays unfinished"
        ) from None
    except RunStoppedError:
        raise
    except OSError as error:
        text = f"{error.filename or directory.path}: {error.strerror}" if error.strerror else str(error)
        raise RunStoppedError(" ".join(text.split())) from error
    except Exception as error:
        if (reason := memory_error(error)) is None:
            raise
        raise RunStoppedError(
            f"out of memory {keeper.place()} ({reason:.300}); end other programs, or start anew with a batch_size "
            f"below {recipe.batch_size}"
        ) from error
