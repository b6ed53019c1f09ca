"""Anti-aliasing: a strided convolution meets an input without most of what its stride would fold.

A stride of two keeps frequencies up to 1/4 cycles/pixel; what its input holds above is folded onto them, so that the
high frequencies that the first layer passes on come back as low ones further up. A low-pass before it prevents that
(Zhang, 2019, arXiv:1904.11486).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from freqfast.spectral.surgery import add_pre_hook, first_spatial_conv, remove_pre_hook, unwrap
from freqfast.spectral.tensors import constant

__all__ = ["antialiased_layers", "apply_antialiasing", "low_pass", "remove_antialiasing"]


def low_pass(images: Tensor, stride: tuple[int, int]) -> Tensor:
    """Weight each pixel's neighbourhood by a triangle along both axes, ``(1, 2, 1) / 4`` for a stride of two.

    For a stride ``s`` the triangle has ``2 s - 1`` taps and the amplitude response
    ``(sin(pi s f) / (s sin(pi f)))^2``, which is zero wherever the stride would fold onto DC. Borders are padded with
    zeros, as those of convolutions are.

    Args:
        images: ``(N, C, H, W)``, or ``(C, H, W)``, floating point.
        stride: That of the convolution, ``(vertical, horizontal)``.

    Returns:
        Same shape and dtype.
    """
    channels = images.shape[-3]
    kernel = _kernel(stride, images.dtype, images.device).expand(channels, 1, -1, -1)
    return nn.functional.conv2d(images, kernel, padding=(stride[0] - 1, stride[1] - 1), groups=channels)


@constant
def _kernel(stride: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The triangles' product, ``(2 s - 1, 2 s - 1)`` for a stride ``s`` along both axes; it sums to 1."""
    vertical, horizontal = (torch.tensor(_triangle(s), dtype=dtype, device=device) for s in stride)
    return torch.outer(vertical, horizontal)


def _triangle(stride: int) -> list[float]:
    return [(stride - abs(offset)) / stride**2 for offset in range(1 - stride, stride)]


def _low_pass_input(conv: nn.Module, inputs: tuple) -> tuple:
    """Forward pre-hook; a function of the module, so that models stay picklable."""
    return (low_pass(inputs[0], conv.stride), *inputs[1:])  # type: ignore[arg-type]


def apply_antialiasing(model: nn.Module, layers: Sequence[str] | None = None) -> nn.Module:
    """Put a `low_pass` before a model's strided convolutions, in place; parameters and their names stay.

    Args:
        model: Any model with strided convolutions; DistributedDataParallel and torch.compile wrappers are looked
            through.
        layers: Names of the convolutions, or the name of one; by default all with a stride but for the first spatial
            one of the model, whose filters decide themselves what they pass.

    Returns:
        The same model.

    Raises:
        ValueError: If a layer is no convolution with a stride, or has a low-pass already, or there is none.
    """
    network = unwrap(model)
    modules = dict(network.named_modules())
    if layers is None:
        first, _ = first_spatial_conv(network) or ("", None)
        layers = [name for name, module in modules.items() if _is_strided(module) and name != first]
        if not layers:
            raise ValueError(f"{type(network).__name__} has no Conv2d with a stride beyond its first convolution")
    layers = [layers] if isinstance(layers, str) else list(dict.fromkeys(layers))
    for name in layers:
        if not _is_strided(modules.get(name)):
            raise ValueError(f"layer {name!r} is no Conv2d with a stride, so there is nothing to low-pass")
        if _has_low_pass(modules[name]):
            raise ValueError(f"layer {name!r} has a low-pass already; call remove_antialiasing first")
    for name in layers:
        add_pre_hook(modules[name], _low_pass_input)
    return model


def _is_strided(module: nn.Module | None) -> bool:
    return isinstance(module, nn.Conv2d) and max(module.stride) > 1


def antialiased_layers(model: nn.Module) -> list[str]:
    """Names of the convolutions that have a `low_pass`."""
    return [name for name, module in unwrap(model).named_modules() if _has_low_pass(module)]


def _has_low_pass(module: nn.Module) -> bool:
    return _low_pass_input in module._forward_pre_hooks.values()


def remove_antialiasing(model: nn.Module) -> nn.Module:
    """Take every `low_pass` out of a model, in place."""
    for module in model.modules():
        remove_pre_hook(module, _low_pass_input)
    return model
