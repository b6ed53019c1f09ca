"""Penalise the energy of the first convolution's filters outside a band."""

from fastai.callback.training import GradientAccumulation

from freqfast import methods
from freqfast.callbacks.base import MethodCallback


class SpectralDecay(methods.SpectralDecay, MethodCallback):
    """`freqfast.methods.SpectralDecay` in a Learner, attached when it is added; the displayed loss is without it."""

    run_valid = False
    order = GradientAccumulation.order - 1  # which scales what is there of the loss

    def after_loss(self) -> None:
        """Add the penalty."""
        self.learn.loss_grad = self.learn.loss_grad + self.penalty()
