"""Equalize the power spectrum of each sample before the first convolution."""

from typing import Annotated, Any

from pydantic import Field
from torch import nn

from freqfast.methods.base import Method, OnLayer
from freqfast.methods.options import Positive
from freqfast.spectral.equalization import apply_equalization, equalized_layers


class SpectrumEqualization(OnLayer, Method):
    """Gives every sample the training set's radial power spectrum before the first convolution.

    Attaching it puts a `freqfast.SpectrumEqualizer` before the convolution. The equalizer learns
    its reference from the training batches and has no parameters. It is part of the network from then on;
    `freqfast.remove_equalization` removes it. If the layer has an equalizer already, as in a loaded model, training
    continues from its reference.

    Args:
        bins, exponent: As for `SpectrumEqualizer`.
        layer: Name of the convolution; the first spatial one by default.

    Raises:
        ValueError: If an argument is out of range; when attached, if there is no such convolution, or it has
            an equalizer of other arguments.

    Examples:
        >>> SpectrumEqualization(bins=4).exponent
        1.0
    """

    bins: Positive = 12
    exponent: Annotated[float, Field(ge=0, le=1)] = 1.0
    layer: str | None = None

    uses_weight = False

    def _install(self, model: nn.Module) -> None:
        conv: Any = self._find(model)
        if not equalized_layers(conv):
            apply_equalization(model, self.layer, self.bins, self.exponent)
        bins, exponent = len(conv.equalizer_reference), conv.equalizer_exponent
        if bins != self.bins or not exponent.isclose(exponent.new_tensor(self.exponent)):  # averages may be a bit off
            raise ValueError(
                f"the layer has an equalizer of bins={bins} and exponent={float(exponent):g} already, not of "
                f"bins={self.bins} and exponent={self.exponent:g}; pass these to go on with it, or call "
                "remove_equalization first"
            )
