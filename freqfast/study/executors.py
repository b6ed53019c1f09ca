"""submitit's executors: processes on this machine, or Slurm job arrays."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import submitit

__all__ = ["cancel", "import_submitit", "launching", "local_executor", "slurm_executor", "submit"]

_YEAR_MIN = 365 * 24 * 60
_SLURM_DEFAULTS = {"job_name": "freqfast", "time": 24 * 60}
_CANCEL_S = 20


def import_submitit(wanted_for: str) -> Any:
    """The package submitit, which is optional.

    Raises:
        ImportError: If it is not installed, naming what it is wanted for.
    """
    try:
        import submitit
    except ImportError:
        raise ImportError(f"{wanted_for} needs submitit; install it with: pip install 'freqfast[cluster]'") from None
    return submitit


def local_executor(folder: Path) -> "submitit.LocalExecutor":
    """An executor whose jobs are processes on this machine, started as they are submitted.

    Raises:
        ImportError: If submitit is not installed.
    """
    executor = import_submitit("--jobs").LocalExecutor(folder)
    executor.update_parameters(timeout_min=_YEAR_MIN)
    return executor


def slurm_executor(folder: Path, parameters: Mapping[str, Any]) -> "submitit.SlurmExecutor":
    """An executor that submits Slurm job arrays.

    Args:
        folder: Where jobs and logs lie, seen by all nodes.
        parameters: Those of `submitit.SlurmExecutor`.

    Raises:
        ImportError: If submitit is not installed.
        ValueError: If this machine has no Slurm.
    """
    try:
        executor = import_submitit("--slurm").SlurmExecutor(folder)
    except RuntimeError:
        raise ValueError("--slurm: there is no srun here; call from a machine that submits to Slurm") from None
    executor.update_parameters(**_SLURM_DEFAULTS | dict(parameters))
    return executor


def submit(
    executor: "submitit.Executor", task: Callable[[Any], Any], arguments: Sequence[Any], threads: int | None
) -> list["submitit.Job"]:
    """Submit a call of a task for each argument, to use so many threads; see `launching`.

    Raises:
        ValueError: If Slurm does not take them, with its reason. Nothing of them is left then.
    """
    from submitit.core.utils import FailedJobError

    try:
        with launching(threads):
            return list(executor.map_array(task, arguments))
    except FailedJobError as error:
        shutil.rmtree(executor.folder, ignore_errors=True)
        reason = "; ".join(line.removeprefix("sbatch: error: ") for line in str(error).splitlines() if line)
        raise ValueError(f"--slurm: Slurm does not take the jobs: {reason}") from None


@contextmanager
def launching(threads: int | None) -> Iterator[None]:
    """Around the start of child processes: they use so many threads, and Ctrl-C at the terminal is not for them.

    They are told to end by `cancel`, so that what they print of it goes to their logs.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS") if threads is not None else ()
    before = {name: os.environ.get(name) for name in names}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if main:
            signal.signal(signal.SIGINT, handler)


def cancel(jobs: Sequence["submitit.Job"]) -> None:
    """End jobs and, for processes on this machine, wait for their end."""
    local = [job for job in jobs if _is_local(job)]
    for job in jobs:
        if job not in local:
            job.cancel(check=False)
    deadline = time.monotonic() + _CANCEL_S
    while (alive := [job for job in local if not job.done()]) and time.monotonic() < deadline:
        for job in alive:  # again, for one that was not listening yet
            os.kill(int(job.job_id), signal.SIGTERM)
        time.sleep(0.5)


def _is_local(job: "submitit.Job") -> bool:
    from submitit import LocalJob

    return isinstance(job, LocalJob)
