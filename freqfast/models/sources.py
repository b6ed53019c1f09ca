"""Networks by what names them: freqfast's files and zoo, timm's, torchvision's, or code; or a TOML file that says it.

`load_network` alone reads what a user names.
"""

import ast
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import tomli_w
from torch import nn

from freqfast.files import of_user, read_file, write_text
from freqfast.models import SOURCES
from freqfast.models.build import (
    LIBRARIES,
    build_model,
    build_pretrained,
    call_builder,
    library_builder,
    library_models,
    timm_preprocessing,
)
from freqfast.models.file import read_model
from freqfast.models.network import IncompleteNetworkError, Network
from freqfast.models.state_dicts import without_prefixes
from freqfast.models.weights import load_weights, read_weights
from freqfast.models.zoo import PREFIX, network_path, read_cards
from freqfast.plugins import import_object, importable
from freqfast.preprocessing import Interpolation, Preprocessing
from freqfast.records import plain, read_record
from freqfast.spectral.surgery import copy_model

_SCRIPT = ".py:"  # in the name of what a file of code holds
_OF_WEIGHTS = (".pth", ".pt", ".th", ".ckpt", ".bin", ".pkl", ".tar")  # best.pth.tar is a usual name


@dataclass(frozen=True, kw_only=True)
class NetworkFile(Preprocessing):
    """What a TOML file says of a network; its keys are the fields, and its paths are relative to it.

    Attributes:
        model: What names the network, see `load_network`.
        weights: The file of its weights.
        pretrained: Whether it has timm's or torchvision's own weights.
        classes: Its class names in the order of the logits, or the path of a file with a name a line.
        data: Where its images are: a path, or a name.
    """

    model: str
    weights: str | None = None
    pretrained: bool | None = None
    classes: tuple[str, ...] | str | None = None
    data: str | None = None


def load_network(
    model: str | Path,
    *,
    weights: str | Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    resize: int | None = None,
    crop: int | None = None,
    interpolation: Interpolation | None = None,
    classes: Sequence[str] | str | Path | None = None,
    pretrained: bool = False,
    sees_images: bool = True,
) -> Network:
    """Build a network by what names it.

    Args:
        model: A run directory; freqfast's ``.safetensors`` file; ``zoo:NAME``, a trained network that comes with
            freqfast; ``timm:NAME``; ``torchvision:NAME``; or code, as ``package.module:callable`` or
            ``folder/file.py:callable``, which is imported and, unless it is a model already, called. This runs code by
            design, so name only code that you trust. The last three may have arguments in Python's notation:
            ``nets.py:make(depth=20)``. Or a TOML file that says one of these and the other arguments, except the last
            one, under their names, with paths relative to it; arguments that are given go before what it says.
        weights: A state dict for a library's model or for code. The parts of freqfast that it was trained with are put
            in first, see `freqfast.load_weights`.
        mean: Channel means of the normalisation, for pixels in [0, 1]; by default those of freqfast's file, or those
            that timm or, with ``pretrained``, torchvision states for the model.
        std: Channel standard deviations, likewise.
        resize: Length to which the shorter side of images in files is scaled; by default as mean.
        crop: Height and width that are then cut out of the middle, likewise.
        interpolation: How images are scaled, likewise.
        classes: Class names in the order of the logits, or the path of a file with a name a line. A model of timm's or
            torchvision's gets as many logits, else as many as the last layer of its weights has.
        pretrained: Take timm's or torchvision's own weights, downloaded by the library, with their classes.
        sees_images: Whether the normalisation must be known.

    Returns:
        The network in eval mode, on the CPU.

    Raises:
        FileNotFoundError: If a file is missing.
        IncompleteNetworkError: If weights or the normalisation are missing; it says all that is.
        ValueError: If there is no such network, or weights or preprocessing do not fit or cannot be downloaded.
        ImportError: If timm is asked for and not installed.

    Warns:
        UserWarning: If a callable's network is taken as it is, without weights from a file.

    Examples:
        >>> load_network("zoo:baseline-w16").classes[:2]
        ('airplane', 'automobile')
    """
    name = str(model)
    asked = NetworkFile(
        model=name,
        weights=None if weights is None else str(weights),
        pretrained=pretrained or None,
        mean=mean,  # type: ignore[arg-type]
        std=std,  # type: ignore[arg-type]
        resize=resize,
        crop=crop,
        interpolation=interpolation,
        classes=str(classes) if isinstance(classes, Path) else classes,  # type: ignore[arg-type]
    )
    if Path(name).suffix == ".toml":
        asked = _over_file(asked)
    kind = _kind(asked.model)
    if asked.pretrained and (kind != "library" or asked.weights is not None):
        other = (
            f"the weights {asked.weights}" if kind == "library" else f"{name}, which is none of timm's or torchvision's"
        )
        raise ValueError(f"pretrained weights are timm's or torchvision's own; leave them out for {other}")
    names = read_classes(asked.classes) if isinstance(asked.classes, str) else asked.classes
    given = Preprocessing(**{each.name: getattr(asked, each.name) for each in fields(Preprocessing)})
    if kind == "ours":
        network = _ours(asked, names)
        stated = given.over(network.preprocessing)
        return replace(network, name=name, preprocessing=stated, model=asked.model, data=asked.data)
    if kind == "library":
        module, stated = _of_library(asked, names, given)
    else:
        module, stated = _from_code(asked), Preprocessing()
    if asked.weights is not None:
        load_weights(module, asked.weights, name)
    given = given.over(stated)
    if sees_images and given.missing:
        raise IncompleteNetworkError(name, given.missing)
    return Network(
        name=name if weights is None else f"{name} with {Path(weights).name}",
        module=module.eval(),
        preprocessing=given,
        classes=None if names is None else tuple(names),
        model=asked.model,
        weights=None if asked.weights is None else Path(asked.weights),
        data=asked.data,
    )


def write_network(path: str | Path, network: Network) -> None:
    """Write a TOML file that names a network to `load_network`, beside the file of its weights, whole or not at all.

    Raises:
        ValueError: If the network was made in Python, so that nothing names it, or has no file of weights. A network
            of freqfast's needs no such file: `freqfast.models.file.write_model` writes all of it.
    """
    if network.model is None or network.weights is None or network.spec is not None:
        raise ValueError(
            f"{network.name} was not loaded by a name and a file of weights, which is what such a file says"
        )
    folder = Path(path).resolve().parent

    def beside(place: str | Path) -> str:
        return os.path.relpath(Path(place).resolve(), folder)

    file, suffix, call = network.model.partition(_SCRIPT)
    described = NetworkFile(
        model=f"{beside(file + '.py')}:{call}" if suffix else network.model,
        weights=beside(network.weights),
        classes=network.classes,
        data=beside(network.data) if network.data and Path(network.data).exists() else network.data,
        **vars(network.preprocessing),
    )
    write_text(path, tomli_w.dumps({key: value for key, value in plain(described).items() if value is not None}))


def read_classes(path: str | Path) -> tuple[str, ...]:
    """The names of a network's classes, in the order of its logits, from a file of a line each."""
    lines = read_file(path, 2**24).decode("utf-8-sig", "replace").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if len(set(names)) < max(len(names), 1):
        raise ValueError(f"{path}: write each class once, a line each")
    return names


def _over_file(asked: NetworkFile) -> NetworkFile:
    """What is asked for, over what the TOML file that it names says."""
    stated, folder = read_record(asked.model, NetworkFile), Path(asked.model).parent

    def beside(place: Any) -> Any:
        return str(folder / of_user(place)) if isinstance(place, str) else place

    is_path = ":" not in stated.model or _SCRIPT in stated.model or (folder / stated.model).exists()
    stated = replace(
        stated,
        model=beside(stated.model) if is_path else stated.model,
        weights=None if asked.pretrained else beside(stated.weights),
        pretrained=stated.pretrained if asked.weights is None else None,
        classes=beside(stated.classes),
        data=beside(stated.data) if stated.data and Path(beside(stated.data)).exists() else stated.data,
    )
    return replace(asked, model=stated.model).over(stated)  # type: ignore[return-value]


def _kind(model: str) -> Literal["ours", "library", "code"]:
    """What a name means: a file, run or zoo network of freqfast, a library's model, or code to import."""
    library, colon, _ = model.partition(":")
    if not colon or library + colon == PREFIX or os.path.exists(model):
        return "ours"
    return "library" if library in LIBRARIES else "code"


def _ours(asked: NetworkFile, names: Sequence[str] | None) -> Network:
    """A network that freqfast wrote."""
    path = Path(asked.model)
    if asked.model.startswith(PREFIX) and not path.exists():
        path = network_path(asked.model.removeprefix(PREFIX))
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; name {_hint(asked.model) or SOURCES}")
    if path.suffix in _OF_WEIGHTS:
        raise ValueError(f"{path} holds weights, but no model; name the model and pass {path} as its weights")
    if path.suffix == ".py":
        raise ValueError(f"{path} is code; name what builds the model in it, as {path}:CALLABLE")
    if asked.weights is not None:
        raise ValueError(f"{asked.model} has its own weights; leave out the weights {asked.weights}")
    network = read_model(path)
    if names is not None and tuple(names) != network.classes:
        raise ValueError(f"{asked.model} has classes of its own; leave out the list of classes")
    return network


def _hint(name: str) -> str:
    """What a name without its library may have meant."""
    if name in read_cards():
        return f"{PREFIX}{name}"
    known = [library for library in LIBRARIES if name in library_models(library)]
    return " or ".join(f"{library}:{name}" for library in known) + (" with its weights" if known else "")


def _read_call(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """What stands before the brackets of a name, and the arguments in them."""
    parts = re.fullmatch(r"(.*?:[^:/(]+)\((.*)", text, re.DOTALL)  # a folder's name may have brackets too
    if parts is None:
        return text, [], {}
    model, inside = parts.groups()
    try:
        call = ast.parse(f"f({inside}", mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            raise SyntaxError
        arguments = [ast.literal_eval(value) for value in call.args]
        return model, arguments, {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (ValueError, SyntaxError, RecursionError):
        raise ValueError(f"{text}: write arguments as Python does, such as {model}(20, width=16)") from None


def _of_library(
    asked: NetworkFile, names: Sequence[str] | None, given: Preprocessing
) -> tuple[nn.Module, Preprocessing]:
    """A model of timm's or torchvision's with as many logits as its weights or names, and what is stated for it."""
    name, arguments, options = _read_call(asked.model)
    if arguments:
        raise ValueError(f"{asked.model}: name the arguments, as in {name}(drop_rate=0.1)")
    if asked.pretrained:
        if "num_classes" in options:  # for which timm would draw a head at random
            raise ValueError(f"{asked.model}: leave num_classes out; pretrained weights have theirs")
        return build_pretrained(name, **options)
    is_timm = name.startswith("timm:")
    if asked.weights is None:
        library_builder(name)  # refuses an unknown name
        raise IncompleteNetworkError(asked.model, ["weights", *([] if is_timm else given.missing)])
    if names is not None:
        options.setdefault("num_classes", len(names))
    module = build_model(name, **options)
    if "num_classes" not in options:
        own = module.state_dict()
        head = next(reversed(own))  # the last tensor is of the last layer
        tensor = without_prefixes(read_weights(asked.weights)[1], own).get(head, own[head])
        if tensor.ndim and len(tensor) != len(own[head]):
            module = build_model(name, **options, num_classes=len(tensor))
    known = timm_preprocessing(module) if is_timm else Preprocessing()
    return module, Preprocessing(known.mean, known.std)  # images beside a file of weights may have any size


def _from_code(asked: NetworkFile) -> nn.Module:
    """A copy of a model that code names, or of what a function returns.

    A copy, since weights are loaded into it, and the code may give the same model again.
    """
    text, (name, arguments, options) = asked.model, _read_call(asked.model)
    if not re.fullmatch(r"([\w.-]+|.+\.py):[\w.]+", name):
        raise ValueError(f"{text!r} names no model: name {SOURCES}")
    try:
        made = import_object(name)
    except ValueError as error:
        raise ValueError(f"{error}; models are {SOURCES}") from None
    is_made = isinstance(made, nn.Module) and name == text  # which is callable too
    if not callable(made):
        raise ValueError(f"{text} is no function or class that returns a model, but {type(made).__name__}")
    with importable(name.partition(":")[0]):
        module = copy_model(made if is_made else call_builder(text, partial(made, *arguments, **options)))
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        raise ValueError(f"{text} is on the meta device, where weights have no values; build it on the CPU")
    if not is_made and asked.weights is None:
        warnings.warn(f"{text} comes without a file of weights; unless it loads its own, they are random", stacklevel=3)
    return module
