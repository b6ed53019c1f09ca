"""Models by specification: freqfast's files and zoo, timm's, torchvision's, or what an imported function returns."""

import ast
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import nn

from freqfast.models import SOURCES
from freqfast.models.build import LIBRARIES, build_model, build_pretrained, call_builder, library_models
from freqfast.models.file import StoredModel, check_normalisation, read_model
from freqfast.models.preprocessing import Preprocessing, timm_preprocessing
from freqfast.models.weights import load_weights
from freqfast.models.zoo import PREFIX, network_path, read_cards
from freqfast.plugins import import_object, importable
from freqfast.spectral.surgery import copy_model

_OF_WEIGHTS = (".pth", ".pt", ".th", ".ckpt", ".bin", ".pkl", ".tar")  # best.pth.tar is a usual name


@dataclass(frozen=True)
class SourcedModel:
    """A model, and how it expects its images.

    Attributes:
        name: The specification.
        model: The model, in eval mode, on the CPU.
        mean: Channel means, for pixels in [0, 1].
        std: Standard deviations.
        classes: Class names, in the order of the logits; None for models that freqfast did not write.
        resize, crop, interpolation: See `freqfast.models.preprocessing.Preprocessing`; known for timm's and
            torchvision's models with their own weights. For runs on images in files only the crop is known; the command
            line finds all three.
    """

    name: str
    model: nn.Module = field(repr=False)
    mean: Sequence[float]
    std: Sequence[float]
    classes: Sequence[str] | None = None
    resize: int | None = None
    crop: int | None = None
    interpolation: str | None = None


def model_kind(spec: str | Path) -> Literal["ours", "library", "code"]:
    """What a specification names: a file, run or zoo network of freqfast, a library's model, or code to import.

    Examples:
        >>> model_kind("runs/first"), model_kind("timm:resnet18"), model_kind("./nets.py:make(width=16)")
        ('ours', 'library', 'code')
    """
    library, colon, _ = str(spec).partition(":")
    if not colon or library + colon == PREFIX or os.path.exists(spec):
        return "ours"
    return "library" if library in LIBRARIES else "code"


def load_model(
    spec: str | Path,
    weights: str | Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    classes: int = 10,
    pretrained: bool = False,
) -> SourcedModel:
    """Build a model by its specification.

    Args:
        spec: A run directory; freqfast's ``.safetensors`` file; ``zoo:NAME``, a trained network that comes with
            freqfast; ``timm:NAME``; ``torchvision:NAME``; or code, as ``package.module:callable`` or
            ``folder/file.py:callable``, which is imported and, unless it is a model already, called. This runs code by
            design, so name only code that you trust; no other specification runs code. The last three may have
            arguments in Python's notation: ``nets.py:make(depth=20)``.
        weights: A state dict for a library's model or for code. The parts of freqfast that it was trained with are put
            in first, see `freqfast.load_weights`.
        mean: Channel means of the normalisation; by default those of freqfast's file, or those that timm or, with
            ``pretrained``, torchvision states for the model.
        std: Channel standard deviations, likewise.
        classes: Number of logits of a timm or torchvision model whose weights come from a file.
        pretrained: Take timm's or torchvision's own weights, downloaded by the library, with their classes.

    Returns:
        The model, with the normalisation that it expects and, if freqfast wrote it, the names of its classes.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the specification names no model, or weights or normalisation do not fit, are missing or cannot
            be downloaded.
        ImportError: If timm is asked for and not installed.

    Warns:
        UserWarning: If a callable's network is taken as it is, without weights from a file.

    Examples:
        >>> load_model("zoo:baseline-w16").classes[:2]
        ('airplane', 'automobile')
    """
    text, kind = str(spec), model_kind(spec)
    if pretrained and (kind != "library" or weights is not None):
        other = f"the weights {weights}" if kind == "library" else f"{text}, which is none of timm's or torchvision's"
        raise ValueError(f"pretrained weights are timm's or torchvision's own; leave them out for {other}")
    if kind == "ours":
        ours = load_stored(spec, weights)
        mean, std = ours.mean if mean is None else mean, ours.std if std is None else std
        check_normalisation(mean, std)
        return SourcedModel(text, ours.model, mean, std, ours.classes, crop=ours.image_size or None)
    named, random = _read_spec(text), False
    stated = Preprocessing()
    if kind == "library" and named.arguments:
        raise ValueError(f"{text}: name the arguments, as in {named.model}(drop_rate=0.1)")
    if kind == "library" and "num_classes" in named.options:  # for which timm would draw a head at random
        raise ValueError(f"{text}: leave num_classes out; pretrained weights have theirs, for others classes tells it")
    if kind == "code":
        model, random = _from_code(text, named)
    elif pretrained:
        model, stated = build_pretrained(named.model, **named.options)
    elif weights is None:
        raise ValueError(f"{text} would have random weights; pass a file of trained ones, or take its pretrained ones")
    else:
        model = build_model(named.model, **{"classes": classes, **named.options})
        if text.startswith("timm:"):
            known = timm_preprocessing(model)
            stated = Preprocessing(known.mean, known.std)  # the file's own images may have any size
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise ValueError(f"{text} is on the meta device, where weights have no values; build it on the CPU")
    if weights is not None:
        load_weights(model, weights, f"{text} with {classes} classes" if kind == "library" else text)
    mean, std = stated.mean if mean is None else mean, stated.std if std is None else std
    if mean is None or std is None:
        raise ValueError(
            f"the normalisation of {text} is not known; pass mean and std, three numbers each for pixels in [0, 1], or "
            "mean 0,0,0 and std 1,1,1 if the network normalises by itself"
        )
    check_normalisation(mean, std)
    if random and weights is None:
        warnings.warn(f"{text} comes without a file of weights; unless it loads its own, they are random", stacklevel=2)
    name = text if weights is None else f"{text} with {Path(weights).name}"
    return SourcedModel(name, model.eval(), mean, std, None, stated.resize, stated.crop, stated.interpolation)


class _Named(NamedTuple):
    """A specification taken apart: what stands before the brackets, and the arguments in them."""

    model: str
    arguments: list[Any]
    options: dict[str, Any]


def _read_spec(text: str) -> _Named:
    found = re.fullmatch(r"(.*?:[^:/(]+)\((.*)", text, re.DOTALL)  # a folder's name may have brackets too
    if found is None:
        return _Named(text, [], {})
    model, inside = found.groups()
    try:
        call = ast.parse(f"f({inside}", mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            raise SyntaxError
        arguments = [ast.literal_eval(value) for value in call.args]
        return _Named(model, arguments, {str(word.arg): ast.literal_eval(word.value) for word in call.keywords})
    except (ValueError, SyntaxError, RecursionError):
        raise ValueError(f"{text}: write arguments as Python does, such as {model}(20, width=16)") from None


def stored_path(spec: str | Path) -> Path:
    """Path of a model that freqfast wrote: the given path, or the file of ``zoo:NAME``."""
    path = Path(spec)
    is_zoo = str(spec).startswith(PREFIX) and not path.exists()
    return network_path(str(spec).removeprefix(PREFIX)) if is_zoo else path


def load_stored(spec: str | Path, weights: str | Path | None = None) -> StoredModel:
    """Read a model that freqfast wrote: a run directory, a ``.safetensors`` file or ``zoo:NAME``; see `load_model`."""
    path = stored_path(spec)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; name {_hint(str(path)) or SOURCES}")
    if path.is_file() and path.suffix in _OF_WEIGHTS:
        raise ValueError(f"{path} holds weights, but no model; name the model and pass {path} as its weights")
    if path.is_file() and path.suffix == ".py":
        raise ValueError(f"{path} is code; name what builds the model in it, as {path}:CALLABLE")
    if weights is not None:
        raise ValueError(f"{spec} has its own weights; leave out the weights {weights}")
    return read_model(path)


def _hint(name: str) -> str:
    """What a name without its library may have meant."""
    if name in read_cards():
        return f"{PREFIX}{name}"
    known = [library for library in LIBRARIES if name in library_models(library)]
    return " or ".join(f"{library}:{name}" for library in known) + (" with its weights" if known else "")


def _from_code(text: str, named: _Named) -> tuple[nn.Module, bool]:
    """A copy of a model that code names, or of what a function returns, and whether it was a function.

    A copy, since weights are loaded into it, and the code may give the same model again.
    """
    if not re.fullmatch(r"([\w.-]+|.+\.py):[\w.]+", named.model):
        raise ValueError(f"{text!r} names no model: name {SOURCES}")
    try:
        found = import_object(named.model)
    except ValueError as error:
        raise ValueError(f"{error}; models are {SOURCES}") from None
    if isinstance(found, nn.Module) and named.model == text:  # which is callable too
        return copy_model(found), False
    if not callable(found):
        raise ValueError(f"{text} is no function or class that returns a model, but {type(found).__name__}")
    with importable(named.model.partition(":")[0]):
        return copy_model(call_builder(text, partial(found, *named.arguments, **named.options))), True
