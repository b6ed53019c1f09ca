"""Run what a study still lacks: in this process, in processes on this machine, or as a Slurm job array."""

import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqfast.progress import Progress, Stop
from freqfast.runs.directory import RunDirectory
from freqfast.study.bar import lacks_bar
from freqfast.study.definition import PlannedRun, Study
from freqfast.study.executors import import_submitit, local_executor, slurm_executor
from freqfast.study.job import Job, LocalTask, SlurmTask
from freqfast.study.queue import Ended, Watch, run_all, run_here
from freqfast.study.results import run_folder, stale

if TYPE_CHECKING:
    from freqfast.data import ImageData

__all__ = ["pending_runs", "run_study"]


def pending_runs(
    study: Study,
    out: str | Path,
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    skip: Collection[str] = (),
) -> tuple[list[PlannedRun], dict[str, str]]:
    """What is left to run in a study's folder.

    Args:
        study: The study.
        out: Its folder, which need not exist.
        arms: Names of the only arms wanted; all if empty.
        seeds: The only seeds wanted; all if empty.
        skip: Names of runs that count as finished wherever they were run.

    Returns:
        The runs, and errors by name of those that cannot run since their directory is another recipe's.

    Raises:
        ValueError: If the study has no such arm or seed.
    """
    left, errors = [], {}
    for run in study.runs(arms, seeds):
        folder = run_folder(Path(out), run)
        if problem := _other_recipe(run, folder):
            errors[run.name] = f"{folder} {problem}; remove it, or name the arm anew"
        elif run.name not in skip and (not RunDirectory(folder).is_finished or (study.bar and lacks_bar(folder))):
            left.append(run)
    return left, errors


def _other_recipe(run: PlannedRun, folder: Path) -> str | None:
    try:
        return stale(run, RunDirectory(folder).read_recipe()) if folder.exists() else None
    except (ValueError, OSError) as error:
        return f"cannot be continued: {error}"


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
) -> dict[str, str]:
    """Run what is not finished yet; a call that is cut off goes on where it was when called again.

    What arms and data can get wrong without training is checked before the first run. A run that fails leaves its error
    beside its directory and does not stop the others.

    Args:
        study: The study.
        out: Its folder; see `freqfast.study` for what it will hold.
        arms: Names of the only arms to run; all if empty.
        seeds: The only seeds to run; all if empty.
        skip: Names of runs (``arm/seed-0``) that count as finished wherever they were run.
        data_path: Where CIFAR-10 is; see `freqfast.data.load_data`.
        device: Where to train. By default each run has a GPU to itself in turn where there are some, else the CPU.
        jobs: Runs at a time, each a process of submitit's; a single one, without submitit, runs in this process.
        threads: Threads of each run; by default those that torch takes, shared out among the jobs, and on Slurm as
            many as the run has CPUs, where `slurm` says.
        slurm: Parameters of a Slurm job array, those of `submitit.SlurmExecutor`, in place of processes here.
        progress: Called as ``progress(epochs done, epochs to do, message)``.
        ended: Called as a run ends, with its error or None.
        stop: Asked all the time for the number of a signal that wants the study to stop; None if none does.

    Returns:
        Errors by name of run.

    Raises:
        ValueError: If an arm, a seed, a recipe, the data, the device or a parameter does not fit.
        ImportError: If submitit is needed and not installed.
        RunStoppedError: If it was stopped. What ran has been saved.
    """
    import torch

    from freqfast.compute.precision import resolve_device
    from freqfast.corruptions import unavailable
    from freqfast.training import build_callbacks  # brings fastai, which a look at results does without

    out = Path(out).absolute()
    left, errors = pending_runs(study, out, arms, seeds, skip)
    for arm in study.arms:  # what needs no data, before any is fetched
        with _naming(arm.name):
            build_callbacks(arm.recipe)
    in_processes = jobs > 1 or find_spec("submitit") is not None
    if slurm is not None or in_processes:
        import_submitit("--jobs" if slurm is None else "--slurm")
    if threads is None and slurm is not None:
        threads = slurm.get("cpus_per_task")
    elif threads is None and jobs > 1:
        threads = max(1, torch.get_num_threads() // jobs)
    todo = [Job(run, out, data_path and Path(data_path).absolute(), device, threads, bar=study.bar) for run in left]
    if not todo:
        return errors
    if device is not None and slurm is None:
        resolve_device(device)
    for reason in unavailable().values():
        warnings.warn(f"no run will have a mean15: {reason}", stacklevel=2)
    _check_arms(todo, progress)
    watch = Watch(todo, errors, progress, ended, stop)
    if slurm is not None:
        run_all(slurm_executor(_job_folder(out), slurm), SlurmTask(), todo, [None] * len(todo), threads, watch)
    elif in_processes:
        folder, gpus = _job_folder(out), _gpus(device)
        slots = [gpus[i % len(gpus)] for i in range(jobs)]
        try:
            run_all(local_executor(folder), LocalTask(), todo, slots, threads, watch)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    else:
        run_here(todo, watch, stop)
    return errors


def _job_folder(out: Path) -> Path:
    """A new folder for submitit, which names files by process: numbers that come again."""
    (out / "jobs").mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=out / "jobs", prefix=time.strftime("%Y%m%d-%H%M%S-")))


def _check_arms(todo: Sequence[Job], progress: Progress | None) -> None:
    """Build a Learner of each arm, and with it load each data set, which lies in the cache before runs read it at once.

    Raises:
        ValueError: If the model, the data, the precision or a callback of an arm does not fit; it names the arm.
    """
    from freqfast.data import load_data
    from freqfast.training import build_learner

    @cache  # what is held out has moments of its own, which take longer than a Learner
    def data(name: str, path: str | Path | None, holdout: int) -> "ImageData":
        return load_data(name, path, progress).hold_out(holdout)

    for arm, job in {job.run.arm: job for job in todo}.items():
        recipe = job.run.recipe
        with _naming(arm):
            build_learner(recipe, data(recipe.data, job.own_data_path, recipe.holdout), "cpu")


@contextmanager
def _naming(arm: str) -> Iterator[None]:
    """Add to an error the name of the arm that it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"arm {arm!r}: {error}") from None


def _gpus(device: str | None) -> list[str | None]:
    """What runs side by side are to see: one GPU each, or all of them where a certain device is named."""
    import torch

    count = torch.cuda.device_count()
    if count == 0:
        return [None]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",")[:count] if visible else [str(i) for i in range(count)]
    return list(names) if device in (None, "cuda") else [",".join(names)]
