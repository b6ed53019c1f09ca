"""Perturb the spectrum of training samples."""

from freqfast import methods
from freqfast.callbacks.pixels import PixelCallback


class SpectrumPerturbation(methods.SpectrumPerturbation, PixelCallback):
    """`freqfast.methods.SpectrumPerturbation` in a Learner."""
