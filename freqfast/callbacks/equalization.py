"""Equalize the power spectrum of each sample before the first convolution."""

from freqfast import methods
from freqfast.callbacks.base import MethodCallback


class SpectrumEqualization(methods.SpectrumEqualization, MethodCallback):
    """`freqfast.methods.SpectrumEqualization` in a Learner, attached when it is added."""
