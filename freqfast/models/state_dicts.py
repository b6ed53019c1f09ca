"""Weights that others saved: state dicts, read from safetensors files and from what `torch.save` wrote."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastcore.foundation import L
from safetensors.torch import load_file
from torch import Tensor

__all__ = ["load_state"]

_NESTED = ("state_dict", "model_state_dict", "model")  # where training scripts put the weights in their checkpoints

_OPTIMIZER_TYPES = [L, np.dtype, type(np.dtype(np.float64)), np.float64().__reduce__()[0]]
"""What fastai's `Learner.save` writes besides tensors: a list of hyperparameters, some of them NumPy's numbers."""


def load_state(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict; nothing in it is executed.

    Args:
        path: A safetensors file, or one that `torch.save` wrote of a state dict, which may lie under "state_dict",
            "model_state_dict" or "model", as in fastai's `Learner.save`. The prefix ``module.`` of DataParallel goes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, holds more than tensors, or a tensor is not dense, real and finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; name a file of weights, .safetensors, .pth or .pt")
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            _check_zip(path)
            # Warnings are of a pickle's protocol, say; what matters is an error.
            with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(_OPTIMIZER_TYPES):
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make both raise nearly anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
        if isinstance(error, pickle.UnpicklingError):  # where PyTorch's own words advise to allow it
            reason = "it is damaged or holds more than tensors"
        raise ValueError(
            f"{path} cannot be read as weights ({reason}); save model.state_dict(), best as safetensors: "
            "files that must be unpickled are refused"
        ) from None
    while isinstance(state, Mapping):
        nested = next((state[key] for key in _NESTED if isinstance(state.get(key), Mapping)), None)
        if nested is None:
            break
        state = nested
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict, neither by itself nor under {', '.join(_NESTED)}")
    state = {str(key): value for key, value in state.items()}
    for name, tensor in state.items():
        _check_values(path, name, tensor)
    while all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def _check_values(path: Path, name: str, tensor: Tensor) -> None:
    special = tensor.layout is not torch.strided or tensor.is_nested or tensor.is_quantized or tensor.is_meta
    if special or tensor.is_complex():
        raise ValueError(f"{path}: {name} is no dense tensor of real numbers; save the state dict of a plain model")
    if not tensor.isfinite().all():
        raise ValueError(f"{path}: {name} holds values that are not finite; its training diverged or it is damaged")


def _check_zip(path: Path) -> None:
    """Refuse a zip archive that unpacks to more than its size: `torch.save` compresses nothing."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > path.stat().st_size:
            raise ValueError(f"it unpacks to {size:,} bytes, more than it has")
