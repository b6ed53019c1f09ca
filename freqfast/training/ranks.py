"""A run on several ranks: fastai's DistributedDataParallel, each rank on its part of every batch.

The recipe's batch size is that of all ranks together. Initial weights and the order of the images are those of a single
process. If nothing is drawn at random, so are the steps, except for the order of sums. Crops, flips and perturbations
of images are drawn by each rank for itself; the noise of a `SpectralModulation` is the same on all ranks. BatchNorm
normalises by the rank's own part, and its running statistics are those of the first rank, as usual under
DistributedDataParallel; there is no SyncBatchNorm for the CPU.
"""

from importlib.util import find_spec

import torch

from freqfast.compute.ranks import Ranks
from freqfast.runs.recipe import Recipe

if find_spec("accelerate") is None:  # fastai.distributed fails without it, in other words
    raise ImportError("training on several ranks needs accelerate: pip install 'freqfast[distributed]'")

from fastai.distributed import DistributedTrainer
from fastai.learner import Learner
from fastai.torch_core import set_seed


class RankTrainer(DistributedTrainer):
    """fastai's `DistributedTrainer` for loaders that give each rank its part of a batch."""

    def __init__(self, ranks: Ranks, device: torch.device) -> None:
        # Precision is AutoPrecision's, and threads are the run's, whatever accelerate makes of its surroundings.
        threads = torch.get_num_threads()
        super().__init__(sync_bn=False, cpu=device.type == "cpu", mixed_precision="no")
        torch.set_num_threads(threads)
        self.ranks = ranks

    def _wrap_dl(self, dl: object) -> object:
        return dl

    def after_validate(self) -> None:
        """Add up what all ranks have measured, before the Recorder reads it."""
        recorder = self.learn.recorder
        for metric in (recorder.loss, *recorder.metrics):
            metric.total, metric.count = self.ranks.total(float(metric.total), metric.count)


def split_training(learn: Learner, ranks: Ranks, recipe: Recipe) -> None:
    """Give a rank its part of each batch, and random numbers of its own."""
    if recipe.batch_size % ranks.count:
        raise ValueError(
            f"a batch_size of {recipe.batch_size} cannot be split evenly over {ranks.count} ranks; choose a multiple"
        )
    if len(learn.dls.valid_ds) < ranks.count:
        raise ValueError(f"{len(learn.dls.valid_ds)} validation images are too few for {ranks.count} ranks")
    for loader in learn.dls.loaders:
        loader.part = (ranks.rank, ranks.count)
    if not ranks.is_first:  # which draws as a single process does
        set_seed((recipe.seed + 1_000_003 * ranks.rank) % 2**32)
