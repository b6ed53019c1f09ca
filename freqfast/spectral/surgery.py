"""Changes to models: find a convolution in any wrapper, copy any model, add hooks that survive pickling."""

import sys
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

_PAD_ONLY = {"Conv2dSame"}  # of timm: a forward of its own that pads the images and applies the weight as it is


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside (Distributed)DataParallel and torch.compile wrappers; a TypeError if it is not a module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def check_unwrapped(model: nn.Module) -> None:
    """Raise a ValueError for a model that is wrapped for several processes, which would not learn of a change."""
    kind = type(model).__name__
    if any(hasattr(parameter, "full_tensor") for parameter in unwrap(model).parameters()):
        kind = "FullyShardedDataParallel"
    if kind in ("DistributedDataParallel", "FullyShardedDataParallel"):
        raise ValueError(f"the model is in {kind} already, which does not follow changes; attach before wrapping")


def copy_model(model: nn.Module) -> nn.Module:
    """A deep copy, even if a module keeps a computed tensor, such as the weight under weight norm or pruning.

    torch refuses to copy such a tensor, which the module computes anew before each call, or keeps to be looked at.

    Raises:
        ValueError: If the model holds what Python cannot copy.
    """
    values = (value for module in model.modules() for value in _inside(vars(module)))
    computed = (value for value in values if isinstance(value, Tensor) and not value.is_leaf)
    try:
        return deepcopy(model, {id(value): value.detach().clone() for value in computed})
    except Exception as error:  # of a lock, an open file, a generator
        name, reason = type(model).__name__, " ".join(str(error).split())[:200]
        raise ValueError(f"{name} cannot be copied ({reason}); keep what cannot be copied outside of it") from error


def _inside(kept: Any) -> Iterator[Any]:
    """What lies in a value: in mappings and sequences, in those inside of them, or the value itself."""
    if isinstance(kept, (Mapping, list, tuple)):
        for value in kept.values() if isinstance(kept, Mapping) else kept:
            yield from _inside(value)
    else:
        yield kept


def spatial_convs(model: nn.Module) -> dict[str, nn.Conv2d]:
    """The convolutions larger than 1x1 by their names, in the order in which the modules were registered."""
    modules = model.named_modules()
    return {name: m for name, m in modules if isinstance(m, nn.Conv2d) and max(m.kernel_size) > 1}


def find_conv(model: nn.Module, layer: str | None = None, plain: bool = True) -> tuple[str, nn.Conv2d]:
    """The convolution that freqfast works on.

    Args:
        model: Any model; wrappers are looked through, see `unwrap`.
        layer: Dotted name of the convolution inside of them; by default the first of `spatial_convs`.
        plain: Whether its weight is used, and so has to be the filters that it applies.

    Returns:
        Its name and the module itself.

    Raises:
        ValueError: If there is no such convolution, the name is not that of a Conv2d or, with `plain`, the filters that
            the layer applies are not simply its weight (timm's ``StdConv2d``, a parametrised weight, a dilation), or
            the weight is not real.

    Examples:
        >>> find_conv(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 8, 3)))
        ('1', Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1)))
    """
    model = unwrap(model)
    if layer is None:
        if not (convs := spatial_convs(model)):
            raise ValueError(
                f"{type(model).__name__} has no spatial Conv2d; name one with layer=, or use another model"
            )
        name, conv = next(iter(convs.items()))
    else:
        modules = dict(model.named_modules())
        named = modules.get(layer)
        if not isinstance(named, nn.Conv2d):
            there = [n for n, m in modules.items() if isinstance(m, nn.Conv2d)]
            what = "not in the model" if named is None else f"a {type(named).__name__}, not a Conv2d"
            raise ValueError(
                f"layer {layer!r} is {what}; the first convolutions are {', '.join(there[:3]) or 'absent'}"
            )
        name, conv = layer, named
    if plain:
        _check_plain(name, conv)
    return name, conv


def _check_plain(name: str, conv: nn.Conv2d) -> None:
    if isinstance(conv, nn.modules.lazy.LazyModuleMixin) and conv.has_uninitialized_params():
        raise ValueError(f"layer {name!r} is not initialised yet; run one batch through the model first")
    if is_parametrized(conv, "weight") or "weight" not in conv._parameters:
        raise ValueError(f"the weight of layer {name!r} is reparametrised; remove the parametrisation first")
    plain, kind = nn.Conv2d, type(conv)
    own_forward = kind.forward is not plain.forward or kind._conv_forward is not plain._conv_forward
    if own_forward and kind.__name__ not in _PAD_ONLY and not getattr(conv, "applies_effective_weight", False):
        raise ValueError(
            f"layer {name!r} is a {kind.__name__} with a forward of its own, so its weight is not what it "
            "applies; name a plain Conv2d with layer="
        )
    if conv.weight.is_complex():
        raise ValueError(f"layer {name!r} has complex weights; name a layer of real ones with layer=")
    if max(conv.dilation) > 1:
        raise ValueError(
            f"layer {name!r} has a dilation of {conv.dilation}: its filters are its weight with zeros in between, "
            "which have another spectrum; name a layer without dilation with layer="
        )


def add_hook(hooks: Any, hook: Callable, first: bool = False) -> None:
    """Add a hook to a module's ``_forward_hooks`` or ``_forward_pre_hooks``, also in models that are compiled already.

    PyTorch numbers hooks from 0 in each process, so in a model that was pickled whole the next hook would replace a
    pickled one of the same number; this hook has a name instead, and survives. With `first`, it runs before the hooks
    that are there already.
    """
    key = f"freqfast.{hook.__name__}"
    hooks[key] = hook
    if first:
        hooks.move_to_end(key, last=False)
    if "torch._dynamo" in sys.modules:  # compiled graphs do not notice new hooks
        torch.compiler.reset()


def remove_hook(hooks: Any, hook: Callable) -> None:
    """Remove a hook that `add_hook` has added."""
    del hooks[f"freqfast.{hook.__name__}"]


def has_foreign_pre_hooks(module: nn.Module) -> bool:
    """Whether a module has forward pre-hooks that `add_hook` has not added."""
    return any(not str(key).startswith("freqfast.") for key in module._forward_pre_hooks)
