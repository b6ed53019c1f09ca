"""A model by its name and options, from freqfast, timm, torchvision or another installed package that registers it."""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from freqfast.models.resnet import CifarResNet18
from freqfast.plugins import find_plugins, load_plugin
from freqfast.preprocessing import Preprocessing

MODELS: dict[str, Callable[..., nn.Module]] = {"resnet18": CifarResNet18}
"""Our own models by name."""

LIBRARIES = ("timm", "torchvision")
"""Libraries whose models are named ``LIBRARY:NAME``."""

# Options of the libraries that download or unpickle; a name and options may come from a file.
_LOADS_WEIGHTS = {"cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "weights"}


@dataclass(frozen=True)
class ModelSpec:
    """What a model is built from: the arguments of `build_model`.

    Examples:
        >>> spec = ModelSpec("resnet18", {"classes": 10, "width": 8})
        >>> spec.build().conv1
        Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that name and options fit into one table."""
        if "name" in self.options:
            raise ValueError(f"model {self.name!r} cannot have an option called 'name'")

    def build(self) -> nn.Module:
        """The model with fresh weights."""
        return build_model(self.name, **self.options)


def build_model(name: str, /, **options: Any) -> nn.Module:
    """Build a model with fresh weights, in channels-last memory format.

    Args:
        name: A key of `MODELS`; the name of an entry point in the group ``freqfast.models``, a function or class that
            returns a module; ``timm:NAME``; or ``torchvision:NAME``.
        **options: Arguments of the model. Training passes ``classes``, the number of logits: freqfast's models and
            entry points take it under this name, and timm and torchvision receive it as ``num_classes``.

    Returns:
        A network that maps images ``(N, 3, H, W)`` to logits ``(N, classes)``.

    Raises:
        ValueError: If the name is unknown, or the model cannot be built with these options.
        ImportError: If timm is asked for and not installed.

    Examples:
        >>> build_model("torchvision:squeezenet1_1", classes=5).classifier[1].out_channels
        5
    """
    what = f"model {name!r}" + (f" with {options}"[:200] if options else "")
    if name.partition(":")[0] in LIBRARIES:
        if refused := sorted(options.keys() & _LOADS_WEIGHTS):
            raise ValueError(f"{what}: {refused[0]} is refused, since a model is built with fresh weights")
        if "classes" in options:
            options["num_classes"] = options.pop("classes")
        builder = library_builder(name)
    elif name in MODELS:
        builder = MODELS[name]
    elif name in (points := find_plugins("models")):
        builder = load_plugin("models", points[name])
    else:
        known = ", ".join((*MODELS, *points, "timm:NAME", "torchvision:NAME"))
        raise ValueError(f"unknown model {name!r}; the models are {known}")
    return channels_last(call_builder(what, partial(builder, **options)))


def build_pretrained(name: str, /, **options: Any) -> tuple[nn.Module, Preprocessing]:
    """Build timm's or torchvision's model with its own weights, which the library downloads or finds in its cache.

    Returns:
        The model with the classes of these weights, and how images are prepared for it.

    Raises:
        ValueError: If the library has no such model or no weights for it, or they cannot be downloaded.
        ImportError: If timm is asked for and not installed.
    """
    library, _, entry = name.partition(":")
    builder = library_builder(name)
    try:
        if library == "timm":
            with _hub_at_once():
                model: Any = builder(pretrained=True, **options)
            stated = timm_preprocessing(model)
        else:
            from torchvision import models

            enumeration: Any = models.get_model_weights(entry)
            weights = enumeration.DEFAULT
            model, stated = builder(weights=weights, **options), torchvision_preprocessing(weights)
            if getattr(model, "transform_input", False):  # what no state dict says; the same, said as a normalisation
                model.transform_input, stated = False, replace(stated, mean=(0.5,) * 3, std=(0.5,) * 3)
    except Exception as error:  # of the network, or of whatever the library does
        reason = " ".join(str(error).split())[:150]
        raise ValueError(
            f"the pretrained weights of {name} cannot be loaded ({type(error).__name__}: {reason}); without a "
            "connection, pass a file of its weights"
        ) from None
    if stated.crop is None:
        warnings.warn(f"images for {name} are taken as they are, not squashed or padded as timm states", stacklevel=2)
    return channels_last(model), stated


def timm_preprocessing(model: nn.Module) -> Preprocessing:
    """How images are prepared for a network of timm, by its configuration.

    Sizes are None if timm does anything other than scaling the shorter side and cropping a square in the middle.

    Examples:
        >>> print(timm_preprocessing(build_model("timm:resnet10t")))
        resize 201 (bicubic), crop 176, mean 0.485,0.456,0.406, std 0.229,0.224,0.225
    """
    from timm.data import resolve_model_data_config

    stated = resolve_model_data_config(model)
    _, height, width = stated["input_size"]
    if height != width or stated["crop_mode"] != "center":
        return Preprocessing(stated["mean"], stated["std"])
    resize = int(height / stated["crop_pct"])
    return Preprocessing(stated["mean"], stated["std"], resize, height, stated["interpolation"])


def torchvision_preprocessing(weights: Any) -> Preprocessing:
    """How images are prepared for a network of torchvision that classifies, with these weights.

    Examples:
        >>> from torchvision.models import ResNet50_Weights
        >>> torchvision_preprocessing(ResNet50_Weights.DEFAULT).resize
        232
    """
    stated = weights.transforms()
    (resize,), (crop,) = stated.resize_size, stated.crop_size
    return Preprocessing(tuple(stated.mean), tuple(stated.std), resize, crop, stated.interpolation.value)


@contextmanager
def _hub_at_once() -> Iterator[None]:
    """Where the Hugging Face Hub cannot be reached take what is cached, or fail at once and not after a minute."""
    from huggingface_hub import constants, get_session

    offline = constants.HF_HUB_OFFLINE
    try:
        get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception:  # of whichever HTTP library it uses
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline


def call_builder(what: str, build: Callable[[], Any]) -> nn.Module:
    """The module that a function returns; any exception in it becomes a ValueError that calls the model `what`.

    What it prints goes to stderr, since a command's stdout may be JSON.
    """
    try:
        with redirect_stdout(sys.stderr):
            model = build()
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())[:150]
        raise ValueError(f"{what} cannot be built ({type(error).__name__}: {reason})") from None
    if not isinstance(model, nn.Module):
        raise ValueError(f"{what} must be a torch.nn.Module, got {type(model).__name__}")
    return model


def channels_last(model: nn.Module) -> nn.Module:
    """The model with its weights in channels-last memory format, which is fast for images.

    In this format, training a strided 1x1 convolution of fewer than 16 channels makes oneDNN write past the end of a
    buffer (its issue 6035, seen in torch 2.13): the process dies, or gradients are wrong. So such a layer picks its
    pixels first, and convolves them without a stride.
    """
    for layer in model.modules():
        if (
            isinstance(layer, nn.Conv2d)
            and (layer.kernel_size, layer.padding, layer.groups) == ((1, 1), (0, 0), 1)
            and layer.in_channels < 16
            and layer.stride != (1, 1)
        ):
            vars(layer)["_conv_forward"] = partial(_convolve_every, layer.stride)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:  # `Module.to` refuses weights of five dimensions, as of Conv3d
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return model


def _convolve_every(stride: tuple[int, ...], images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return conv2d(images[..., :: stride[0], :: stride[1]], weight, bias)


def library_models(library: str) -> list[str]:
    """Names of the models that timm or torchvision has; none if timm is not installed."""
    if library == "torchvision":
        from torchvision import models

        return list(models.list_models(module=models))
    try:
        import timm
    except ImportError:
        return []
    return list(timm.list_models())


def library_builder(name: str) -> Callable[..., nn.Module]:
    """The function that builds ``LIBRARY:NAME``, once the library is known to have it."""
    library, _, entry = name.partition(":")
    if library == "timm":
        try:
            import timm
        except ImportError:
            raise ImportError(f"{name} needs timm, which is not installed; pip install timm") from None
        known, build = timm.is_model(entry), timm.create_model
    else:
        from torchvision import models

        known, build = entry in library_models(library), models.get_model
    if not known:
        close = get_close_matches(entry, library_models(library), 3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see its list of models"
        raise ValueError(f"{library} has no model {entry!r}; {hint}")
    return partial(build, entry)
