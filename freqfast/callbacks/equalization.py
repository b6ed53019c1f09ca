"""Equalize the power spectrum of each sample before the first convolution."""

from typing import Annotated, Any

from fastai.learner import Learner
from pydantic import Field

from freqfast.callbacks.base import LayerCallback
from freqfast.callbacks.options import Options, Positive
from freqfast.spectral.equalization import apply_equalization, equalized_layers


class SpectrumEqualization(Options, LayerCallback):
    """Gives every sample the training set's radial power spectrum before the first convolution.

    Adding the callback to a Learner puts a `freqfast.SpectrumEqualizer` before the convolution. The equalizer learns
    its reference from the training batches and has no parameters. It is part of the network from then on;
    `freqfast.remove_equalization` removes it. If the layer has an equalizer already, as in a loaded model, training
    continues from its reference.

    Args:
        bins, exponent: As for `SpectrumEqualizer`.
        layer: Name of the convolution; the first spatial one by default.

    Raises:
        ValueError: If an argument is out of range; when added to a Learner, if there is no such convolution, or it has
            an equalizer of other arguments.

    Examples:
        >>> SpectrumEqualization(bins=4).exponent
        1.0
    """

    bins: Positive = 12
    exponent: Annotated[float, Field(ge=0, le=1)] = 1.0
    layer: str | None = None

    uses_weight = False

    def _install(self, learn: Learner) -> None:
        conv: Any = self._find(learn)
        if not equalized_layers(conv):
            apply_equalization(learn.model, self.layer, self.bins, self.exponent)
        bins, exponent = len(conv.equalizer_reference), conv.equalizer_exponent
        if bins != self.bins or not exponent.isclose(exponent.new_tensor(self.exponent)):  # averages may be a bit off
            raise ValueError(
                f"the layer has an equalizer of bins={bins} and exponent={float(exponent):g} already, not of "
                f"bins={self.bins} and exponent={self.exponent:g}; pass these to go on with it, or call "
                "remove_equalization first"
            )

    def before_train(self) -> None:
        """Put back an equalizer that was removed, or another model lacks; refuse one that loading has changed."""
        self._install(self.learn)
