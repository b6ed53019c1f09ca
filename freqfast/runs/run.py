"""Finished runs, read from their directories."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from freqfast.models.file import StoredModel, read_model
from freqfast.runs.directory import RunDirectory
from freqfast.runs.environment import Environment
from freqfast.runs.recipe import Recipe
from freqfast.runs.report import RunReport

__all__ = ["Run", "load_run", "run_data"]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        directory: Its directory.
        recipe: What was run.
        stored: The trained model, its classes and its normalisation.
        report: What it found.
        environment: Where it ran, and on which data.
    """

    directory: RunDirectory
    recipe: Recipe
    stored: StoredModel = field(repr=False)
    report: RunReport = field(repr=False)
    environment: Environment = field(repr=False)

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def model(self) -> nn.Module:
        """The trained model, in eval mode."""
        return self.stored.model


def load_run(path: str | Path) -> Run:
    """Read a finished run's directory.

    Args:
        path: The directory.

    Raises:
        FileNotFoundError: If it is no run directory, or the run is not finished.
        ValueError: If a file in it is corrupt.

    Examples:
        >>> load_run("no/such/run")
        Traceback (most recent call last):
        FileNotFoundError: no/such/run is no run directory: recipe.toml is missing
    """
    directory = RunDirectory(path)
    return Run(
        directory=directory,
        recipe=directory.read_recipe(),
        report=directory.read_report(),
        environment=directory.read_environment(),
        stored=read_model(directory.model),
    )


def run_data(run: RunDirectory | None) -> str | None:
    """Where a run's data is: the place where it was found, if that still exists, else its name.

    Returns:
        None without a run, or if its recipe cannot be read.
    """
    if run is None:
        return None
    with suppress(OSError, ValueError):  # of a corrupt environment
        place = run.read_environment().data.path
        if place is not None and Path(place).exists():
            return place
    with suppress(OSError, ValueError):
        return run.read_recipe().data
    return None
