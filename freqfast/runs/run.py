"""Finished runs, read from their directories."""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from freqfast.data.images import ImageData, data_hash
from freqfast.data.loading import FOLDER, is_data_name, load_data, load_place
from freqfast.models.classifier import hash_weights
from freqfast.models.file import read_model
from freqfast.models.network import Network
from freqfast.plugins import find_plugins
from freqfast.progress import Progress
from freqfast.records import as_html
from freqfast.runs.directory import RunDirectory
from freqfast.runs.environment import Environment
from freqfast.runs.recipe import Recipe
from freqfast.runs.report import RunReport


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run.

    Attributes:
        directory: Its directory.
        recipe: What was run.
        network: The trained network, with its classes and its preprocessing.
        report: What it found.
        environment: Where it ran, and on which data.
    """

    directory: RunDirectory
    recipe: Recipe
    network: Network
    report: RunReport
    environment: Environment

    def __repr__(self) -> str:
        told = [f"{name} {value}" for name, value in self._figures().items()]
        return f"Run({str(self.path)!r}: {', '.join([self.recipe.name or 'a recipe', *told])})"

    def _repr_html_(self) -> str:
        described = ": ".join(filter(None, (self.recipe.name, self.recipe.description)))
        return as_html(f"Run {self.path}", described, [tuple(self._figures()), tuple(self._figures().values())])

    def _figures(self) -> dict[str, str]:
        """What tells this run from others, and what it found."""
        report = self.report
        accuracies = {"clean": report.clean, "mean15": report.mean15, "mean19": report.mean19}
        shares = zip(report.bands, report.proportion.after, strict=True)
        return {
            "seed": str(report.seed),
            **{name: f"{100 * value:.2f} %" for name, value in accuracies.items() if value is not None},
            **{f"{name} filters": f"{100 * share:.0f} %" for name, share in shares},
        }

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def model(self) -> nn.Module:
        """The trained model, in eval mode."""
        return self.network.module

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that it was trained on."""
        return self.network.classes or ()

    @cached_property
    def weights_sha256(self) -> str:
        """Hash of the model's weights."""
        return hash_weights(self.model)


def load_run(path: str | Path) -> Run:
    """Read a finished run's directory.

    Args:
        path: The directory.

    Raises:
        FileNotFoundError: If it is no run directory, or the run is not finished.
        ValueError: If a file in it is corrupt, or the report is of another model.

    Examples:
        >>> load_run("no/such/run")
        Traceback (most recent call last):
        FileNotFoundError: no/such/run is no run directory: recipe.toml is missing
    """
    directory = RunDirectory(path)
    run = Run(
        directory=directory,
        recipe=directory.read_recipe(),
        report=directory.read_report(),
        environment=directory.read_environment(),
        network=replace(read_model(directory.model), name=str(directory.path)),
    )
    if run.report.weights_sha256 not in (None, run.weights_sha256):
        raise ValueError(f"{directory.report} is of another model than {directory.model}; put back the run's own")
    return run


def load_run_data(
    run: RunDirectory | None, place: str | Path | None = None, progress: Progress | None = None, *, own: bool = False
) -> ImageData:
    """The data set that `place` names; else that of a run, from where it was; else CIFAR-10.

    Args:
        run: The run; its data set may be another package's, which then reads `place`.
        place: Name or place of a data set, see `freqfast.data.loading.load_place`.
        progress: Called as ``progress(done, total, message)``.
        own: Refuse other data than the run's own wherever it lies; else only where it is found by its name alone.

    Raises:
        FileNotFoundError: If the place holds no data, or the run's data is no longer where it was.
        ValueError: If the data is corrupt or not the run's own, or its name unknown.

    Examples:
        >>> load_run_data(None, "photos").name
        'photos'
    """
    if run is None:
        return load_place(place, progress)
    name, size, origin = "cifar10", 0, None
    with suppress(OSError, ValueError):  # of a corrupt recipe
        recipe = run.read_recipe()
        name, size = recipe.data, recipe.image_size
    with suppress(OSError, ValueError):  # of a corrupt environment
        origin = run.read_environment().data
    if place is not None and name != FOLDER and (is_data_name(place) or name not in find_plugins("data")):
        data = load_place(place, progress)
    else:
        place = place or (origin.place() if origin else None)
        data = load_data(name, place, progress, size)
    if origin and (own or place is None) and data_hash(data) != origin.sha256:
        raise ValueError(f"{place or data.name} is not the data that {run.path} was trained on; name its own")
    return data
