"""Finding the first convolution of a model, through the wrappers that models come in, and hooks that last."""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

__all__ = ["add_pre_hook", "find_conv", "first_spatial_conv", "remove_pre_hook", "unwrap"]


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside (Distributed)DataParallel and torch.compile wrappers."""
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def _refusal(name: str, conv: nn.Conv2d) -> str | None:
    """Why the filters of this convolution are not simply its weight; None where they are."""
    if isinstance(conv, nn.modules.lazy.LazyModuleMixin) and conv.has_uninitialized_params():
        return f"layer {name!r} is not initialised yet; run one batch through the model first"
    if is_parametrized(conv, "weight") or "weight" not in conv._parameters:
        return f"the weight of layer {name!r} is reparametrised; remove the parametrisation first"
    plain = nn.Conv2d
    own_forward = type(conv).forward is not plain.forward or type(conv)._conv_forward is not plain._conv_forward
    if own_forward and not getattr(conv, "applies_effective_weight", False):
        return (
            f"layer {name!r} is a {type(conv).__name__} with a forward of its own, so its weight is not what it "
            "applies; name a plain Conv2d with layer="
        )
    if max(conv.dilation) > 1:
        return (
            f"layer {name!r} has a dilation of {conv.dilation}, so its filters are its weight with zeros in between, "
            "whose spectrum is another one; name a layer without with layer="
        )
    return None


def first_spatial_conv(model: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """The first convolution larger than 1x1 in the order in which the modules were registered, and its name."""
    convs = ((name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d))
    return next(((name, conv) for name, conv in convs if max(conv.kernel_size) > 1), None)


def find_conv(model: nn.Module, layer: str | None = None) -> tuple[str, nn.Conv2d]:
    """The convolution that freqfast works on.

    Args:
        model: Any model; DistributedDataParallel and torch.compile wrappers are looked through.
        layer: Dotted name of the convolution inside the (unwrapped) model; by default the first spatial one, in the
            order in which the modules were registered.

    Returns:
        Its name and the module itself.

    Raises:
        ValueError: If there is none, the name is not that of a Conv2d, or the layer does something else with its weight
            than a plain convolution (timm's ``StdConv2d``, ``Conv2dSame``, a parametrised weight, a dilation).
    """
    model = unwrap(model)
    if layer is None:
        found = first_spatial_conv(model)
        if found is None:
            raise ValueError(
                f"{type(model).__name__} has no spatial Conv2d; name one with layer=, or use another model"
            )
        name, conv = found
    else:
        modules = dict(model.named_modules())
        if not isinstance(modules.get(layer), nn.Conv2d):
            convs = [n for n, m in modules.items() if isinstance(m, nn.Conv2d)]
            what = f"a {type(modules[layer]).__name__}" if layer in modules else "not in the model"
            raise ValueError(
                f"layer {layer!r} is {what}, not a Conv2d; the first ones are {', '.join(convs[:3]) or 'absent'}"
            )
        name, conv = layer, modules[layer]
    if reason := _refusal(name, conv):
        raise ValueError(reason)
    return name, conv


def add_pre_hook(module: nn.Module, hook: Callable, first: bool = False) -> None:
    """Put a forward pre-hook on a module that outlives pickling, and that graphs compiled before it do not miss.

    PyTorch numbers hooks from 0 in each process, so that in a model that was pickled whole the next one to be
    registered takes the place of one that came along; under a name it stays. And a compiled graph watches for no hooks.

    Args:
        module: The module.
        hook: A function of the module and its positional arguments, which gives the new ones.
        first: Before the hooks that are there, rather than after them.
    """
    hooks: Any = module._forward_pre_hooks  # an OrderedDict
    key = f"freqfast.{hook.__name__}"
    hooks[key] = hook
    if first:
        hooks.move_to_end(key, last=False)
    if "torch._dynamo" in sys.modules:  # else nothing is compiled, and importing it takes seconds
        torch.compiler.reset()


def remove_pre_hook(module: nn.Module, hook: Callable) -> None:
    """Take a forward pre-hook off a module, found by its function: earlier versions gave it a number."""
    for key in [key for key, found in module._forward_pre_hooks.items() if found is hook]:
        del module._forward_pre_hooks[key]
