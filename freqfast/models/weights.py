"""Load weights that were saved from a network with parts of freqfast."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from freqfast.models import MODEL_FILE
from freqfast.models.file import Header, read_file
from freqfast.models.parts import Parts, install_parts, parts_in, remove_parts
from freqfast.models.state_dicts import load_state, misfit, require_finite, without_prefixes
from freqfast.spectral.surgery import unwrap


def load_weights(model: nn.Module, weights: str | Path | Mapping[str, Tensor], name: str = "the model") -> Parts:
    """Load weights into a model, after adding the parts of freqfast that they were trained with and the model lacks.

    Modulation, equalizer and low-passes are found in the state dict itself. Then a strict `load_state_dict` loads the
    weights; if that fails, the model stays as it was. Nothing in a file is executed.

    Call it before the optimizer is made: the optimizer of a Learner that has trained does not have the gains that this
    adds.

    Args:
        model: A network of the architecture that was saved, with or without parts of its own; wrappers are looked
            through.
        weights: A state dict; a file of one, from fastai's `Learner.save` or `torch.save`, or a safetensors file (see
            `freqfast.models.state_dicts.load_state`); freqfast's model file, or the run directory that holds it.
        name: What to call the model in messages.

    Returns:
        The parts that were added: none if the model had all of them, or the weights need none. Printed, they are one
        line. The sigma of a modulation, which matters only in training, is 0 unless freqfast's model file gives it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is corrupt or holds more than tensors, or the weights do not fit or are not finite.

    Examples:
        >>> make = lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2))
        >>> from freqfast import apply_antialiasing
        >>> trained, fresh = apply_antialiasing(make()), make()
        >>> print(load_weights(fresh, trained.state_dict()))
        low-pass (triangle) before 2
    """
    network = unwrap(model)
    header, state = (None, dict(weights)) if isinstance(weights, Mapping) else read_weights(weights)
    source = "the state dict" if isinstance(weights, Mapping) else weights
    state = without_prefixes({str(key): value for key, value in state.items()}, network.state_dict())
    parts = Parts()
    try:
        parts = parts_in(state, network)
        if header is not None:  # whose names of layers may have a prefix
            pairs = zip(header.parts.modulation, parts.modulation, strict=False)
            parts = replace(parts, modulation=tuple(replace(told, layer=found.layer) for told, found in pairs))
        install_parts(network, parts)
        _load(network, state)
    except ValueError as error:
        remove_parts(network, parts)
        raise ValueError(f"{source} does not fit {name}: {error}") from None
    return parts


def read_weights(path: str | Path) -> tuple[Header | None, dict[str, Tensor]]:
    """The description of a model file, if it is one of ours, and the state dict."""
    path = Path(path)
    path = path / MODEL_FILE if path.is_dir() else path
    state = load_state(path)
    try:
        return read_file(path)[0] if path.suffix == ".safetensors" else None, state
    except ValueError as error:
        raise ValueError(f"{path} cannot be loaded: {error}") from None


def _load(network: nn.Module, state: Mapping[str, Any]) -> None:
    """Load weights, as a strict `load_state_dict` judges them; a ValueError says if they do not fit or are not finite.

    Files from before BatchNorm had a counter of batches are loaded too. The versions of the network's modules are said
    for some that ask, such as torchvision's MNASNet.
    """
    own = network.state_dict()
    counters = {key: torch.zeros_like(tensor) for key, tensor in own.items() if key.endswith("num_batches_tracked")}
    complete = OrderedDict({**counters, **state})
    if faults := misfit(complete, own):
        raise ValueError(faults)
    require_finite(complete)
    complete._metadata = own._metadata  # type: ignore[attr-defined]
    try:
        network.load_state_dict(complete)
    except Exception as error:  # a model may load its weights in a way of its own
        raise ValueError(" ".join(str(error).split())[:300]) from None
