"""Estimate BatchNorm's running statistics anew at the end of training."""

from itertools import islice

from fastai.callback.core import Callback

from freqfast.callbacks.arguments import BatchNormEstimationArguments
from freqfast.spectral.batch_norm import estimate_batch_norm
from freqfast.spectral.surgery import unwrap


class BatchNormEstimation(BatchNormEstimationArguments, Callback):
    """Estimates BatchNorm's running statistics anew after the last epoch's steps, before its validation.

    From the training batches as the DataLoader gives them, without what callbacks change in them, see
    `freqfast.spectral.batch_norm.estimate_batch_norm`. A process of distributed training sees its part of the batches.

    Args:
        batches: Number of batches, each a forward pass; one epoch's at most.

    Raises:
        ValueError: If there is no batch.

    Examples:
        >>> BatchNormEstimation(batches=50).batches
        50
    """

    def after_train(self) -> None:
        """Estimate them after the last epoch's steps."""
        if self.epoch + 1 == self.n_epoch:
            images = (batch[0] for batch in islice(self.dls.train, self.batches))
            estimate_batch_norm(unwrap(self.learn.model), images)
