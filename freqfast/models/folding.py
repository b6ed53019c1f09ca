"""Folding BatchNorm into the convolution before it: the same function in less time."""

from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from freqfast.spectral.surgery import copy_model, unwrap


class _Caller(nn.Module):
    """Calls a network with images alone: of a network itself torch would trace all optional arguments."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.forward(images)


def fold_batch_norm(model: nn.Module) -> nn.Module | None:
    """A copy of a model in eval mode with each BatchNorm folded into the convolution that it follows, by torch.

    None if there is no BatchNorm, or torch cannot trace the model, whose control flow may depend on its input. The
    trace may miss what is not in the graph, such as a hook of the model or a weight that is set before each call:
    compare outputs with `same_logits` before the copy is used.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return None
    try:
        return fuse(_Caller(copy_model(unwrap(model))), inplace=True)
    except Exception:  # a model may raise anything when its inputs are no tensors
        return None


def same_logits(model: nn.Module, images: Tensor, expected: Tensor) -> bool:
    """Whether a model gives these logits for some images, up to rounding (of TF32 on a GPU)."""
    try:
        size = expected.nan_to_num(0, 0, 0).abs().max()
        return bool((model(images).isclose(expected, rtol=0, atol=0.01 * float(size), equal_nan=True)).all())
    except Exception:  # of outputs that are no tensors, too
        return False
