"""Train towards the outputs that another network, or the network itself before, gives for the unchanged images."""

from typing import Any

from fastai.callback.training import GradientAccumulation
from torch import Tensor

from freqfast import methods
from freqfast.callbacks.base import MethodCallback
from freqfast.callbacks.precision import AutoPrecision, autocast_next_call


class Distillation(methods.Distillation, MethodCallback):
    """`freqfast.methods.Distillation` in a Learner; the displayed training loss is what it trains by.

    Under `AutoPrecision` the teacher computes as the network does.
    """

    run_valid = False
    order = GradientAccumulation.order - 3  # after MixUp and CutMix (0), before callbacks that change or add images

    def before_batch(self) -> None:
        """Have the teacher see the batch before it is changed."""
        if any(isinstance(cb, AutoPrecision) and cb.chosen == "bfloat16" for cb in self.learn.cbs):
            autocast_next_call(self.source)
        self.teach(*(x.as_subclass(Tensor) if isinstance(x, Tensor) else x for x in self.learn.xb))

    def after_pred(self) -> None:
        """Replace the loss function for one call, which puts it back."""
        own = self.learn.loss_func

        def loss_func(outputs: Tensor, *labels: Any) -> Tensor:
            self.learn.loss_func = own
            return self.criterion(own)(outputs, *labels)

        self.learn.loss_func = loss_func
