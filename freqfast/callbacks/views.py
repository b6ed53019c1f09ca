"""The base of callbacks that pass changed copies of each training image through the network beside the image."""

from collections.abc import Sequence

import torch
from fastai.callback.training import GradientAccumulation
from torch import Tensor

from freqfast.callbacks.pixels import PixelCallback
from freqfast.spectral.tensors import at_least_float32


class ViewsCallback(PixelCallback):
    """Passes views of each training batch through the network beside the batch, all in one forward pass.

    A view is the batch with a share of it replaced by `change`. Predictions, metrics and the displayed loss are those
    of the batch itself; training minimises what `combine` makes of the batch and its views, plus what other callbacks
    add to the loss. With 0 views, the batch itself is changed, as by any `PixelCallback`.

    Attributes:
        views: Number of views; subclasses set it.

    Raises:
        ValueError: As `PixelCallback`; in fit, also if another callback of the Learner adds views.
    """

    views = 1

    @property
    def order(self) -> int:  # type: ignore[override]
        """After MixUp and CutMix (0), before callbacks that change single samples, add to the loss or scale it."""
        return GradientAccumulation.order - (2 if self.views else 1)

    @property
    def passes_per_image(self) -> int:  # type: ignore[override]
        """Number of forward passes per image: one for the batch and one for each view."""
        return 1 + self.views

    def combine(self, loss: Tensor, views: Sequence[Tensor]) -> Tensor:
        """The loss that training minimises: here the mean of the losses of the batch's and its views' predictions."""
        losses = [self.learn.loss_func(view, *self.learn.yb) for view in views]
        return torch.stack([loss, *losses]).mean()

    def before_train(self) -> None:
        """Check that no other callback adds views, since each splits off its own views."""
        for other in self.learn.cbs:
            if other is not self and self.views and isinstance(other, ViewsCallback) and other.views:
                raise ValueError(
                    f"{self} and {other} both add views of each batch; leave one out, or have one change the batch"
                )

    def before_batch(self) -> None:
        """Append the views to the batch, or change the batch."""
        if not self.views:
            super().before_batch()
            return
        batch = self.learn.xb
        parts = [batch]
        for _ in range(self.views):
            self.learn.xb = batch
            super().before_batch()
            parts.append(self.learn.xb)
        self.learn.xb = tuple(torch.cat(inputs) for inputs in zip(*parts, strict=True))

    def after_pred(self) -> None:
        """Leave the batch's own inputs and predictions to the loss, the metrics and other callbacks."""
        if self.views:
            self.learn.pred, *self._views = self.learn.pred.chunk(self.passes_per_image)
            self.learn.xb = tuple(inputs.chunk(self.passes_per_image)[0] for inputs in self.learn.xb)

    def after_loss(self) -> None:
        """Replace the loss that training minimises."""
        if self.views:
            views, self._views = [at_least_float32(view) for view in self._views], []
            added = self.learn.loss_grad - self.learn.loss  # by callbacks before this one, such as penalties
            self.learn.loss_grad = self.combine(self.learn.loss, views) + added
