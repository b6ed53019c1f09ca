"""Faster convolutions with small output maps, as in a ResNet's last stage, in bfloat16 on a CPU with AMX."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode

from freqfast.compute.precision import cpu_has_amx

# The sizes for which it is faster, measured with oneDNN 3 on AMX.
LARGEST_MAP = 16  # pixels: 4x4 is faster, 8x8 is not
SMALLEST_TRAINED = 2**18  # elements of the weight: 128 to 256 channels are faster, 128 to 128 hardly
SMALLEST = 2**20  # without gradients: 256 to 512 channels are faster, 256 to 256 are not


def small_map_convolutions(model: nn.Module) -> AbstractContextManager[object]:
    """`SmallMapConvolutions` if it is faster: on a CPU with AMX, for large convolutions; else a context without effect.

    A CPU with AVX512-BF16 and no AMX (a Zen 4) is slower with it; `tests/bench/bench_resnet.py` measures both.

    Examples:
        >>> with small_map_convolutions(nn.Conv2d(3, 8, 3)) as context:  # too small
        ...     print(context)
        None
    """
    device = next((p.device.type for p in model.parameters()), None)
    if device != "cpu" or not cpu_has_amx():
        return nullcontext()
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    large = any(9 * m.out_channels * m.in_channels // m.groups >= _smallest() for m in convs)
    return SmallMapConvolutions() if large else nullcontext()


class SmallMapConvolutions(TorchFunctionMode):
    """A context in which 3x3 convolutions in bfloat16 on a CPU with small output maps go through `small_map_conv2d`.

    Those have padding 1, at most 16 output pixels and at least 2^18 weights (2^20 without gradients), and run in
    bfloat16 by autocast or by their tensors' type; their results are those of `torch.nn.functional.conv2d` up to
    rounding. Other functions and devices are not changed.

    Examples:
        >>> conv = nn.Conv2d(256, 512, 3, padding=1)
        >>> with torch.autocast("cpu", torch.bfloat16), SmallMapConvolutions():
        ...     output = conv(torch.zeros(2, 256, 4, 4))
        >>> type(output.grad_fn).__name__
        '_StackedConvolutionBackward'
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Replace the convolution."""
        return (_conv2d if func is torch.conv2d else func)(*args, **(kwargs or {}))


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    step = stride[0] if isinstance(stride, (tuple, list)) else stride
    usual = stride in (step, (step, step)) and padding in (1, (1, 1)) and dilation in (1, (1, 1)) and groups == 1
    if usual and step > 0 and _pays(input, weight, step):
        return small_map_conv2d(input.bfloat16(), weight.bfloat16(), bias, stride=step)
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


def _pays(input: Tensor, weight: Tensor, stride: int) -> bool:
    return (
        input.ndim == 4
        and input.numel() > 0
        and input.shape[2] % stride == input.shape[3] % stride == 0
        and input.shape[2] * input.shape[3] <= LARGEST_MAP * stride**2
        and weight.shape[1:] == (input.shape[1], 3, 3)
        and weight.numel() >= _smallest()
        and input.device.type == weight.device.type == "cpu"
        and _computes_in_bfloat16(input, weight)
    )


def _smallest() -> int:
    return SMALLEST_TRAINED if torch.is_grad_enabled() else SMALLEST


def _computes_in_bfloat16(input: Tensor, weight: Tensor) -> bool:
    if torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16:
        return {input.dtype, weight.dtype} <= {torch.float32, torch.bfloat16}  # float64 is not cast
    return input.dtype == weight.dtype == torch.bfloat16


def small_map_conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """`torch.nn.functional.conv2d` with 3x3 kernels and padding 1, for many channels and a small output map.

    A library that convolves image by image reads all weights again for each image, and writes all their gradients: 5 MB
    for 16 pixels with 512 x 512 kernels. Here the batch's images are stacked into a single tall image, with rows of
    zeros between them as padding, so that the weights stay in the cache. The weights' gradient is one matrix product
    over the pixels of the whole batch.

    Args:
        input: ``(N, C, H, W)``, not empty, height and width multiples of the stride; channels-last is the fast format.
        weight: ``(O, C, 3, 3)``.
        bias: ``(O)`` or None.
        stride: Rows and columns from one output pixel to the next.

    Returns:
        ``(N, O, H / stride, W / stride)``, channels-last.
    """
    if stride > 1 and input.shape[3] == stride:
        # For a single column of output from a tall image, oneDNN 3.12 reads memory beyond the image.
        return F.conv2d(input, weight, bias, stride, padding=1).contiguous(memory_format=torch.channels_last)
    return _StackedConvolution.apply(input, weight, bias, stride)


class _StackedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.stride = stride
        return _unstack(F.conv2d(_stack(input, gap=stride), weight, bias, stride=stride, padding=1), len(input), gap=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        input, weight = ctx.saved_tensors
        by_input, by_weight, by_bias, _ = ctx.needs_input_grad
        return (
            _input_gradient(grad, input, weight, ctx.stride) if by_input else None,
            _weight_gradient(grad, input, ctx.stride) if by_weight else None,
            grad.sum((0, 2, 3)) if by_bias else None,
            None,
        )


def _stack(images: Tensor, gap: int) -> Tensor:
    """``(N, C, H, W)`` to ``(1, C, N * (H + gap), W)``, with `gap` rows of zeros below each image."""
    rows = F.pad(images.permute(0, 2, 3, 1), (0, 0, 0, 0, 0, gap))
    return rows.reshape(1, -1, *rows.shape[2:]).permute(0, 3, 1, 2)


def _unstack(stacked: Tensor, images: int, gap: int) -> Tensor:
    """The reverse of `_stack`, channels-last."""
    _, channels, rows, columns = stacked.shape
    apart = stacked.permute(0, 2, 3, 1).reshape(images, rows // images, columns, channels)
    return apart[:, : rows // images - gap].contiguous().permute(0, 3, 1, 2)


def _input_gradient(grad: Tensor, input: Tensor, weight: Tensor, stride: int) -> Tensor:
    height, width = input.shape[2:]
    shape = (1, weight.shape[1], len(input) * (height + stride), width)
    stacked = conv2d_input(shape, weight, _stack(grad, gap=1), stride=stride, padding=1)
    return _unstack(stacked, len(input), gap=stride)


def _weight_gradient(grad: Tensor, input: Tensor, stride: int) -> Tensor:
    """Pixels by output channels, transposed, times pixels by the input values under the kernel."""
    padded = F.pad(input.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    windows = padded.unfold(1, 3, stride).unfold(2, 3, stride).permute(0, 1, 2, 4, 5, 3)  # (N, H', W', 3, 3, C)
    seen = windows.reshape(-1, 9 * input.shape[1])
    pixels = grad.permute(0, 2, 3, 1).reshape(-1, grad.shape[1])
    return (pixels.T @ seen).view(-1, 3, 3, input.shape[1]).permute(0, 3, 1, 2)
