"""The run directory: what `freqfast run` leaves, and how to read it back.

A run directory holds

- ``recipe.toml``: the recipe as resolved, see `freqfast.Recipe`;
- ``environment.json``: what a rerun needs besides: versions, the checkout's commit, processor, threads, device, the
  precision that was chosen, and of the data its path and the SHA-256 of the decoded arrays;
- ``metrics.csv``: a row per epoch, fastai's columns and the frequency proportion;
- ``model.safetensors``: the trained model, see `freqfast.models.file`;
- ``spectra.h5``: see `freqfast.spectra.h5`;
- ``evaluation.json``: whether each image was classified correctly, by corruption and severity, so that runs can be
  compared image by image; see `freqfast.robustness.storage`;
- ``report.json``, written last, so that its presence marks a finished run::

    {"schema": 1, "version": "...", "recipe": "name", "seed": 0, "epochs": 8, "precision": "bfloat16",
     "clean": fraction, "corrupted": fraction (mean over all that were measured),
     "mean15": fraction or null, "mean19": the same, "mean_bar": the same, "families": {family: fraction},
     "accuracy": {corruption: {severity: fraction}}, "images": images in each cell, "missing": [corruptions],
     "intervals": {"clean": [low, high], "mean15": ..., "accuracy": ...}, "ece": {"clean": ..., ...},
     "bands": [names], "proportion": {"before": [fractions by band], "after": [...], "target": [...] or null},
     "seconds": {"fit": s, "evaluate": s}}

An unfinished run has the first two, which were in it when it appeared, whatever of the others it came to, and

- ``checkpoints/``: the last two checkpoints of the training, see `freqfast.training.checkpoint`. ``freqfast run
  --resume`` goes on from the last sound one, or from the start where there is none. A finished run keeps none: they are
  twice as large as the model and tell nothing that the report does not.

The process that works on a run holds a lock on the directory itself (see `freqfast.runs.creation`), which the
system lifts when the process ends, however it ends.
"""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from torch import nn

from freqfast.models.file import StoredModel, read_model
from freqfast.runs.recipe import Recipe

__all__ = ["Run", "find_run", "load_run", "read_environment", "read_recipe", "run_data"]

SCHEMA = 1


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: The run directory.
        recipe: What was run.
        stored: The trained model, its classes and its normalisation.
        report: The content of ``report.json``.
        environment: The content of ``environment.json``.
    """

    path: Path
    recipe: Recipe
    stored: StoredModel = field(repr=False)
    report: Mapping[str, Any] = field(repr=False)
    environment: Mapping[str, Any] = field(repr=False)

    @property
    def model(self) -> nn.Module:
        """The trained model, in eval mode."""
        return self.stored.model


def load_run(path: str | Path) -> Run:
    """Read a finished run's directory.

    Raises:
        FileNotFoundError: If it is no run directory, or the run did not finish.
        ValueError: If a file in it is damaged.
    """
    path = Path(path)
    for name in ("recipe.toml", "environment.json", "report.json"):
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path} is not a finished run: {name} is missing")
    environment = read_environment(path)
    data = environment.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("path"), str | None):
        raise ValueError(
            f"{path / 'environment.json'} is not sound: data must be an object with a path, got {data!r:.80}"
        )
    return Run(
        path=path,
        recipe=read_recipe(path),
        stored=read_model(path),
        report=_read_report(path / "report.json"),
        environment=environment,
    )


def _read_report(path: Path) -> dict[str, Any]:
    report = _read_json(path)
    try:
        means = {name: report[name] for name in ("clean", "corrupted", "mean15") if report[name] is not None}
        cells = [value for by_severity in report["accuracy"].values() for value in by_severity.values()]
        if not all(0 <= value <= 1 for value in (*means.values(), *cells)):
            raise ValueError(f"accuracies must be fractions, got {means}")
        proportion = report["proportion"]
        lists = [proportion["before"], proportion["after"], proportion["target"] or proportion["after"]]
        if any(len(values) != len(report["bands"]) for values in lists):
            raise ValueError("it must have a proportion for each band")
        seconds = (report["seconds"]["fit"], report["seconds"]["evaluate"])
        numbers = (*seconds, report["seed"], report["epochs"], report["images"], *chain(*lists))
        texts = (report["recipe"], report["precision"])
        if not all(map(math.isfinite, numbers)) or not all(isinstance(text, str) for text in texts):
            raise ValueError("a number, the recipe's name or the precision is no such thing")
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{path} is not sound: {reason}; to make it again remove it and resume the run, which then trains anew"
        ) from None
    return report


def read_recipe(path: str | Path) -> Recipe:
    """The recipe of a run directory, finished or not.

    Raises:
        FileNotFoundError: If it is no run directory.
        ValueError: If the file is damaged.
    """
    path = Path(path) / "recipe.toml"
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} is no run directory: recipe.toml is missing")
    try:
        return Recipe.from_toml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_environment(path: str | Path) -> dict[str, Any]:
    """The environment of a run directory, finished or not.

    Raises:
        FileNotFoundError: If it is no run directory.
        ValueError: If the file is damaged.
    """
    return _read_json(Path(path) / "environment.json")


def find_run(path: str | Path) -> Path | None:
    """The run directory that is named by its own path or by its model file's; None where there is none."""
    path = Path(path)
    folder = path.parent if path.name == "model.safetensors" else path
    return folder if (folder / "recipe.toml").is_file() else None


def run_data(run: str | Path | None) -> str | None:
    """Where a run's data is: its path if that still exists, else the data's name; None without a run."""
    if run is None:
        return None
    try:
        name = read_recipe(run).data
    except (OSError, ValueError):
        return None
    with suppress(OSError, ValueError, LookupError, TypeError):  # of a damaged run
        if Path(path := read_environment(run)["data"]["path"]).exists():
            return str(path)
    return name


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(value).__name__}")
    return value
