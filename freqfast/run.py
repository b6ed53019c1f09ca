"""The run directory: what `freqfast run` leaves, and how to read it back.

A run directory holds

- ``recipe.toml``: the recipe as resolved, see `freqfast.Recipe`;
- ``environment.json``: what a rerun needs besides: versions, the checkout's commit, processor, threads, device, the
  precision that was chosen, and of the data its path and the SHA-256 of the decoded arrays;
- ``metrics.csv``: a row per epoch, fastai's columns and the frequency proportion;
- ``model.safetensors``: the weights, and in the metadata under ``freqfast`` a JSON object ``{"schema": 1, "version",
  "model": {"name", options}, "modulation": null | {"layer", "per_filter", "sigma", "seed"}, "equalization": null |
  {"layer", "bins", "exponent"}, "antialiasing": [layers], "classes": [...], "mean": [r, g, b], "std": [r, g, b]}``;
- ``spectra.h5``: see `freqfast.spectra_h5`;
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

- ``checkpoints/``: the last two checkpoints of the training, see `freqfast.checkpoint`. ``freqfast run --resume`` goes
  on from the last sound one, or from the start where there is none. A finished run keeps none: they are twice as large
  as the model and tell nothing that the report does not.

The process that works on a run holds a lock on the directory itself (see `freqfast.training.directory`), which the
system lifts when the process ends, however it ends.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from freqfast._version import __version__
from freqfast.antialiasing import antialiased_layers, apply_antialiasing
from freqfast.equalization import SpectrumEqualizer, apply_equalization
from freqfast.files import replacing
from freqfast.models import build_model, channels_last
from freqfast.modulation import SpectralConv2d, apply_modulation
from freqfast.recipe import Recipe

__all__ = ["Checkpoint", "Run", "load_checkpoint", "load_run", "read_environment", "read_recipe", "save_checkpoint"]

SCHEMA = 1


@dataclass(frozen=True)
class Checkpoint:
    """A model with what it takes to use it.

    Attributes:
        model: The model, in eval mode, on the CPU.
        spec: Name and options by which `freqfast.models.build_model` builds it.
        classes: Class names, in the order of the logits.
        mean: Channel means of the normalisation, for pixels in [0, 1].
        std: Its standard deviations.
    """

    model: nn.Module
    spec: Mapping[str, Any]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: The run directory.
        recipe: What was run.
        checkpoint: The trained model and its normalisation.
        report: The content of ``report.json``.
        environment: The content of ``environment.json``.
    """

    path: Path
    recipe: Recipe
    checkpoint: Checkpoint
    report: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def model(self) -> nn.Module:
        """The trained model, in eval mode."""
        return self.checkpoint.model


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    spec: Mapping[str, Any],
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
) -> None:
    """Write a model's weights and description as safetensors, whole or not at all.

    Args:
        path: The file; its folder must exist.
        model: A model that `spec` builds, with or without modulation.
        spec: ``{"name": ..., option: value, ...}`` for `freqfast.models.build_model`.
        classes: Class names.
        mean: Channel means of the normalisation, for pixels in [0, 1].
        std: Its standard deviations.

    Raises:
        ValueError: If more than one layer is modulated.
    """
    spectral = [(name, m) for name, m in model.named_modules() if isinstance(m, SpectralConv2d)]
    if len(spectral) > 1:
        raise ValueError(f"{len(spectral)} layers are modulated, a checkpoint can describe one; bake the others")
    modulation = None
    for name, conv in spectral:
        modulation = {
            "layer": name,
            "per_filter": len(conv.log_gain) == conv.out_channels,
            "sigma": conv.sigma,
            "seed": conv.seed,
        }
    equalizers = [(name, m) for name, m in model.named_modules() if isinstance(m, SpectrumEqualizer)]
    if len(equalizers) > 1:
        raise ValueError(f"{len(equalizers)} layers are equalized, a checkpoint can describe one; remove the others")
    equalization = None
    for name, equalizer in equalizers:
        layer = name.removesuffix(".equalizer")
        equalization = {"layer": layer, "bins": equalizer.bins, "exponent": equalizer.exponent}
    header = {
        "schema": SCHEMA,
        "version": __version__,
        "model": dict(spec),
        "modulation": modulation,
        "equalization": equalization,
        "antialiasing": antialiased_layers(model),
        "classes": list(classes),
        "mean": [float(x) for x in mean],
        "std": [float(x) for x in std],
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, {"freqfast": json.dumps(header)}))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a model from a run directory or a ``.safetensors`` file of ours. Nothing in it is executed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, was not written by freqfast, or its weights do not fit its description.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; name a run directory or a model.safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except Exception as error:  # an unknown data type, say, is a KeyError
        raise ValueError(f"{path} is not a sound safetensors file: {error}") from None
    if "freqfast" not in metadata:
        raise ValueError(
            f"{path} has no freqfast metadata, so its model is unknown; use a file that `freqfast run` wrote"
        )
    try:
        header = json.loads(metadata["freqfast"])
        if header["schema"] > SCHEMA:
            raise ValueError(f"schema {header['schema']} is newer than this version reads ({SCHEMA}); update freqfast")
        spec, modulation = dict(header["model"]), header["modulation"]
        equalization, antialiasing = header["equalization"], header["antialiasing"]
        mean, std = (tuple(float(x) for x in header[key]) for key in ("mean", "std"))
        classes = tuple(str(name) for name in header["classes"])
        with torch.device("meta"):  # sizes are checked against the file before any memory is taken
            model = build_model(**spec)
            if modulation is not None:
                apply_modulation(model, **modulation)
            if equalization is not None:
                apply_equalization(model, **equalization)
            apply_antialiasing(model, antialiasing)
        _check_header(mean, std, classes, spec.get("classes", len(classes)))
        _check_tensors(tensors, model.state_dict())
        model.load_state_dict(tensors, assign=True)
    except KeyError as error:
        raise ValueError(f"{path} cannot be loaded: its metadata lacks {error}") from None
    except (TypeError, AttributeError, RuntimeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} cannot be loaded: {' '.join(str(error).split())}") from None
    channels_last(model).requires_grad_(False).eval()
    return Checkpoint(model, spec, classes, mean, std)


def _check_header(mean: Sequence[float], std: Sequence[float], classes: Sequence[str], logits: int) -> None:
    """The normalisation must be one that pixels survive, and each logit must have its name."""
    if len(mean) != 3 or len(std) != 3 or not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise ValueError(f"mean and std must be three finite numbers each, std positive, got {mean} and {std}")
    if not classes or len(classes) != logits:
        raise ValueError(f"it names {len(classes)} classes for a model of {logits}")


def _check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """What `load_state_dict` lets pass where it assigns: another type, and values that are no numbers.

    Raises:
        ValueError: If a tensor has another type than the model's or a value that is not finite.
    """
    for name in tensors.keys() & expected.keys():
        if tensors[name].dtype != expected[name].dtype:
            raise ValueError(f"{name} is {tensors[name].dtype}, but the model has {expected[name].dtype}")
        if not tensors[name].isfinite().all():
            raise ValueError(f"{name} holds values that are not finite; the training diverged or the file is damaged")


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
        checkpoint=load_checkpoint(path),
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
        if not all(map(math.isfinite, numbers)) or not isinstance(report["recipe"], str):
            raise ValueError("a number or the recipe's name is no such thing")
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is not sound: {reason}; remove it and resume the run to make it again") from None
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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(value).__name__}")
    return value
