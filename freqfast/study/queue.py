"""The jobs of a study, carried out one after the other here or some at a time by submitit, and the account of them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from freqfast.progress import Progress, RunStoppedError, Stop
from freqfast.study.definition import PlannedRun
from freqfast.study.executors import cancel, submit
from freqfast.study.job import Job

if TYPE_CHECKING:
    import submitit

__all__ = ["Ended", "Watch", "run_all", "run_here"]

Ended = Callable[[PlannedRun, str | None], None]
"""Called as a run ends, with its error or None."""

_POLL_S = 0.5
_SHOWN = 2  # running jobs that a message names
_LOST = "its process ended without a result, killed perhaps"


class Watch:
    """Keeps the account of a study's runs and tells of it."""

    def __init__(
        self,
        todo: Sequence[Job],
        errors: dict[str, str],
        progress: Progress | None,
        ended: Ended | None,
        stop: Stop,
    ) -> None:
        self._errors, self._progress, self._ended, self._stop = errors, progress, ended, stop
        self._runs, self._epochs = len(todo), sum(job.run.recipe.epochs for job in todo)
        self._ended_runs = self._ended_epochs = 0
        self.running: list[Job] = []

    def end(self, job: Job, error: str | None) -> None:
        """Note that a run has ended."""
        self._ended_runs += 1
        self._ended_epochs += job.run.recipe.epochs
        if error is not None:
            self._errors[job.run.name] = error
        if self._ended is not None:
            self._ended(job.run, error)

    def check(self) -> None:
        """Stop if that is wanted.

        Raises:
            RunStoppedError: If it is.
        """
        if (signum := self._stop()) is not None:
            left = self._runs - self._ended_runs
            raise RunStoppedError(f"interrupted with {left} of {self._runs} runs left; call it again to go on", signum)

    def tell(self) -> None:
        """Tell how far the runs are, by the epochs that they have written down."""
        done = [job.epochs_done() for job in self.running]
        texts = [f"{job.run.name} epoch {n}" for job, n in zip(self.running, done, strict=True)]
        if len(texts) > _SHOWN:
            texts[_SHOWN:] = [f"{len(texts) - _SHOWN} more"]
        self._tell(sum(done), ", ".join(texts))

    def here(self, done: int, total: int, message: str) -> None:
        """Tell how far the only run is, which goes on in this process."""
        (job,) = self.running
        training = message.startswith("epoch")
        epochs = done * job.run.recipe.epochs // total if training else job.epochs_done()
        self._tell(epochs, f"{job.run.name}: {message}")

    def _tell(self, epochs: int, message: str) -> None:
        if self._progress is not None:
            counted = f"{self._ended_runs} of {self._runs} runs"
            self._progress(self._ended_epochs + epochs, self._epochs, f"{counted}; {message}")


def run_here(todo: Sequence[Job], watch: Watch, stop: Stop) -> None:
    """Perform one job after the other in this process."""
    for job in todo:
        watch.running = [job]
        try:
            watch.end(job, job.perform(watch.here, stop))
        except RunStoppedError:
            watch.check()


def run_all(
    executor: "submitit.Executor",
    task: Callable[[Job], str | None],
    todo: Sequence[Job],
    slots: Sequence[str | None],
    threads: int | None,
    watch: Watch,
) -> None:
    """Keep as many jobs submitted as there are slots, until all have ended.

    Args:
        executor: What runs them.
        task: What it calls with a job.
        todo: The jobs.
        slots: For each job at a time, the GPUs that it sees.
        threads: Threads of each process.
        watch: Who is told.
    """
    waiting, free = list(todo), list(slots)
    submitted: dict[Job, submitit.Job] = {}
    try:
        while waiting or submitted:
            batch = [replace(job, gpus=free.pop(0)) for job in waiting[: len(free)]]
            if batch:
                del waiting[: len(batch)]
                submitted.update(zip(batch, submit(executor, task, batch, threads), strict=True))
            for job in [job for job, handle in submitted.items() if handle.done()]:
                handle = submitted.pop(job)
                lost = handle.exception()  # of the process itself; what a run raises is its result
                watch.end(job, handle.result() if lost is None else job.failed(_LOST, str(lost)))
                free.append(job.gpus)
            watch.running = list(submitted)
            watch.tell()
            watch.check()
            time.sleep(_POLL_S)
    finally:
        cancel(list(submitted.values()))
