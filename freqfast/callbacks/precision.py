"""Mixed precision on any device; fastai's own is for CUDA only."""

import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.torch_core import to_float
from torch import Tensor, nn

__all__ = ["AutoPrecision", "resolve_precision"]

PRECISIONS = ("auto", "bfloat16", "float32")


def resolve_precision(precision: str, device: torch.device | str) -> str:
    """Decide between bfloat16 and float32.

    Args:
        precision: "bfloat16", "float32", or "auto": bfloat16 where the device computes it natively (AVX512-BF16 or AMX on a
            CPU, Ampere or newer on CUDA), else float32.
        device: Where the model runs.

    Returns:
        "bfloat16" or "float32".

    Raises:
        ValueError: If the precision is none of the three.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision != "auto":
        return precision
    kind = torch.device(device).type
    if kind == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    elif kind == "cpu":
        native = _cpu_has_bfloat16()
    else:
        native = False
    return "bfloat16" if native else "float32"


def _cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively; emulation is slower than float32."""
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return any(found.get(name, False) for name in ("amx_bf16", "avx512_bf16", "arm_bf16", "bf16"))
    checks = (
        getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(check() for check in checks if check)


class AutoPrecision(Callback):
    """Runs the model's forward pass under bfloat16 autocast where that pays, on the CPU too; loss and weights stay float32.

    bfloat16 has float32's range, so there is no gradient scaler. Autocast covers the forward call itself and is left however
    that call ends, so that an exception or Ctrl-C cannot leave it switched on.

    Args:
        precision: "auto", "bfloat16" or "float32"; see `resolve_precision`.

    Attributes:
        chosen: "bfloat16" or "float32", decided at the first fit.
    """

    order = MixedPrecision.order

    def __init__(self, precision: str = "auto") -> None:
        resolve_precision(precision, "cpu")
        self.precision = precision
        self.chosen: str | None = None

    def before_fit(self) -> None:
        """Decide once the model lies on its device."""
        self._device_type = next(self.learn.model.parameters()).device.type
        self.chosen = resolve_precision(self.precision, next(self.learn.model.parameters()).device)

    def before_batch(self) -> None:
        """Send the next forward call through autocast."""
        if self.chosen == "bfloat16":
            _autocast_next_forward(self.learn.model, self._device_type)

    def after_pred(self) -> None:
        """Predictions in float32, for the loss and for whoever gathers them."""
        self.learn.pred = to_float(self.learn.pred)

    def after_fit(self) -> None:
        """Leave no trace of a batch that was cancelled before its forward call."""
        self.learn.model.__dict__.pop("forward", None)


def _autocast_next_forward(model: nn.Module, device_type: str) -> None:
    def forward(*args: Tensor, **kwargs: Tensor) -> Tensor:
        model.__dict__.pop("forward", None)
        with torch.autocast(device_type, torch.bfloat16):
            return model.forward(*args, **kwargs)

    model.__dict__["forward"] = forward
