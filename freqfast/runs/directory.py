"""The run directory: the name of every file in it, how it is made, and how its records are read.

``docs/reference/files.md`` says what each file holds. The report is written last: a run that has it is finished. An
unfinished run has its recipe and environment from the moment at which it appears, and the last two checkpoints of its
training. A finished run keeps no checkpoints: they are twice as large as the model, and nothing needs them any more.

The process that works on a run holds a lock on its recipe, which the system lifts when the process ends.
"""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from freqfast.files import lock_folder, name_folder, new_folder, remove_temporaries
from freqfast.models import MODEL_FILE
from freqfast.records import read_record, write_record
from freqfast.runs.environment import Environment
from freqfast.runs.recipe import Recipe
from freqfast.runs.report import RunReport


class RunDirectory:
    """A run directory, finished, unfinished or yet to be made.

    Attributes:
        path: The directory.
        recipe, environment, metrics, model, spectra, evaluation, report, c_bar: Its files.
        checkpoints: Its folder of checkpoints.

    Examples:
        >>> RunDirectory("runs/a").model.as_posix()
        'runs/a/model.safetensors'
        >>> RunDirectory("runs/a").is_finished
        False
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe = self.path / "recipe.toml"
        self.environment = self.path / "environment.json"
        self.metrics = self.path / "metrics.csv"
        self.model = self.path / MODEL_FILE
        self.spectra = self.path / "spectra.h5"
        self.evaluation = self.path / "evaluation.json"
        self.report = self.path / "report.json"
        self.c_bar = self.path / "bar.json"
        self.checkpoints = self.path / "checkpoints"

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    def analysis(self, name: str) -> Path:
        """The file of what an analysis found, by the analysis's name."""
        return self.path / "analysis" / f"{name}.json"

    @property
    def is_started(self) -> bool:
        """Whether there is a run, finished or not."""
        return self.recipe.is_file()

    @property
    def is_finished(self) -> bool:
        """Whether there is a finished run."""
        return self.report.is_file()

    def read_recipe(self) -> Recipe:
        """The run's recipe; a FileNotFoundError if this is no run directory."""
        if not self.is_started:
            raise FileNotFoundError(f"{self.path} is no run directory: {self.recipe.name} is missing")
        return Recipe.read(self.recipe)

    def read_environment(self) -> Environment:
        """The run's environment."""
        return read_record(self.environment, Environment, ignore_unknown=True)

    def read_report(self) -> RunReport:
        """What the run found; a FileNotFoundError if this is no finished run."""
        try:
            return read_record(self.report, RunReport, ignore_unknown=True)
        except FileNotFoundError:
            way_out = "resume it" if self.is_started else "name a run directory"
            reason = f"{self.report.name} is missing; {way_out}"
            raise FileNotFoundError(f"{self.path} is not a finished run: {reason}") from None
        except ValueError as error:
            raise ValueError(f"{error}; remove the file and resume the run, which then trains anew") from None

    @contextmanager
    def created(self, recipe: Recipe, environment: Environment) -> Iterator[None]:
        """Make the directory appear with recipe and environment already inside, locked while the block lasts."""
        with ExitStack() as stack:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                unnamed = RunDirectory(stack.enter_context(new_folder(self.path)))
            except OSError as error:
                reason = error.strerror or error
                raise type(error)(f"{self.path} cannot be made ({reason}); choose another out") from error
            write_record(unnamed.recipe, recipe)
            write_record(unnamed.environment, environment)
            try:
                name_folder(unnamed.path, self.path)
            except OSError:
                if self.path.exists():  # since the caller looked
                    raise BlockingIOError(f"{self.path} was just made by another process; choose another out") from None
                raise
            with self._lock():
                yield

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the directory; if it is a run's, remove what a killed process left half-written in it."""
        with self._lock():
            for folder in (self.path, self.checkpoints) if self.is_started else ():
                remove_temporaries(folder)
            yield

    def _lock(self) -> AbstractContextManager[bool]:
        return lock_folder(self.path, self.recipe.name if self.is_started else None)

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints of a finished run."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)


def find_run(path: str | Path) -> RunDirectory | None:
    """The run that is named by its directory or by the model file in it; None if there is none.

    Examples:
        >>> find_run("no/such/run") is None
        True
    """
    path = Path(path)
    folder = RunDirectory(path.parent if path == RunDirectory(path.parent).model else path)
    return folder if folder.is_started else None
