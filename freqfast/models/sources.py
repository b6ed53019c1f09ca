"""Models by specification: our own files, timm's, torchvision's, or what any importable function returns."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import nn

from freqfast.models.build import LIBRARIES, build_model, call_builder, library_models
from freqfast.models.file import StoredModel, check_normalisation, read_model
from freqfast.models.state_dicts import fill_model
from freqfast.plugins import import_object, working_directory_importable

__all__ = ["KINDS", "SourcedModel", "load_model", "model_kind"]

KINDS = "a run directory, a .safetensors file of ours, timm:NAME, torchvision:NAME or package.module:callable"


@dataclass(frozen=True)
class SourcedModel:
    """A model and the normalisation that it expects.

    Attributes:
        name: The specification.
        model: The model, in eval mode, on the CPU.
        mean: Channel means, for pixels in [0, 1].
        std: Standard deviations.
        classes: Class names, in the order of the logits; None for models that are not ours.
    """

    name: str
    model: nn.Module = field(repr=False)
    mean: Sequence[float]
    std: Sequence[float]
    classes: Sequence[str] | None = None


def model_kind(spec: str | Path) -> Literal["ours", "library", "code"]:
    """What a specification names: a file or run of ours, a library's model, or code that is imported.

    Examples:
        >>> model_kind("runs/first"), model_kind("timm:resnet18"), model_kind("my_package.zoo:net")
        ('ours', 'library', 'code')
    """
    library, colon, _ = str(spec).partition(":")
    if not colon or Path(spec).exists():
        return "ours"
    return "library" if library in LIBRARIES else "code"


def load_model(
    spec: str | Path,
    weights: str | Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    classes: int = 10,
) -> SourcedModel:
    """Build a model by its specification.

    Args:
        spec: A run directory; a ``.safetensors`` file of ours; ``timm:NAME``; ``torchvision:NAME``; or
            ``package.module:callable``, which is imported and, unless it is a model already, called without arguments:
            it runs code, by design, and so should name code that you trust. Nothing else here runs code.
        weights: For a model that is not ours: a state dict, see `freqfast.models.state_dicts.load_state`. timm's and
            torchvision's need it.
        mean: Channel means of the normalisation; by default those of our file, or of timm's configuration of the model.
        std: Its standard deviations, likewise.
        classes: Number of logits of a timm or torchvision model.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the specification names no model, or weights or normalisation do not fit or are missing.
        ImportError: If timm is asked for and not installed.
    """
    text, kind = str(spec), model_kind(spec)
    if kind == "ours":
        ours = _load_ours(Path(spec), weights)
        mean, std = mean or ours.mean, std or ours.std
        check_normalisation(mean, std)
        return SourcedModel(text, ours.model, mean, std, ours.classes)
    model = build_model(text, classes=classes) if kind == "library" else _call(text)
    if weights is not None:
        fill_model(model, weights, text)
    elif kind == "library":
        raise ValueError(f"{text} would have random weights; pass a file of its trained ones as weights")
    config = getattr(model, "pretrained_cfg", None) or {} if text.startswith("timm:") else {}
    mean, std = mean or config.get("mean"), std or config.get("std")
    if mean is None or std is None:
        raise ValueError(
            f"the normalisation of {text} is not known; pass mean and std, three numbers each for pixels in [0, 1]"
        )
    check_normalisation(mean, std)
    return SourcedModel(text, model.eval(), mean, std)


def _load_ours(path: Path, weights: str | Path | None) -> StoredModel:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; name {_hint(str(path)) or KINDS}")
    if path.is_file() and path.suffix in (".pth", ".pt", ".ckpt"):
        raise ValueError(f"{path} holds weights, but no model; name the model and pass {path} as its weights")
    if weights is not None:
        raise ValueError(f"{path} has its own weights; leave out the weights {weights}")
    return read_model(path)


def _hint(name: str) -> str:
    """What a name without its library may have meant."""
    known = [library for library in LIBRARIES if name in library_models(library)]
    return " or ".join(f"{library}:{name}" for library in known) + (" with its weights" if known else "")


def _call(text: str) -> nn.Module:
    """A model, or what a function returns."""
    if not re.fullmatch(r"[\w.]+:[\w.]+", text):
        raise ValueError(f"{text!r} names no model: name {KINDS}")
    try:
        found = import_object(text)
    except ValueError as error:
        raise ValueError(f"{error}; models are {KINDS}") from None
    if isinstance(found, nn.Module):  # which is callable too
        return found
    if not callable(found):
        raise ValueError(f"{text} is no function or class that returns a model, but {type(found).__name__}")
    with working_directory_importable():
        return call_builder(text, found)
