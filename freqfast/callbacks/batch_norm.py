"""BatchNorm's running statistics: kept in training, or estimated anew at its end."""

from collections.abc import Iterator
from itertools import islice

from fastai.callback.core import TrainEvalCallback
from fastai.callback.tracker import SaveModelCallback
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from freqfast.callbacks.base import FitCallback
from freqfast.methods.options import Options, Positive
from freqfast.spectral.batch_norm import estimate_batch_norm
from freqfast.spectral.surgery import unwrap


class BatchNormEstimation(Options, FitCallback):
    """Estimates BatchNorm's running statistics anew after the last epoch's steps, before its validation.

    It also does so if a fit ends early or a `SaveModelCallback` restores the weights of another epoch; the file of such
    an epoch keeps the statistics that training left, so save anew after the fit. The batches are training batches as
    the DataLoader gives them, without the changes that callbacks make; in distributed training each process sees its
    own part. See `freqfast.spectral.batch_norm.estimate_batch_norm`.

    Args:
        batches: Number of batches, from 1, each of which takes one forward pass; at most one epoch is used.

    Examples:
        >>> BatchNormEstimation(batches=50).batches
        50
    """

    batches: Positive = 100

    order = SaveModelCallback.order + 1  # so that the weights are those that stay
    _estimated = False

    def before_train(self) -> None:
        """Note that the statistics are to be estimated."""
        self._estimated = False

    def after_train(self) -> None:
        """Estimate the statistics after the last epoch's steps."""
        if self.epoch + 1 == self.n_epoch:
            self._estimate()

    def after_fit(self) -> None:
        """Estimate the statistics if the fit ended early, or if the weights may be those of another epoch."""
        if self.learn.train_iter == 0 or self.is_finding_lr:  # 0 in a validation, which fires this event too
            return
        if not self._estimated or any(isinstance(cb, SaveModelCallback) for cb in self.learn.cbs):
            self._estimate()

    def _estimate(self) -> None:
        estimate_batch_norm(unwrap(self.learn.model), self._inputs())
        vars(self.dls.train).pop("it", None)  # fastai's iterator over an epoch left early cannot be copied
        self._estimated = True

    def _inputs(self) -> Iterator[tuple[Tensor, ...]]:
        """What the model takes of each batch, where it lies."""
        for batch in islice(self.dls.train, self.batches):
            self.learn._split(self.learn._set_device(batch))
            yield tuple(x.as_subclass(Tensor) if isinstance(x, Tensor) else x for x in self.learn.xb)


class BatchNormFreeze(Options, FitCallback):
    """Keeps BatchNorm's running statistics in training and normalises by them as in eval mode; its weights train.

    Use it to train a trained network further with few images or in small batches, whose own statistics would replace
    better ones. fastai's `BnFreeze` does the same, but only for layers whose weights do not train either.

    Examples:
        >>> from freqfast import find_recipe
        >>> list(find_recipe("robust_photographs").callbacks)
        ['spectrum_perturbation', 'distillation', 'batch_norm_freeze']
    """

    order = TrainEvalCallback.order + 1

    def before_train(self) -> None:
        """Put BatchNorm alone back into eval mode."""
        for module in unwrap(self.learn.model).modules():
            if isinstance(module, _BatchNorm):
                module.eval()
