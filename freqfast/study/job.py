"""One run of a study, as it is carried out in this process, in a child, or on a cluster's node."""

import os
import signal
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from freqfast.compute.memory import keep_freed_memory
from freqfast.files import write_text
from freqfast.progress import Progress, RunStoppedError, Stop, stopping
from freqfast.study.bar import evaluate_bar, lacks_bar
from freqfast.study.definition import PlannedRun
from freqfast.study.results import failure_file, run_folder

if TYPE_CHECKING:
    import submitit

__all__ = ["Job", "LocalTask", "SlurmTask"]


@dataclass(frozen=True, eq=False)  # a job is itself; recipes do not hash
class Job:
    """All that a process needs to know to carry out a run.

    Attributes:
        run: The run.
        out: The study's folder, absolute.
        data_path: Where the data is; see `freqfast.data.load_data`.
        device: Where to train; fastai's default device if None.
        threads: Threads of torch; as they are if None.
        gpus: What ``CUDA_VISIBLE_DEVICES`` shall be; as it is if None.
        bar: Whether to evaluate on CIFAR-10-C-bar as well.
    """

    run: PlannedRun
    out: Path
    data_path: str | Path | None = None
    device: str | None = None
    threads: int | None = None
    gpus: str | None = None
    bar: bool = False

    @property
    def folder(self) -> Path:
        """The run directory."""
        return run_folder(self.out, self.run)

    @property
    def own_data_path(self) -> str | Path | None:
        """Where its data is; the photographs have no place."""
        return self.data_path if self.run.recipe.data == "cifar10" else None

    def epochs_done(self) -> int:
        """How many epochs of the run are trained, as its ``metrics.csv`` tells."""
        try:
            with (self.folder / "metrics.csv").open("rb") as file:
                return max(0, sum(1 for _ in file) - 1)
        except OSError:
            return 0

    def perform(self, progress: Progress | None = None, stop: Stop = lambda: None) -> str | None:
        """Start the run or go on with it; an error is returned as one line, and kept beside the run directory.

        Args:
            progress: See `freqfast.training.run_recipe`.
            stop: See there.

        Raises:
            RunStoppedError: If `stop` gave a signal.
        """
        if self.gpus is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus  # read when CUDA is first used
        import torch

        from freqfast.training import run_recipe

        keep_freed_memory()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        try:
            run = run_recipe(
                self.run.recipe, self.folder, self.own_data_path, self.device, progress, resume=True, stop=stop
            )
            if self.bar and lacks_bar(self.folder):
                evaluate_bar(run, self.own_data_path, self.device, stopping(progress, stop))
        except BlockingIOError as error:  # no failure of the run
            return str(error)
        except Exception as error:
            if isinstance(error, RunStoppedError) and error.signum is not None:
                raise
            line = " ".join(str(error).split())
            if not isinstance(error, ValueError | OSError):  # what our own messages do not explain
                line = f"{type(error).__name__}: {line}"
            return self.failed(line, traceback.format_exc())
        failure_file(self.out, self.run).unlink(missing_ok=True)
        return None

    def failed(self, line: str, details: str) -> str:
        """Keep an error beside the run directory, as one line and below it what else is known; gives the line."""
        path = failure_file(self.out, self.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, f"{line}\n\n{details}")
        return line


class LocalTask:
    """What submitit calls in a process on this machine."""

    signum: int | None = None

    def __call__(self, job: Job) -> str | None:
        """Perform a job; SIGTERM, which its controller passes on, makes the run save and stop."""
        signal.signal(signal.SIGTERM, self._note)
        return job.perform(stop=lambda: self.signum)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum


class SlurmTask:
    """What submitit calls on a cluster's node. Pre-empted or out of time, the job goes back into the queue."""

    def __call__(self, job: Job) -> str | None:
        """Perform a job."""
        return job.perform()

    def checkpoint(self, job: Job) -> "submitit.helpers.DelayedSubmission":
        """The same again, since a run goes on from its last epoch."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job)
