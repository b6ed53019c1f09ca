"""Mixed precision on any device; fastai's own is for CUDA only."""

import warnings

import torch
from fastai.callback.core import Callback
from fastai.torch_core import to_float
from torch import nn

from freqfast.compute.precision import resolve_precision
from freqfast.compute.small_maps import small_map_convolutions

__all__ = ["AutoPrecision"]


class AutoPrecision(Callback):
    """Runs the model's forward pass under bfloat16 autocast where that pays, on the CPU too.

    Predictions, loss and weights stay float32; bfloat16 has float32's range, so there is no gradient scaler. Autocast
    covers the forward call itself and is left however that call ends, so that an exception or Ctrl-C cannot leave it
    switched on. On a CPU, convolutions with small output maps are made faster, see `freqfast.compute.small_maps`. The
    threads of `nn.DataParallel` would leave bfloat16 for float16, so with it the precision is float32, with a warning.

    Args:
        precision: "auto", "bfloat16" or "float32"; see `resolve_precision`.

    Attributes:
        chosen: "bfloat16" or "float32", decided at each fit.
    """

    # The last to see a batch, so that nothing can fail between its preparation and the forward call.
    order = 1000

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
        """Send the next forward call through autocast."""
        if self.chosen == "bfloat16":
            _AutocastOnce(self.learn.model)


class _AutocastOnce:
    """A model's forward under autocast, with float32 outputs, for one call: it first puts the model's own back."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.forward = model.forward
        # Compiled models, and such as users have patched, keep a forward in the instance itself.
        self.in_instance = "forward" in model.__dict__
        model.__dict__["forward"] = self

    def __call__(self, *args: object, **kwargs: object) -> object:
        if self.in_instance:
            self.model.__dict__["forward"] = self.forward
        else:
            del self.model.__dict__["forward"]
        device = next(self.model.parameters()).device.type
        with torch.autocast(device, torch.bfloat16), small_map_convolutions(self.model):
            return to_float(self.forward(*args, **kwargs))
