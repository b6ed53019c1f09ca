"""The model file ``model.safetensors``: a network's weights, and what it takes to build and use it.

The metadata holds under ``freqfast`` a JSON object ``{"schema": 1, "version", "model": {"name", options}, "modulation":
null | {"layer", "per_filter", "sigma", "seed"}, "equalization": null | {"layer", "bins", "exponent"}, "antialiasing":
[layers], "classes": [...], "mean": [r, g, b], "std": [r, g, b]}``. Other tools read the weights as they are.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from freqfast._version import __version__
from freqfast.files import replacing
from freqfast.models.resnet import build_model, channels_last
from freqfast.spectral.antialiasing import antialiased_layers, apply_antialiasing
from freqfast.spectral.equalization import SpectrumEqualizer, apply_equalization
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation
from freqfast.spectral.surgery import unwrap

__all__ = ["StoredModel", "check_normalisation", "read_model", "write_model"]

SCHEMA = 1


@dataclass(frozen=True)
class StoredModel:
    """A model with what it takes to use it.

    Attributes:
        model: The model, in eval mode, on the CPU.
        spec: Name and options by which `freqfast.models.resnet.build_model` builds it.
        classes: Class names, in the order of the logits.
        mean: Channel means of the normalisation, for pixels in [0, 1].
        std: Its standard deviations.
    """

    model: nn.Module = field(repr=False)
    spec: Mapping[str, Any]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def write_model(
    path: str | Path,
    model: nn.Module,
    spec: Mapping[str, Any],
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
) -> None:
    """Write a model's weights and description, whole or not at all.

    Args:
        path: The file; its folder must exist.
        model: A model that `spec` builds, in float32, with or without modulation; DistributedDataParallel and
            torch.compile wrappers are looked through.
        spec: ``{"name": ..., option: value, ...}`` for `freqfast.models.resnet.build_model`.
        classes: Class names.
        mean: Channel means of the normalisation, for pixels in [0, 1].
        std: Its standard deviations.

    Raises:
        ValueError: If more than one layer is modulated, or more than one equalized, or the weights are not float32.
    """
    model = unwrap(model)
    if odd := next((f"{name} is {p.dtype}" for name, p in model.named_parameters() if p.dtype != torch.float32), None):
        raise ValueError(f"{odd}, a model file holds float32; call model.float() first")
    spectral = [(name, m) for name, m in model.named_modules() if isinstance(m, SpectralConv2d)]
    if len(spectral) > 1:
        raise ValueError(f"{len(spectral)} layers are modulated, a model file can describe one; bake the others")
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
        raise ValueError(f"{len(equalizers)} layers are equalized, a model file can describe one; remove the others")
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


def read_model(path: str | Path) -> StoredModel:
    """Read a model from its file, or from the run directory that holds it. Nothing in it is executed.

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
        raise ValueError(
            f"{path} is not a sound safetensors file ({error}); name a run directory or a model.safetensors"
        ) from None
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
        check_normalisation(mean, std)
        logits = spec.get("classes", len(classes))
        if not classes or len(classes) != logits:
            raise ValueError(f"it names {len(classes)} classes for a model of {logits}")
        _check_tensors(tensors, model.state_dict())
        model.load_state_dict(tensors, assign=True)
    except KeyError as error:
        raise ValueError(f"{path} cannot be loaded: its metadata lacks {error}") from None
    except (TypeError, AttributeError, RuntimeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} cannot be loaded: {' '.join(str(error).split())}") from None
    channels_last(model).eval()
    return StoredModel(model, spec, classes, mean, std)


def check_normalisation(mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse a normalisation that pixels do not survive, or that no pixels in [0, 1] have.

    Raises:
        ValueError: If mean and std are not three finite numbers each, mean in [0, 1] and std in (0, 1].
    """
    if len(mean) != 3 or len(std) != 3 or not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise ValueError(f"mean and std must be three finite numbers each, std positive, got {mean} and {std}")
    if not 0 <= min(mean) <= max(mean) <= 1 or max(std) > 1:
        raise ValueError(
            f"mean must lie in [0, 1] and std in (0, 1], as pixels do, got {_triple(mean)} and {_triple(std)}; divide "
            "those of pixels from 0 to 255 by 255"
        )


def _triple(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


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
