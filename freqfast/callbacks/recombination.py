"""Train on images recombined from two: amplitude and phase (APR), low and high frequencies (HybridAugment)."""

from freqfast import methods
from freqfast.callbacks.views import ViewsCallback


class AmplitudePhaseRecombination(methods.AmplitudePhaseRecombination, ViewsCallback):
    """`freqfast.methods.AmplitudePhaseRecombination` in a Learner."""


class HybridAugment(methods.HybridAugment, ViewsCallback):
    """`freqfast.methods.HybridAugment` in a Learner."""
