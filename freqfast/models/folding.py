"""Folding BatchNorm into the convolution before it: the same function in less time."""

from collections import Counter

from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from freqfast.spectral.surgery import copy_model, has_foreign_pre_hooks, unwrap


class _Caller(nn.Module):
    """Calls a network with images alone.

    Of a network itself `torch.fx` would trace the forward of its class, with a tensor for each optional argument.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.forward(images)  # without its hooks, which may keep what they get


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy of a model in eval mode, with each BatchNorm2d that directly follows a Conv2d folded into it.

    In eval mode BatchNorm is an affine map of each channel, so the convolution can take it over: its weight is scaled
    and its bias shifted, and BatchNorm passes its input on. Which BatchNorm follows which convolution is read from the
    graph that `torch.fx` traces when the model is called with images alone. A convolution on which anything else may
    depend stays as it is: one with a forward of its own, with a hook that is not freqfast's, with several users, that
    is called twice, or whose weight is computed or read elsewhere. A model that cannot be traced, because its control
    flow depends on its input, also stays as it is.

    Args:
        model: In eval mode; it is not changed.

    Returns:
        A module of the same class that computes the same function, up to rounding.
    """
    model = copy_model(model)
    caller = _Caller(unwrap(model))
    try:
        graph = fx.Tracer().trace(copy_model(caller))  # a copy, in which a model may keep what it is traced with
    except Exception:  # a model may raise anything when its inputs are no tensors
        return model
    modules = dict(caller.named_modules(remove_duplicate=False))
    calls = Counter(id(modules[str(node.target)]) for node in graph.nodes if node.op == "call_module")
    read = {id(modules.get(str(node.target).rpartition(".")[0])) for node in graph.nodes if node.op == "get_attr"}
    for node in graph.nodes:
        source = node.args[0] if node.args else None
        if not (isinstance(source, fx.Node) and node.op == source.op == "call_module" and len(source.users) == 1):
            continue
        conv, norm = modules[str(source.target)], modules[str(node.target)]
        alone = all(calls[id(module)] == 1 and id(module) not in read for module in (conv, norm))
        if alone and _can_fold(conv, norm):
            # In place, so that it holds by whatever other name or list the model reaches them.
            folded = fuse_conv_bn_eval(conv, norm)
            conv.weight, conv.bias = folded.weight, folded.bias
            norm.forward = _unchanged
    return model


def _unchanged(images: Tensor) -> Tensor:
    return images


def _can_fold(conv: nn.Module, norm: nn.Module) -> bool:
    """Whether these are a plain convolution and a plain BatchNorm, between which nobody looks."""
    return (
        type(conv) is nn.Conv2d
        and type(norm) is nn.BatchNorm2d
        and norm.running_mean is not None
        and not (conv.training or norm.training or "forward" in vars(conv) | vars(norm))
        and not (conv._forward_hooks or norm._forward_hooks or norm._forward_pre_hooks)
        and "weight" in conv._parameters
        and not has_foreign_pre_hooks(conv)  # which may set the weight
    )
