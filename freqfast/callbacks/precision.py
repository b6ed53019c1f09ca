"""Mixed precision on any device; fastai's is for CUDA only."""

import warnings

import torch
from fastai.learner import SkipToEpoch
from fastai.torch_core import to_float
from fastcore.foundation import L
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from freqfast.callbacks.base import FitCallback
from freqfast.compute.precision import resolve_precision
from freqfast.compute.small_maps import small_map_convolutions


class AutoPrecision(FitCallback):
    """Runs the model's forward pass under bfloat16 autocast where that pays, on the CPU too.

    Predictions, loss and weights stay float32; bfloat16 has float32's range, so there is no gradient scaler. Autocast
    covers the forward call alone, so that an exception or Ctrl-C cannot leave it switched on. On a CPU with AMX,
    convolutions with small output maps are made faster, see `freqfast.compute.small_maps`.

    Args:
        precision: "auto", "bfloat16" or "float32"; see `freqfast.compute.precision.resolve_precision`.

    Attributes:
        chosen: "bfloat16" or "float32", decided at each fit.

    Examples:
        >>> AutoPrecision("float32").precision
        'float32'
    """

    # The last callback before the forward call, so that no other can fail between the two.
    order = SkipToEpoch.order + 1000

    def __init__(self, precision: str = "auto") -> None:
        resolve_precision(precision, "cpu")
        self.precision = precision
        self.chosen: str | None = None

    def before_fit(self) -> None:
        """Decide once the model lies on its device."""
        self.chosen = resolve_precision(self.precision, next(self.learn.model.parameters()).device)
        if self.chosen == "bfloat16" and isinstance(self.learn.model, nn.DataParallel):
            warnings.warn(
                "nn.DataParallel's threads know no bfloat16, so this trains in float32; use DistributedDataParallel",
                stacklevel=2,
            )
            self.chosen = "float32"

    def before_batch(self) -> None:
        """Run the next forward call in bfloat16."""
        if self.chosen == "bfloat16":
            autocast_next_call(self.learn.model)


def autocast_next_call(model: nn.Module) -> None:
    """Replace a model's forward for one call, which puts it back and runs it under autocast, with float32 outputs."""
    own = model.__dict__.get("forward")  # of compiled models, and of those that users have patched

    def forward(*args: object, **kwargs: object) -> object:
        del model.__dict__["forward"]
        if own is not None:
            model.__dict__["forward"] = own
        device = next(model.parameters()).device.type
        with torch.autocast(device, torch.bfloat16), small_map_convolutions(model):
            output = model.forward(*args, **kwargs)
        return tree_map_only((Tensor, L), to_float, output)  # `to_float` alone fails at a namedtuple or None

    model.__dict__["forward"] = forward
