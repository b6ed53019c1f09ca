"""Enforce frequency proportions on the first convolution's filters."""

from freqfast import methods
from freqfast.callbacks.base import MethodCallback
from freqfast.callbacks.columns import BandColumns


class FrequencyProportion(methods.FrequencyProportion, BandColumns, MethodCallback):
    """`freqfast.methods.FrequencyProportion` in a Learner, where it projects before the first step of a fit."""

    def before_train(self) -> None:
        """Assign the filters at the first batch of a fit, and project them."""
        self.enforce(assign=self.learn.train_iter == 0)

    def after_step(self) -> None:
        """Project."""
        self.step()
