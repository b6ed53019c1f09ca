"""Anti-aliasing: a low-pass before each stride, against the frequencies that the stride would fold.

A stride of two keeps frequencies up to 1/4 cycles/pixel and folds those above onto them. Before a strided convolution
the low-pass changes the input; in a strided max-pool it stands between the maximum and the stride (Zhang, 2019,
arXiv:1904.11486). In a model, a low-pass consists of a hook and a buffer of its layer. The buffer is in the state dict,
so that a strict load notices a missing low-pass.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from freqfast.spectral.surgery import add_hook, remove_hook, spatial_convs, unwrap
from freqfast.spectral.tensors import check_floating, constant

LOW_PASS_BUFFERS = {"triangle": "low_pass_triangle", "flc": "low_pass_flc"}
"""By kind, the name of the buffer of a layer with a low-pass. It holds the stride, ``(2,)`` whole numbers."""


def low_pass(images: Tensor, stride: tuple[int, int]) -> Tensor:
    """Weight the neighbourhood of each pixel of ``(N, C, H, W)`` or ``(C, H, W)`` by a triangle along both axes.

    For a stride ``s`` the triangle has ``2 s - 1`` taps, ``(1, 2, 1) / 4`` for a stride of two, and the amplitude
    response ``(sin(pi s f) / (s sin(pi f)))^2``, which is zero wherever the stride would fold onto DC. Borders are
    padded with zeros.
    """
    check_floating(images)
    channels = images.shape[-3]
    kernel = _triangle(stride, images.dtype, images.device).expand(channels, 1, -1, -1)
    return nn.functional.conv2d(images, kernel, padding=(stride[0] - 1, stride[1] - 1), groups=channels)


@constant
def _triangle(stride: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The triangles' product, ``(2 s - 1, 2 s - 1)`` for a stride ``s`` along both axes; it sums to 1."""
    taps = ([(s - abs(offset)) / s**2 for offset in range(1 - s, s)] for s in stride)
    vertical, horizontal = (torch.tensor(each, dtype=dtype, device=device) for each in taps)
    return torch.outer(vertical, horizontal)


def ideal_low_pass(images: Tensor, stride: tuple[int, int]) -> Tensor:
    """Remove from the DFT of ``(N, C, H, W)`` or ``(C, H, W)`` the frequencies that a stride cannot keep.

    Along both axes, frequencies below ``1 / (2 s)`` cycles/pixel pass and those above do not, for a stride ``s``; half
    of what lies exactly there passes. Every s-th pixel of the result is the FLC pooling of Grabinski et al. (2022,
    arXiv:2204.00491) where the stride is 2 and the sizes are multiples of 4, except that at the limit of both axes
    their crop takes one of the two diagonals, and this function half of each; at other sizes their crop is off centre.
    As the DFT is periodic, an image continues at its opposite border.

    Examples:
        >>> ideal_low_pass(torch.tensor([[[3.0, 1.0, 3.0, 1.0]]]), (1, 2))
        tensor([[[2., 2., 2., 2.]]])
    """
    check_floating(images)
    vertical, horizontal = (
        _ideal_matrix(size, s, images.dtype, images.device) for size, s in zip(images.shape[-2:], stride, strict=True)
    )
    rows = images.movedim(-3, -1)  # as convolutions have images in memory
    passed = (vertical @ rows.flatten(-2)).view(rows.shape)
    return (horizontal @ passed).movedim(-1, -3)


@constant
def _ideal_matrix(size: int, stride: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The ideal low-pass along one axis, ``(size, size)``."""
    excess = 2 * stride * np.abs(np.fft.ifftshift(np.arange(size) - size // 2)) - size  # in whole numbers, so exact
    at_limit = 0.5 if stride > 1 else 1.0  # without a stride both halves lie in the last bin
    gain = np.where(excess < 0, 1.0, np.where(excess == 0, at_limit, 0.0))
    matrix = np.fft.ifft(gain[:, None] * np.fft.fft(np.eye(size), axis=0), axis=0).real
    return torch.from_numpy(matrix).to(device, dtype)


def _low_pass_input(conv: Any, inputs: tuple) -> tuple:
    """A convolution's forward pre-hook; a function of the module, so that models stay picklable."""
    return (_low_passed(conv, inputs[0]), *inputs[1:])


def _low_pass_maxima(pool: Any, inputs: tuple, output: Tensor) -> Tensor:
    """A max-pool's forward hook: its output, low-passed before the stride."""
    maxima = nn.functional.max_pool2d(inputs[0], pool.kernel_size, 1, pool.padding, pool.dilation)
    down, right = _stride(pool)
    return _low_passed(pool, maxima)[..., ::down, ::right]


def _low_passed(layer: nn.Module, images: Tensor) -> Tensor:
    change = ideal_low_pass if hasattr(layer, LOW_PASS_BUFFERS["flc"]) else low_pass
    return change(images, _stride(layer))


def _stride(layer: Any) -> tuple[int, int]:
    return _pair(layer.stride)


def _kind(module: nn.Module) -> str | None:
    """The kind of a module's low-pass, None without one."""
    return next((kind for kind, buffer in LOW_PASS_BUFFERS.items() if buffer in module._buffers), None)


def apply_antialiasing(model: nn.Module, layers: Sequence[str] | None = None, kind: str = "triangle") -> nn.Module:
    """Put a low-pass before the strides of a model, in place; parameters and their names stay.

    Args:
        model: Any model with strided convolutions or max-pools; wrappers are looked through.
        layers: Names of these layers, or the name of one; by default `strided_layers`.
        kind: "triangle" for `low_pass`, "flc" for `ideal_low_pass`.

    Returns:
        The same model. Each of these layers has one more buffer, see `LOW_PASS_BUFFERS`.

    Raises:
        ValueError: If a layer is neither a strided convolution nor a strided max-pool, or has a low-pass already, if
            there is none, or if the kind is unknown.

    Examples:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2))
        >>> list(apply_antialiasing(model)[2].state_dict())
        ['weight', 'bias', 'low_pass_triangle']
    """
    if kind not in LOW_PASS_BUFFERS:
        raise ValueError(f"kind must be one of {', '.join(LOW_PASS_BUFFERS)}, got {kind!r}")
    if layers is None:
        layers = strided_layers(model)
    network = unwrap(model)
    modules: dict[str, Any] = dict(network.named_modules())
    names = dict.fromkeys([layers] if isinstance(layers, str) else layers)
    for name in names:
        if not _is_strided(modules.get(name)):
            raise ValueError(
                f"layer {name!r} is neither a strided Conv2d nor a strided MaxPool2d without ceil_mode and "
                "return_indices, so it gets no low-pass"
            )
        if there := _kind(modules[name]):
            raise ValueError(
                f"layer {name!r} has a low-pass of kind {there!r} already; go on with that kind, or call "
                "remove_antialiasing first"
            )
    device = next((parameter.device for parameter in network.parameters()), None)
    for name in names:
        layer = modules[name]
        layer.register_buffer(LOW_PASS_BUFFERS[kind], torch.tensor(_stride(layer), device=device))
        add_hook(*_hook(layer))
    return model


def strided_layers(model: nn.Module) -> list[str]:
    """Names of the strided convolutions except the first spatial convolution; a ValueError if there is none."""
    network = unwrap(model)
    first = next(iter(spatial_convs(network)), "")
    strided = {name: module for name, module in network.named_modules() if _is_strided(module) and name != first}
    if layers := [name for name, module in strided.items() if isinstance(module, nn.Conv2d)]:
        return layers
    pools = f"; name its max-pools with layers=, such as {', '.join(list(strided)[:3])}" if strided else ""
    raise ValueError(f"{type(network).__name__} has no strided Conv2d beyond its first convolution{pools}")


def _is_strided(module: nn.Module | None) -> bool:
    if type(module) is nn.MaxPool2d:
        return max(_stride(module)) > 1 and not (module.ceil_mode or module.return_indices)
    return isinstance(module, nn.Conv2d) and max(module.stride) > 1


def _hook(layer: nn.Module) -> tuple[Any, Callable]:
    """The hooks of a layer that its low-pass belongs to, and the low-pass."""
    if isinstance(layer, nn.MaxPool2d):
        return layer._forward_hooks, _low_pass_maxima
    return layer._forward_pre_hooks, _low_pass_input


def antialiased_layers(model: nn.Module, kind: str | None = None) -> list[str]:
    """Names of the layers that have a low-pass, of any kind or of the given one."""
    kinds = LOW_PASS_BUFFERS if kind is None else (kind,)
    return [name for name, module in unwrap(model).named_modules() if _kind(module) in kinds]


def remove_antialiasing(model: nn.Module) -> nn.Module:
    """Remove every low-pass from a model, in place.

    Args:
        model: Any model.

    Returns:
        The same model.

    Examples:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2))
        >>> antialiased_layers(remove_antialiasing(apply_antialiasing(model)))
        []
    """
    for module in unwrap(model).modules():
        if kind := _kind(module):
            delattr(module, LOW_PASS_BUFFERS[kind])
            remove_hook(*_hook(module))
    return model
