"""Low-pass before strides."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from freqfast.methods.base import Method
from freqfast.spectral.antialiasing import antialiased_layers, apply_antialiasing, strided_layers


class Antialiasing(Method):
    """Low-passes before strides: the input of strided convolutions, and the maxima of max-pools that are named.

    Each of these layers that has no low-pass yet is given one when the method is attached. It has no
    parameters and is part of the network from then on; `freqfast.remove_antialiasing` removes it. The kinds are

    - "triangle", a `freqfast.spectral.antialiasing.low_pass` of a few taps (Zhang, 2019, arXiv:1904.11486);
    - "flc", a `freqfast.spectral.antialiasing.ideal_low_pass` of the whole spectrum (FLC pooling, Grabinski et al.,
      2022, arXiv:2204.00491, where the convolution acts on the smaller map; here it keeps its stride).

    Args:
        layers: Names of strided convolutions and max-pools (without ``ceil_mode`` and ``return_indices``); by default
            every strided convolution except the model's first spatial convolution.
        kind: "triangle" or "flc".

    Raises:
        ValueError: If the kind is unknown or `layers` is empty; when attached, if a layer is neither a
            strided convolution nor a strided max-pool, or has a low-pass of another kind, or if no layers are named and
            the model has no such convolution.

    Examples:
        >>> Antialiasing(["layer2.0.conv1"], kind="flc").layers
        ['layer2.0.conv1']
    """

    layers: str | Sequence[str] | None = None
    kind: Literal["triangle", "flc"] = "triangle"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers is not None and not self.layers:
            raise ValueError("layers names no layer; leave it out for every strided convolution")

    def _install(self, model: nn.Module) -> None:
        named = [self.layers] if isinstance(self.layers, str) else self.layers
        there = antialiased_layers(model, self.kind)  # as in a loaded model
        lacking = [layer for layer in named or strided_layers(model) if layer not in there]
        apply_antialiasing(model, lacking, self.kind)
