"""Run a recipe: train it, evaluate it and leave a run directory, or resume such a run."""

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch

from freqfast.compute.memory import memory_error
from freqfast.compute.ranks import Ranks, check_alone, current_ranks
from freqfast.data.images import list_classes
from freqfast.models.file import check_round_trip
from freqfast.progress import Log, Progress, RunStoppedError, Stop, notebook_progress, stopping
from freqfast.runs.directory import RunDirectory
from freqfast.runs.recipe import Recipe
from freqfast.runs.run import Run, load_run
from freqfast.training.checkpoint import CheckpointPolicy
from freqfast.training.environment import threads
from freqfast.training.learner import fit_watched
from freqfast.training.loop import FitKeeper
from freqfast.training.outcome import write_outcome
from freqfast.training.preparation import PreparedRun, check_recipe, prepare_run
from freqfast.training.state import generators_kept


@generators_kept()
def run_recipe(
    recipe: Recipe,
    out: str | Path,
    data_path: str | Path | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
    *,
    resume: bool = False,
    policy: CheckpointPolicy | None = None,
    stop: Stop = lambda: None,
    like: Run | None = None,
    command: str | None = None,
    log: Log | None = partial(print, flush=True),  # noqa: B008
) -> Run:
    """Train, evaluate and export a recipe into a run directory; see `freqfast.runs.directory` for what it holds.

    Errors in the recipe and the data are found before the directory is created. On the CPU a run that was stopped and
    resumed, however often and at whatever step, ends with the same bits as one that was not. If `torchrun` or a similar
    launcher has started several processes, all must call this function, and they train together; the first one reports
    the progress. The caller's random number generators stay as they were.

    Args:
        recipe: What to run.
        out: The run directory.
        data_path: Where the data is; see `freqfast.data.load_data`. A resumed run looks where the data was at its
            start.
        device: Where to train; if None, a CUDA GPU if there is one, else the CPU; or, for a resumed run, its own.
        progress: Called as ``progress(done, total, message)``; by default a bar in a notebook.
        resume: Resume `out` if it is unfinished, and read it if it is finished. Without this, `out` must not exist.
        policy: When to save checkpoints; by default as `CheckpointPolicy` says.
        stop: Asked after each step for the number of a signal that wants the run to stop; None if none does.
        like: A run whose data path, device, number of threads and precision are used for a new run.
        command: The shell command that starts the run; it is stored with the run.
        log: Called with a line about each epoch and about the evaluation; None for no log.

    Returns:
        The finished run.

    Raises:
        FileExistsError: If `out` exists and `resume` is off.
        FileNotFoundError: If `out` exists but is not a run directory, or the data is missing.
        BlockingIOError: If another process is working on `out`, or creates it in the meantime.
        ValueError: If the recipe or the data is unfit, is not the one that `out` was started with, or has other classes
            than `like`; if a corruption of another package fails, no checkpoint can be read, or the training diverges;
            or if the number of ranks is not that of the start.
        RunStoppedError: If the run was stopped, or the disk or the memory is full. It can be resumed.

    Examples:
        >>> run_recipe(Recipe("small", data="photos", epochs=1), ".")
        Traceback (most recent call last):
        FileExistsError: . exists already; choose another out or remove it
    """
    gc.collect()  # the Learners of earlier runs, which hold images, weights and gradients in cycles of references
    check_alone()
    ranks = current_ranks()
    ranks.wait()  # now, before the first one loads data for as long as it takes
    progress = progress or notebook_progress() if ranks.is_first else None
    directory, watched = RunDirectory(out), stopping(progress, stop)
    with ExitStack() as lock:

        def prepare() -> PreparedRun | None:
            exists = os.path.lexists(out)
            if exists and not resume:
                raise FileExistsError(f"{out} exists already; choose another out or remove it")
            chosen, start = recipe, None if like is None else like.environment
            if exists:
                lock.enter_context(directory.locked())
                chosen = check_recipe(recipe, directory)
                if directory.is_finished:
                    return None
                start = directory.read_environment()
            prepared = prepare_run(chosen, directory, start, data_path, device, command, watched)
            if like is not None:
                check_classes(like, prepared.data.classes, data_path or prepared.data.name)
            if not exists:
                lock.enter_context(directory.created(chosen, prepared.environment))
            return prepared

        first = ranks.together(prepare if ranks.is_first else lambda: None)
        start = ranks.broadcast(None if first is None else (first.recipe, first.environment))
        if start is None:
            return _finished(directory, ranks)
        chosen, environment = start  # which the others take from the first one
        prepared = ranks.together(lambda: first or prepare_run(chosen, directory, environment, data_path))
        policy = policy or CheckpointPolicy()
        keeper = FitKeeper(directory, prepared.origin, policy, stop, lambda: check_round_trip(prepared.network), ranks)
        log = log if log is not None and ranks.is_first else (lambda line: None)
        log(_first_line(prepared))
        with ranks.leaving_on_error(), _one_line_errors(prepared, keeper), threads(prepared.environment.threads):
            prepared.learn.keeper = keeper
            fit_watched(prepared.learn, prepared.recipe, progress, log, ranks)
            log(f"trained in {timedelta(seconds=round(keeper.seconds))}; evaluating clean and corrupted images")
            write_outcome(prepared, keeper.seconds, watched)
        return _finished(directory, ranks)


def check_classes(run: Run, classes: Sequence[str], where: str | Path) -> None:
    """Refuse to repeat a run on data with other classes than the run's."""
    if tuple(classes) != run.classes:
        raise ValueError(
            f"{run.path} was trained on the classes {list_classes(run.classes, classes)}, but those of {where} "
            f"are {list_classes(classes, run.classes)}; name its own"
        )


def _first_line(prepared: PreparedRun) -> str:
    recipe, environment = prepared.recipe, prepared.environment
    epochs = "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"
    where = f"{environment.device} in {environment.precision}"
    return f"{recipe.name or 'training'}: {epochs} of {len(prepared.learn.dls.train)} steps on {where}"


def _finished(directory: RunDirectory, ranks: Ranks) -> Run:
    run = load_run(directory.path)
    if ranks.is_first:
        directory.remove_checkpoints()
    return run


@contextmanager
def _one_line_errors(prepared: PreparedRun, keeper: FitKeeper) -> Iterator[None]:
    """Say in one line what stopped a run, and what is left of it."""
    recipe, directory = prepared.recipe, prepared.directory
    try:
        yield
    except FloatingPointError as error:
        last = f"the last good checkpoint is {keeper.folder.files()[-1]}" if keeper.saved else "nothing was saved yet"
        raise ValueError(
            f"the training diverged {error}; {last}. Lower lr ({recipe.lr:g}) or lengthen its rise (pct_start, "
            f"{recipe.pct_start:g}), and start a new run: {directory.path} stays unfinished"
        ) from None
    except RunStoppedError as error:
        raise _stopped(str(error), directory, error.signum) from error
    except OSError as error:
        text = f"{error.filename or directory.path}: {error.strerror}" if error.strerror else str(error)
        raise _stopped(text, directory) from error
    except Exception as error:
        if (reason := memory_error(error)) is not None:
            text = (
                f"out of memory {keeper.place()} ({reason:.300}); end other programs, or start anew with a batch_size"
            )
            raise _stopped(f"{text} below {recipe.batch_size}", directory) from error
        if keeper.saved != (recipe.epochs, 0):
            raise
        hint = "the trained weights are kept; once this is repaired, the run can be resumed and is evaluated"
        if isinstance(error, ValueError):
            raise ValueError(f"{error}; {hint}") from error
        error.add_note(hint)
        raise


def _stopped(reason: str, directory: RunDirectory, signum: int | None = None) -> RunStoppedError:
    if not directory.is_started:
        return RunStoppedError(f"{directory.path} was removed, and the run with it", signum)
    return RunStoppedError(f"{' '.join(reason.split())}; it can be resumed", signum)
