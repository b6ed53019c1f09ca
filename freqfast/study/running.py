"""Run what a study still lacks."""

import os
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqfast.files import of_user
from freqfast.progress import Log, Progress, RunStoppedError, Stop, notebook_progress, stopping
from freqfast.study.definition import PlannedRun, Study
from freqfast.study.executors import InlineExecutor, SubmititExecutor, import_submitit, local_executor, slurm_executor
from freqfast.study.folder import StudyFolder
from freqfast.study.job import Busy, Job

if TYPE_CHECKING:
    from freqfast.data import ImageData

Ended = Callable[[PlannedRun, str | None], None]
"""Called as a run ends, or if it cannot be continued, with its error or None."""

_POLL_S = 0.5
_SHOWN = 2  # running jobs that a message names
_TRAINING_COST = 3  # an image in training takes as long as this many in evaluation: it passes forward and backward


def pending_runs(
    study: Study, out: str | Path, arms: Sequence[str] = (), seeds: Sequence[int] = (), skip: Collection[str] = ()
) -> tuple[list[PlannedRun], dict[str, str]]:
    """Runs that `run_study` has left, and errors by name for runs whose directory holds another recipe's run."""
    folder, left, errors = StudyFolder(out), [], {}
    for run in (run for run in study.runs(arms, seeds) if run.name not in skip):
        directory = folder.run(run)
        problem = None
        try:
            if directory.path.exists():
                problem = run.difference(directory.read_recipe())
        except (ValueError, OSError) as error:
            problem = f"cannot be continued: {error}"
        is_complete = directory.is_finished and (directory.c_bar.exists() or not study.c_bar)
        if problem is not None:
            errors[run.name] = f"{directory.path} {problem}; remove it, or rename the arm"
        elif not is_complete:
            left.append(run)
    return left, errors


def run_study(
    study: Study,
    out: str | Path,
    *,
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    skip: Collection[str] = (),
    data_path: str | Path | None = None,
    device: str | None = None,
    jobs: int = 1,
    threads: int | None = None,
    slurm: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    ended: Ended | None = None,
    stop: Stop = lambda: None,
    log: Log | None = None,
) -> dict[str, str]:
    """Carry out the runs that are not finished; after an interruption, a new call continues where it stopped.

    Errors in arms and data that can be found without training are found before the first run. A run that fails leaves
    its error beside its directory and does not stop the others.

    Args:
        study: The study.
        out: Its folder; see `freqfast.study` for what it will hold.
        arms: Names of the only arms to run; all if empty.
        seeds: The only seeds to run; all if empty.
        skip: Names of runs (``arm/seed-0``) that count as finished, wherever they were carried out.
        data_path: Where the data is; see `freqfast.data.load_data`.
        device: Where to train. By default the GPUs are given to parallel runs in turn, one GPU per run; without a GPU,
            runs use the CPU.
        jobs: Number of runs at the same time. With 1 they run in this process; with more, each runs in a process that
            submitit starts.
        threads: Threads of each new run; by default torch's number, divided among the jobs; on Slurm, as many as the
            run has CPUs, if `slurm` gives their number. A run that goes on keeps its own.
        slurm: Parameters of `submitit.SlurmExecutor`, to run in a Slurm job array instead of processes on this machine.
        progress: Called as ``progress(done, to do, message)``, in epochs; an evaluation counts as the number of epochs
            that take about as long.
        ended: Called as a run ends, or at the start if it cannot be continued, with its error or None.
        stop: Asked repeatedly for the number of a signal that wants the study to stop; None if none does.
        log: Called with a line about each epoch of a run in this process; runs in other processes print these lines to
            their logs.

    Returns:
        Errors by name of run. A run that another process is working on, such as the same study started elsewhere, has
        none.

    Raises:
        ValueError: If an arm, a seed, a recipe, the data, the device or a parameter does not fit.
        ImportError: If submitit is needed and not installed.
        RunStoppedError: If it was stopped. The runs in progress have been saved.

    Examples:
        >>> run_study(Study("Nothing", "", "", ()), "absent")
        {}
    """
    import torch

    from freqfast.compute.precision import resolve_device
    from freqfast.corruptions import CORRUPTIONS, runnable
    from freqfast.training import build_callbacks  # brings fastai, which a look at results does without

    folder = StudyFolder(Path(out).absolute())
    left, errors = pending_runs(study, folder.path, arms, seeds, skip)
    for arm, recipe in {run.arm: run.recipe for run in left}.items():  # what needs no data, before any is fetched
        with _naming(arm):
            build_callbacks(recipe)
    if slurm is not None:
        import_submitit("submitting to Slurm")
        threads = threads or slurm.get("cpus_per_task")
    elif jobs > 1:
        import_submitit("running several runs at a time")
        threads = threads or max(1, torch.get_num_threads() // jobs)
    if ended is not None:
        for run in (run for run in study.runs(arms, seeds) if run.name in errors):
            ended(run, errors[run.name])
    data_path = data_path and of_user(data_path).absolute()
    todo = [Job(run, folder, data_path, device, threads, c_bar=study.c_bar) for run in left]
    if not todo:
        return errors
    if device is not None and slurm is None:
        resolve_device(device)
    for note in runnable(CORRUPTIONS)[1]:
        warnings.warn(f"no run will have a mean15: {note}", stacklevel=2)
    todo = _checked(todo, stopping(progress or notebook_progress(), stop))
    account = Account(todo, progress, ended, stop)
    executor: InlineExecutor | SubmititExecutor
    if slurm is not None:
        executor = slurm_executor(folder.jobs, len(todo), threads, slurm)
    elif jobs > 1:
        gpus = _gpus(device)
        executor = local_executor(folder.jobs, [gpus[i % len(gpus)] for i in range(jobs)], threads)
    else:
        executor = InlineExecutor(lambda done, total, message: account.report(message, done / max(1, total)), stop, log)
    perform_all(executor, todo, account)
    return errors | account.errors


class Account:
    """Counts a study's jobs and reports on them; see `run_study` for `progress`, `ended` and `stop`."""

    def __init__(
        self,
        todo: Sequence[Job],
        progress: Progress | None = None,
        ended: Ended | None = None,
        stop: Stop = lambda: None,
    ) -> None:
        self.running: list[Job] = []
        self.errors: dict[str, str] = {}  # by the run's name
        self._progress, self._ended, self._stop = progress, ended, stop
        self._runs, self._steps = len(todo), sum(job.steps for job in todo)
        self._ended_runs = self._ended_steps = 0

    def end(self, job: Job, error: str | None) -> None:
        """Note that a job has ended."""
        self.running.remove(job)
        self._ended_runs += 1
        self._ended_steps += job.steps
        if error is not None and not isinstance(error, Busy):
            self.errors[job.run.name] = error
        if self._ended is not None:
            self._ended(job.run, error)

    def stop_if_asked(self) -> None:
        """Raise a `RunStoppedError` if the study is to stop."""
        if (signum := self._stop()) is not None:
            raise RunStoppedError("interrupted", signum)

    def stopped(self, signum: int | None) -> RunStoppedError:
        """An error that says how many runs are left."""
        left = self._runs - self._ended_runs
        return RunStoppedError(f"interrupted with {left} run{'' if left == 1 else 's'} left; it can be resumed", signum)

    def report(self, message: str = "", share: float = 0.0) -> None:
        """Report the running jobs: their epochs, or a message of the only one and how much of it is done."""
        if self._progress is None:
            return
        if message:
            texts = [f"{self.running[0].run.name}: {message}"]
        else:
            texts = [f"{job.run.name} epoch {job.epochs_done()}" for job in self.running[:_SHOWN]]
            if (more := len(self.running) - _SHOWN) > 0:
                texts.append(f"{more} more")
        counted = f"{self._ended_runs} of {self._runs} runs"
        done = self._ended_steps + sum(job.steps_done(share) for job in self.running)
        self._progress(done, self._steps, f"{counted}; {', '.join(texts)}")


def perform_all(executor: InlineExecutor | SubmititExecutor, todo: Sequence[Job], account: Account) -> None:
    """Keep as many jobs running as an executor takes, until all have ended or the study is to stop."""
    waiting = list(todo)
    try:
        while waiting or account.running:
            account.stop_if_asked()
            batch = waiting[: executor.free]
            del waiting[: len(batch)]
            account.running += batch
            if batch:
                executor.start(batch)
            for job, error in executor.ended():
                account.end(job, error)
            if account.running:
                account.report()
                time.sleep(_POLL_S)
    except RunStoppedError as error:
        raise account.stopped(error.signum) from None
    finally:
        executor.close()


def _checked(todo: Sequence[Job], progress: Progress) -> list[Job]:
    """The jobs, with what their evaluations count for; it is an error if the Learner of an arm cannot be built.

    So each data set is loaded, and is in the cache before runs read it at once.
    """
    from freqfast.corruptions import C_BAR, SEVERITIES, available
    from freqfast.data import load_data
    from freqfast.training import build_learner
    from freqfast.training.state import generators_kept

    @cache  # what is held out has moments of its own, which take longer than a Learner
    def data(name: str, path: str | Path | None, image_size: int, holdout: int) -> "ImageData":
        return load_data(name, path, progress, image_size).hold_out(holdout)

    evaluations = {}
    for arm, job in {job.run.arm: job for job in todo}.items():
        recipe = job.run.recipe
        with _naming(arm), generators_kept():
            found = data(recipe.data, job.data_path, recipe.image_size, recipe.holdout)
            build_learner(recipe, found, "cpu")
        images = recipe.test_images or len(found.test)
        counts = (len(available()), len(C_BAR)) if job.c_bar else (len(available()),)
        passes = (len(SEVERITIES) * count * images for count in counts)
        evaluations[arm] = tuple(max(1, round(each / (_TRAINING_COST * len(found.train)))) for each in passes)
    return [replace(job, evaluations=evaluations[job.run.arm]) for job in todo]


@contextmanager
def _naming(arm: str) -> Iterator[None]:
    """Add to an error the name of the arm that it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"arm {arm!r}: {error}") from None


def _gpus(device: str | None) -> list[str | None]:
    """What runs side by side are to see: one GPU each, or all of them if a certain device is named."""
    import torch

    count = torch.cuda.device_count()
    if count == 0:
        return [None]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",")[:count] if visible else [str(i) for i in range(count)]
    return list(names) if device in (None, "cuda") else [",".join(names)]
