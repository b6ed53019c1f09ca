"""Equalize the power spectrum of each sample before the first convolution."""

from fastai.learner import Learner

from freqfast.callbacks.installing import LayerCallback
from freqfast.spectral.equalization import SpectrumEqualizer, apply_equalization

__all__ = ["SpectrumEqualization"]


class SpectrumEqualization(LayerCallback):
    """Gives every sample the training set's radial power spectrum before the first convolution.

    Adding it to a Learner, in any way, puts a `freqfast.spectral.equalization.SpectrumEqualizer` before the
    convolution, which follows the training batches and has no parameters. It is part of the network from then on:
    removing the callback leaves it there (`freqfast.remove_equalization` removes it). A layer that has one already, as
    in a loaded model, keeps it as it is. Since the convolution then has a submodule, fastai's `Learner.summary` leaves
    it out.

    Args:
        bins: Number of bins in radial frequency.
        exponent: Share of the deviation (in log power) that is taken back, in [0, 1].
        layer: Name of the convolution; the first spatial one by default.

    Raises:
        ValueError: If an argument is out of range; when added to a Learner, if the layer is neither a plain convolution
            nor a `SpectralConv2d`, or has a `SpectrumEqualization` already.

    Examples:
        >>> SpectrumEqualization(bins=4).exponent
        1.0
    """

    def __init__(self, bins: int = 12, exponent: float = 1.0, layer: str | None = None) -> None:
        SpectrumEqualizer(bins, exponent)  # raises if an argument is out of range
        self.bins, self.exponent, self.layer = bins, exponent, layer

    def _install(self, learn: Learner) -> None:
        conv = self._claim(learn)
        if not hasattr(conv, "equalizer"):  # else it is another Learner's or loaded: it goes on with its reference
            apply_equalization(learn.model, self.layer, self.bins, self.exponent)
