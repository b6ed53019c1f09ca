"""Where training starts: fresh weights, or trained ones from timm or torchvision, with a head that fits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from freqfast.files import of_user, require_file
from freqfast.models.build import LIBRARIES, ModelSpec, build_model, build_pretrained, timm_preprocessing
from freqfast.models.classifier import hash_weights
from freqfast.models.network import Network
from freqfast.models.state_dicts import load_state, without_prefixes
from freqfast.models.weights import load_weights
from freqfast.preprocessing import Preprocessing

_TRAINED = ("pretrained", "weights")  # options of timm's and torchvision's models, which say where weights come from


def architecture(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a model that define its architecture: all except those that name trained weights.

    Examples:
        >>> architecture("timm:resnet18", {"pretrained": True, "drop_rate": 0.1})
        {'drop_rate': 0.1}
    """
    return {key: value for key, value in options.items() if not (_is_library(name) and key in _TRAINED)}


def check_start(name: str, options: Mapping[str, Any]) -> Path | None:
    """The file of trained weights, if options name one; refuses wrong types, and options that name two sources."""
    pretrained, weights = options.get("pretrained", False), options.get("weights")
    if not _is_library(name) or (weights is None and pretrained in (False, True)):
        return None
    if not isinstance(weights, str) or pretrained:
        raise ValueError(
            f"model {name!r} has pretrained {pretrained!r} and weights {weights!r}: give pretrained = true, or weights "
            "a file's path, not both"
        )
    path = of_user(weights)
    require_file(path)
    return path


def hash_pretrained(name: str, options: Mapping[str, Any]) -> str | None:
    """SHA-256 of a library's own weights, if a model starts from them: another version of them is another start."""
    if not (_is_library(name) and options.get("pretrained")):
        return None
    return hash_weights(build_pretrained(name, **architecture(name, options))[0])


def try_model(name: str, options: Mapping[str, Any]) -> nn.Module:
    """A model with fresh weights and two logits, to see whether its name and options make sense."""
    check_start(name, options)
    return build_model(name, **{"classes": 2, **architecture(name, options)})


def build_start(name: str, options: Mapping[str, Any], classes: Sequence[str]) -> Network:
    """A network to be trained: with trained weights if timm's or torchvision's options name them, else with fresh ones.

    If the weights are for other classes, all of them are used except those of the last layer, which stays fresh.

    Args:
        name: The model, see `freqfast.models.build.build_model`.
        options: Its options; for timm's and torchvision's models also ``pretrained``, for the library's own weights, or
            ``weights``, the file of a state dict.
        classes: Names of the classes, one for each logit.

    Returns:
        The network, with what is known of its preprocessing.

    Raises:
        ValueError: If the model cannot be built, or its weights cannot be loaded or do not fit.
        FileNotFoundError: If there is no such file of weights.

    Examples:
        >>> network = build_start("resnet18", {"width": 8}, classes=["cat", "dog"])
        >>> network.module.fc.out_features, network.preprocessing.mean
        (2, None)
    """
    path, own = check_start(name, options), architecture(name, options)
    spec = ModelSpec(name, {"classes": len(classes), **own})
    module, state, stated = spec.build(), None, Preprocessing()
    if path is not None:
        state = without_prefixes(load_state(path), module.state_dict())
        stated = timm_preprocessing(module) if name.startswith("timm:") else stated
    elif _is_library(name) and options.get("pretrained"):
        trained, stated = build_pretrained(name, **own)
        state = trained.state_dict()
    if state is not None:
        state = _with_head(state, module.state_dict(), len(classes))
        load_weights(module, state, f"{name} with {len(classes)} classes")
    return Network(name, module, stated, tuple(classes), spec)


def _is_library(name: str) -> bool:
    return name.partition(":")[0] in LIBRARIES


def _with_head(state: Mapping[str, Tensor], fresh: Mapping[str, Tensor], classes: int) -> dict[str, Tensor]:
    """A state dict with the fresh tensors of a layer whose number of classes differs."""
    changed = {
        key: new
        for key, new in fresh.items()
        if key in state
        and new.shape[1:] == state[key].shape[1:]
        and new.shape[:1] == (classes,) != state[key].shape[:1]
    }
    return {**state, **changed}
