"""State dicts from other programs, in safetensors files or files of `torch.save`, and whether they fit a model."""

import pickle
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastcore.foundation import L
from safetensors.torch import load_file, save
from torch import Tensor, nn

from freqfast.files import replacing, require_file

_NESTED = ("state_dict", "model_state_dict", "model", "net")  # where training scripts put the weights

_COMPILED, _AVERAGED = "_orig_mod.", "n_averaged"  # names of torch.compile and of AveragedModel

_OPTIMIZER_TYPES = [L, np.dtype, type(np.dtype(np.float64)), np.float64().__reduce__()[0]]
"""What fastai's `Learner.save` writes besides tensors: a list of hyperparameters, some of them NumPy's numbers."""


def load_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a state dict, by their names in the file; nothing in the file is executed.

    Values are read when they are used: until then a large file takes no memory, unless `torch.save` wrote it in the
    format that PyTorch had before version 1.6.

    Args:
        path: A safetensors file, or a file that `torch.save` wrote. The state dict in it may lie under "state_dict",
            "model_state_dict", "model" or "net", as in fastai's `Learner.save`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is corrupt, holds more than tensors, or a tensor is not dense and real.
    """
    path = Path(path)
    require_file(path, "name a file of weights, .safetensors, .pth, .pt or .th")
    try:
        state: Any = load_file(path) if path.suffix == ".safetensors" else _load_pickled(path)
    except Exception as error:  # corrupt files make both raise nearly anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
        if isinstance(error, pickle.UnpicklingError):  # of which PyTorch says how to allow it
            reason = "it is corrupt or holds more than tensors"
        raise ValueError(
            f"{path} cannot be read as weights ({reason}); save model.state_dict(), best as safetensors: "
            "files that must be unpickled are refused"
        ) from None
    while key := next((key for key in _NESTED if isinstance(state, dict) and isinstance(state.get(key), dict)), None):
        if f"{key}_ema" in state:
            warnings.warn(f"{path}: {key!r} is taken; to take '{key}_ema', save it alone", stacklevel=2)
        state = state[key]
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict, neither by itself nor under {', '.join(_NESTED)}")
    try:
        require_savable(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; save the state dict of a plain model") from None
    return {str(name): tensor for name, tensor in state.items()}


def save_state(path: str | Path, model: nn.Module) -> None:
    """Write a model's state dict as a safetensors file, whole or not at all; its folder must exist.

    Raises:
        ValueError: As `require_savable`.
    """
    state = model.state_dict()
    require_savable(state)
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors))


def without_prefixes(state: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """A state dict without the prefixes that wrappers add to names: DataParallel, torch.compile, Lightning and others.

    ``_orig_mod.`` is kept or added only where the model's `names` have it. First parts that all names share, such as
    ``module.`` or ``model.``, are removed until most names match the model's, and no more than needed. The counter of
    torch's `AveragedModel` is removed too.

    Examples:
        >>> list(without_prefixes({"model.module._orig_mod.fc.bias": torch.ones(1)}, ["fc.weight", "fc.bias"]))
        ['fc.bias']
    """
    known = {name.replace(_COMPILED, ""): name for name in names}
    state = {
        name.replace(_COMPILED, ""): tensor for name, tensor in state.items() if name != _AVERAGED or name in known
    }
    found = [state]
    while len(heads := {"".join(name.partition(".")[:2]) for name in state}) == 1 and (head := heads.pop())[-1:] == ".":
        state = {name.removeprefix(head): tensor for name, tensor in state.items()}
        found.append(state)
    best = max(found, key=lambda state: len(state.keys() & known.keys()))
    return {known.get(name, name): tensor for name, tensor in best.items()}


def misfit(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """How tensors differ from a model's state dict in names, shapes and kinds of numbers; an empty text if they do not.

    Whole numbers may be given as floats, as by tools that convert all of a file.

    Examples:
        >>> misfit({"scale": torch.ones(3)}, {"scale": torch.ones(2), "bias": torch.ones(1)})
        '1 missing, the first is bias; 1 of another shape, the first is scale, (3,) for (2,)'
    """
    shared = [key for key, tensor in expected.items() if key in found and isinstance(tensor, Tensor)]
    faults = {
        "missing": [key for key in expected if key not in found],
        "unexpected": [key for key in found if key not in expected],
        "of another shape": [
            f"{key}, {tuple(found[key].shape)} for {tuple(expected[key].shape)}"
            for key in shared
            if isinstance(found[key], Tensor) and found[key].shape != expected[key].shape
        ],
        "of another kind": [
            f"{key}, {_kind(found[key])} for {_kind(expected[key])}"
            for key in shared
            if _kind(found[key]) != _kind(expected[key]) != "whole numbers"
        ],
    }
    return "; ".join(f"{len(keys)} {what}, the first is {keys[0]}" for what, keys in faults.items() if keys)


def _kind(value: Any) -> str:
    """What a value of a state dict is besides its name and shape."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        return str(value.layout) if isinstance(value, Tensor) else type(value).__name__
    return "complex numbers" if value.is_complex() else "floats" if value.is_floating_point() else "whole numbers"


def require_finite(tensors: Mapping[str, Any]) -> None:
    """Refuse weights that are not finite, or have no values; the ValueError names the first such tensor."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided:
            continue
        if tensor.is_meta:
            raise ValueError(f"{name} is on the meta device, where it has no values")
        if not tensor.isfinite().all():
            raise ValueError(f"{name} holds values that are not finite; the training diverged or the file is corrupt")


def require_tensors(state: Mapping[str, Any]) -> None:
    """Refuse a state dict that holds more than tensors, as a quantized layer's does; the ValueError names the first."""
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} is a {type(value).__name__}, a file of weights holds tensors")


def require_savable(state: Mapping[str, Any]) -> None:
    """Refuse a state dict that `save_state` cannot write, or `load_state` would not read; the ValueError says why."""
    require_tensors(state)
    for name, tensor in state.items():
        special = tensor.layout is not torch.strided or tensor.is_nested or tensor.is_quantized or tensor.is_meta
        if special or tensor.is_complex():
            raise ValueError(f"{name} is no dense tensor of real numbers, which a file of weights holds")


def _load_pickled(path: Path) -> Any:
    """What `torch.save` wrote, its tensors mapped rather than read where the format allows that."""
    if is_zip := zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as parts:  # whose checksums torch neither looks at nor, on request, writes
            if any(part.CRC for part in parts.infolist()) and (corrupt := parts.testzip()):
                raise ValueError(f"the checksum of {corrupt} in it is wrong")
    # Warnings are of a pickle's protocol, say; what matters is an error.
    with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(_OPTIMIZER_TYPES):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
