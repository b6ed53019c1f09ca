"""One run of a study, as every executor performs it."""

import os
import traceback
from dataclasses import dataclass
from pathlib import Path

from freqfast.compute.memory import keep_freed_memory
from freqfast.files import write_text
from freqfast.progress import Log, Progress, RunStoppedError, Stop, stopping
from freqfast.study.c_bar import evaluate_c_bar
from freqfast.study.definition import PlannedRun
from freqfast.study.folder import StudyFolder


class Busy(str):
    """The message for a run that another process is working on, which is not a failure."""

    __slots__ = ()


@dataclass(frozen=True, eq=False)  # a job is itself; recipes do not hash
class Job:
    """All that a process needs to know to carry out a run; see `freqfast.study.run_study`."""

    run: PlannedRun
    folder: StudyFolder  # absolute
    data_path: str | Path | None = None
    device: str | None = None
    threads: int | None = None  # of torch
    gpus: str | None = None  # what CUDA_VISIBLE_DEVICES shall be
    c_bar: bool = False
    evaluations: tuple[int, ...] = (1,)  # of each evaluation, the number of epochs that take about as long

    @property
    def steps(self) -> int:
        """What the job counts for: its epochs, and those that take about as long as its evaluations."""
        return self.run.recipe.epochs + sum(self.evaluations)

    def steps_done(self, share: float = 0.0) -> int:
        """How many of the steps are done; `share` is how much is done of an evaluation in progress."""
        if (epochs := self.epochs_done()) < self.run.recipe.epochs:
            return epochs
        measured = int(self.folder.run(self.run).is_finished)
        return epochs + sum(self.evaluations[:measured]) + int(share * sum(self.evaluations[measured : measured + 1]))

    def epochs_done(self) -> int:
        """Number of finished epochs of the run, by its table of metrics."""
        try:
            with self.folder.run(self.run).metrics.open("rb") as file:
                return max(0, sum(1 for _ in file) - 1)
        except OSError:
            return 0

    def perform(
        self, progress: Progress | None = None, stop: Stop = lambda: None, log: Log | None = None
    ) -> str | None:
        """Start or resume the run; see `freqfast.training.run_recipe` for the arguments.

        Returns:
            The error, one line, which is also written beside the run directory; a `Busy` if another process is working
            on the run; None if the run is finished.

        Raises:
            RunStoppedError: If `stop` gave a signal.
        """
        if self.gpus is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus  # read when CUDA is first used
        import torch

        from freqfast.compute.ranks import current_ranks
        from freqfast.training import run_recipe
        from freqfast.training.environment import threads

        keep_freed_memory()
        is_first = current_ranks().is_first
        directory = self.folder.run(self.run)
        if is_first:
            self.folder.failure(self.run).unlink(missing_ok=True)  # of an earlier attempt
        try:
            with threads(self.threads or torch.get_num_threads()):
                run = run_recipe(
                    self.run.recipe,
                    directory.path,
                    self.data_path,
                    self.device,
                    progress,
                    resume=True,
                    stop=stop,
                    log=log and (lambda line: log(f"{self.run.name}: {line}")),
                )
                if self.c_bar and is_first:
                    with directory.locked():  # another study on this folder would measure it too
                        if not directory.c_bar.exists():
                            evaluate_c_bar(run, self.data_path, self.device, stopping(progress, stop))
        except BlockingIOError as error:
            return Busy(error)
        except Exception as error:
            if isinstance(error, RunStoppedError) and error.signum is not None:
                raise
            line = " ".join(str(error).split())
            if not isinstance(error, ValueError | OSError | RunStoppedError):  # what our own messages do not explain
                line = f"{type(error).__name__}: {line}"
            return self.write_failure(line, traceback.format_exc()) if is_first else line
        return None

    def write_failure(self, line: str, details: str) -> str:
        """Write an error beside the run directory, one line and the details below it, and return the line."""
        path = self.folder.failure(self.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f"{line}\n\n{details}".encode(errors="backslashreplace").decode()  # bytes of a file's name, say
        write_text(path, text)
        return text.partition("\n")[0]
