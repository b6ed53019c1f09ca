"""The base of callbacks that pass changed copies of each training image through the network beside the image."""

from typing import Any

from fastai.callback.training import GradientAccumulation
from torch import Tensor

from freqfast.callbacks.pixels import PixelCallback
from freqfast.methods.base import Method
from freqfast.methods.pixels import ViewsMethod
from freqfast.methods.several import check_together
from freqfast.spectral.tensors import at_least_float32


class ViewsCallback(ViewsMethod, PixelCallback):
    """A `freqfast.methods.ViewsMethod` in a Learner.

    Predictions, metrics and the displayed loss are those of the batch itself. Training minimises what `combine` makes
    of the batch and its views, plus what other callbacks add to the loss.
    """

    @property
    def order(self) -> int:  # type: ignore[override]
        """After MixUp and CutMix (0), before callbacks that change single samples, add to the loss or scale it."""
        return GradientAccumulation.order - (2 if self.views else 1)

    def before_train(self) -> None:
        """Check that no other callback adds views."""
        check_together([cb for cb in self.learn.cbs if isinstance(cb, ViewsMethod)])
        super().before_train()

    def after_pred(self) -> None:
        """Leave the batch's own inputs and predictions to the loss, the metrics and other callbacks."""
        if self.views:
            self.learn.pred, *self._views = self.learn.pred.chunk(self.passes_per_image)
            self.learn.xb = tuple(inputs.chunk(self.passes_per_image)[0] for inputs in self.learn.xb)

    def after_loss(self) -> None:
        """Replace the loss that training minimises."""
        if self.views:
            views, self._views = [at_least_float32(view) for view in self._views], []
            learn = self.learn
            added = learn.loss_grad - learn.loss  # by callbacks before this one, such as penalties

            def criterion(outputs: Tensor, _: Any) -> Tensor:
                return learn.loss_func(outputs, *learn.yb)

            for cb in learn.cbs:
                criterion = cb.criterion(criterion) if isinstance(cb, Method) else criterion
            learn.loss_grad = self.combine(criterion, learn.loss, [learn.pred, *views], learn.yb[0]) + added
