"""Executors of a study's jobs: this process, processes on this machine, or Slurm job arrays."""

import os
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from freqfast.progress import Log, Progress, Stop
from freqfast.study.job import Job

if TYPE_CHECKING:
    import submitit

_YEAR_MIN = 365 * 24 * 60
_SLURM_DEFAULTS = {"job_name": "freqfast", "time": 24 * 60}
_CANCEL_S = 20
_log: Log = partial(print, flush=True)  # into the log of the job's own process
_LOST = "its process ended without a result; it may have been killed"


class InlineExecutor:
    """Performs each job in this process as it is started, with the arguments of `Job.perform`."""

    free = 1  # jobs that may be started now

    def __init__(self, progress: Progress, stop: Stop, log: Log | None = None) -> None:
        self._progress, self._stop, self._log = progress, stop, log
        self._ended: list[tuple[Job, str | None]] = []

    def start(self, jobs: Sequence[Job]) -> None:
        """Perform jobs; a `RunStoppedError` if `stop` gives a signal."""
        self._ended += [(job, job.perform(self._progress, self._stop, self._log)) for job in jobs]

    def ended(self) -> list[tuple[Job, str | None]]:
        """The jobs that have ended since the last call, with their errors or None."""
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Do nothing: all jobs have ended."""


class SubmititExecutor:
    """Uses submitit to perform jobs, in processes on this machine or on a cluster.

    Args:
        executor: The executor of submitit.
        slots: One entry for each job that may run at the same time: the GPUs that it sees, or None if it sees those of
            this process.
        threads: Threads of each job; None for the libraries' defaults.
    """

    def __init__(self, executor: "submitit.Executor", slots: Sequence[str | None], threads: int | None) -> None:
        from submitit import LocalExecutor

        self._executor, self._threads = executor, threads
        self._is_local = isinstance(executor, LocalExecutor)
        self._slots = list(slots)  # the free ones
        self._running: list[tuple[Job, str | None, submitit.Job]] = []  # with its slot

    @property
    def free(self) -> int:
        """How many jobs may be started now."""
        return len(self._slots)

    def start(self, jobs: Sequence[Job]) -> None:
        """Submit jobs. If Slurm refuses them, a ValueError gives its reason, and their files are removed."""
        from submitit.core.utils import FailedJobError

        slots = [self._slots.pop(0) for _ in jobs]
        placed = [replace(job, gpus=slot) for job, slot in zip(jobs, slots, strict=True)]
        try:
            with _starting_processes(self._threads):
                handles = self._executor.map_array(LocalTask() if self._is_local else SlurmTask(), placed)
        except FailedJobError as error:
            self._remove_files()
            reason = "; ".join(line.removeprefix("sbatch: error: ") for line in str(error).splitlines() if line)
            raise ValueError(f"Slurm does not take the jobs: {reason}") from None
        self._running += zip(jobs, slots, handles, strict=True)

    def ended(self) -> list[tuple[Job, str | None]]:
        """The jobs that have ended since the last call, with their errors or None."""
        found = []
        for entry in [entry for entry in self._running if entry[2].done()]:
            self._running.remove(entry)
            job, slot, handle = entry
            self._slots.append(slot)
            lost = handle.exception()  # of the process itself; what a run raises is its result
            found.append((job, handle.results()[0] if lost is None else job.write_failure(_LOST, str(lost))))
        return found

    def close(self) -> None:
        """End jobs that still run; wait for those on this machine, and remove submitit's files of them."""
        handles, deadline = [handle for _, _, handle in self._running], time.monotonic() + _CANCEL_S
        if not self._is_local:
            for handle in handles:
                handle.cancel(check=False)
            return
        while (alive := [handle for handle in handles if not handle.done()]) and time.monotonic() < deadline:
            for handle in alive:  # again, for one that was not listening yet
                os.kill(int(handle.job_id), signal.SIGTERM)
            time.sleep(0.5)
        self._remove_files()

    def _remove_files(self) -> None:
        folder = Path(self._executor.folder)
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # which holds the files of other calls, or was not made
            folder.parent.rmdir()


def local_executor(folder: Path, slots: Sequence[str | None], threads: int | None) -> SubmititExecutor:
    """An executor whose jobs are processes on this machine; submitit keeps its files in a new folder in `folder`."""
    from submitit import LocalExecutor

    executor = LocalExecutor(_own_folder(folder))
    executor.update_parameters(timeout_min=_YEAR_MIN)
    return SubmititExecutor(executor, slots, threads)


def slurm_executor(folder: Path, jobs: int, threads: int | None, parameters: Mapping[str, Any]) -> SubmititExecutor:
    """An executor that submits up to this many jobs at once as a Slurm job array; see `submitit.SlurmExecutor`."""
    from submitit import SlurmExecutor

    try:
        executor = SlurmExecutor(_own_folder(folder))
    except RuntimeError:
        raise ValueError("there is no srun here; call from a machine that submits to Slurm") from None
    gpus = parameters.get("gpus_per_node", 1)
    count = str(gpus).rpartition(":")[2]
    if not count.isdecimal():
        raise ValueError(f"gpus_per_node must be a number, with a kind or without, as in a100:4, got {gpus!r}")
    ranks = {"ntasks_per_node": int(count)} if int(count) > 1 else {}
    executor.update_parameters(**_SLURM_DEFAULTS | ranks | dict(parameters))
    return SubmititExecutor(executor, [None] * jobs, threads)


class LocalTask:
    """The callable that submitit runs in a process on this machine."""

    signum: int | None = None

    def __call__(self, job: Job) -> str | None:
        """Perform a job; on SIGTERM, which submitit's controller passes on, the run saves and stops."""
        signal.signal(signal.SIGTERM, self._note)
        return job.perform(stop=lambda: self.signum, log=_log)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum


class SlurmTask:
    """The callable that submitit runs on a cluster node. A job that is pre-empted or out of time is queued again."""

    def __call__(self, job: Job) -> str | None:
        """Perform a job, or take part in it as one of its processes."""
        from submitit import JobEnvironment
        from submitit.helpers import TorchDistributedEnvironment

        if JobEnvironment().num_tasks > 1:
            TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        return job.perform(log=_log)

    def checkpoint(self, job: Job) -> "submitit.helpers.DelayedSubmission":
        """Submit the same job again: its run resumes from its last checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job)


def import_submitit(purpose: str) -> Any:
    """The optional package submitit; if it is missing, an ImportError says what it is needed for."""
    try:
        import submitit
    except ImportError:
        raise ImportError(f"{purpose} needs submitit; install it with: pip install 'freqfast[cluster]'") from None
    return submitit


def _own_folder(parent: Path) -> Path:
    """A folder that submitit will make for jobs started now; it names files by process, numbers that come again."""
    return parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"


@contextmanager
def _starting_processes(threads: int | None) -> Iterator[None]:
    """Let child processes that the block starts use so many threads, and Ctrl-C at the terminal not reach them.

    `SubmititExecutor.close` ends them, so that what they print of it goes to their logs.
    """
    before, in_main = dict(os.environ), threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main else None
    os.environ["PYTHONSAFEPATH"] = "1"  # submitit calls `python -m`, which would take a random.py here for Python's own
    if threads is not None:
        os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        if in_main:
            signal.signal(signal.SIGINT, handler)
