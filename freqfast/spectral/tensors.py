"""Helpers that the methods share: constants, precisions and checks of numbers."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

_P = ParamSpec("_P")
_T = TypeVar("_T")


def constant(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Cache tensors that depend on sizes, types and devices alone, and have `torch.compile` take them as constants.

    Tensors that are made while a tracer runs, such as `torch.export` or `torch.jit.trace`, are for that trace alone and
    are not cached.

    Raises:
        ValueError: If `torch.export` is asked to leave a size dynamic on which such a tensor depends.
    """
    # A first call in inference mode would otherwise keep what training cannot use.
    cached = lru_cache(maxsize=64)(torch.inference_mode(False)(function))

    @wraps(function)
    def look_up(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        if any(isinstance(argument, torch.SymInt) for argument in args):
            raise ValueError(
                f"height and width must be fixed, since {function.__module__} has constants that depend on them: leave "
                "them out of dynamic_shapes (an equalizer with bins=1 and triangular low-passes take any size)"
            )
        if torch.jit.is_tracing():  # type: ignore[attr-defined]  # which gives sizes as tensors, and compares two calls
            numbers = (int(argument) if isinstance(argument, Tensor) else argument for argument in args)
            return function(*numbers, **kwargs)  # type: ignore[arg-type]
        found = cached(*args, **kwargs)  # type: ignore[arg-type]  # they are hashable
        if any(type(part) is not Tensor for part in (found if isinstance(found, tuple) else (found,))):
            cached.cache_clear()
        return found

    return _assume_constant(look_up)


def _assume_constant(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """`torch.compiler.assume_constant_result` without its import of TorchDynamo, which takes longer than torch's."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def as_tensor(name: str, value: Tensor | np.ndarray, way_out: str = "") -> Tensor:
    """A tensor as it is, a NumPy array as a copy; a TypeError for anything else.

    A ValueError refuses tensors that are not a dense array of values.
    """
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value, order="C"))
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor or a NumPy array, got {type(value).__name__}{way_out}")
    if value.layout is not torch.strided or value.is_nested or value.is_meta:
        kind = "on the meta device" if value.is_meta else "nested" if value.is_nested else f"{value.layout}"
        raise ValueError(f"{name} must be a dense tensor with values, but is {kind}")
    return value


def in_float64(x: Tensor) -> Tensor:
    """The tensor in float64, on the same device, or on the CPU if the device has no float64 (Apple's MPS)."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def whole(x: Tensor) -> Tensor:
    """A tensor that is shared out among processes (FSDP2), gathered from all of them; any other as it is."""
    return x.full_tensor() if hasattr(x, "full_tensor") else x


def full_precision(device: torch.device) -> AbstractContextManager:
    """A context with autocast switched off, on devices that have autocast."""
    return torch.autocast(device.type, enabled=False) if _knows_autocast(device.type) else nullcontext()


@_assume_constant  # which TorchDynamo of torch 2.7 cannot trace
def _knows_autocast(device: str) -> bool:
    return torch.amp.is_autocast_available(device)


def at_least_float32(x: Tensor) -> Tensor:
    """Half types as float32 (FFTs and small linear algebra refuse them), others as they are."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def check_floating(*images: Tensor) -> None:
    """Raise a ValueError for images of an integer type: a result in that type would be zeros and ones."""
    for each in images:
        if not each.is_floating_point():
            raise ValueError(f"images must be floating point, got {each.dtype}; divide levels of 0 to 255 by 255")


def check_batch(*images: Tensor) -> None:
    """Raise a ValueError for input that is not a batch of images or has an integer type, see `check_floating`."""
    check_floating(*images)
    for each in images:
        if each.ndim != 4:
            raise ValueError(f"images must have shape (N, C, H, W), got {tuple(each.shape)}")


def check_not_negative(**values: float) -> None:
    """Raise a ValueError for the first number that is negative or not finite."""
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and not negative, got {value}")
