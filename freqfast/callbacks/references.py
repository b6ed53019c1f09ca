"""Augmentations by other authors, for comparison with equal budget, share of each batch and range of pixels."""

from freqfast import methods
from freqfast.callbacks.pixels import PixelCallback
from freqfast.callbacks.views import ViewsCallback


class GaussianNoise(methods.GaussianNoise, PixelCallback):
    """`freqfast.methods.GaussianNoise` in a Learner."""


class AugMix(methods.AugMix, ViewsCallback):
    """`freqfast.methods.AugMix` in a Learner."""


class FourierBasisAugmentation(methods.FourierBasisAugmentation, ViewsCallback):
    """`freqfast.methods.FourierBasisAugmentation` in a Learner."""
