"""A run on several ranks: fastai's DistributedDataParallel, each rank on its part of every batch.

The recipe's batch size is that of all ranks together. Initial weights and the order of the images are those of one
process, and so is the step, but for the order of sums, where nothing is drawn at random: crops, flips and perturbations
are drawn apart by rank, the noise of a `SpectralModulation` alike. BatchNorm normalises by the rank's own part, and its
running statistics are the first rank's, as DistributedDataParallel has it; there is no SyncBatchNorm for the CPU.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch

from freqfast.compute.ranks import Ranks
from freqfast.runs.directory import RunDirectory
from freqfast.training.preparation import PreparedRun, prepare_run

if find_spec("accelerate") is None:  # fastai.distributed fails without it, in other words
    raise ImportError("training on several ranks needs accelerate: pip install 'freqfast[distributed]'")

from fastai.distributed import DistributedTrainer

__all__ = ["RankTrainer", "prepare_on_ranks"]


class RankTrainer(DistributedTrainer):
    """fastai's `DistributedTrainer` for loaders that give each rank its part of a batch.

    Args:
        ranks: The processes that train together.
        device: Where this one trains.
    """

    def __init__(self, ranks: Ranks, device: torch.device) -> None:
        # Precision is AutoPrecision's, and threads are the run's, whatever accelerate makes of its surroundings.
        threads = torch.get_num_threads()
        super().__init__(sync_bn=False, cpu=device.type == "cpu", mixed_precision="no")
        torch.set_num_threads(threads)
        self.ranks = ranks

    def _wrap_dl(self, dl: object) -> object:
        return dl

    def after_validate(self) -> None:
        """Count what all ranks have measured, before the Recorder reads it."""
        recorder = self.learn.recorder
        for metric in (recorder.loss, *recorder.metrics):
            metric.total, metric.count = self.ranks.total(float(metric.total), metric.count)


def prepare_on_ranks(
    ranks: Ranks,
    prepare_first: Callable[[], PreparedRun | None],
    directory: RunDirectory,
    data_path: str | Path | None,
) -> PreparedRun | None:
    """Prepare a run on all ranks: the first one reads or makes the directory, the others do as its files say.

    Args:
        ranks: The processes that train together.
        prepare_first: What the first does; None if the run is finished.
        directory: The run directory.
        data_path: Where the data is, as the user said.

    Raises:
        Exception: What went wrong on this rank; `RunStoppedError` if it was on another.
    """
    prepared = ranks.together(prepare_first if ranks.is_first else lambda: None)
    start = ranks.share(None if prepared is None else (prepared.recipe, prepared.environment))
    if start is None:
        return None
    recipe, environment = start
    return ranks.together(lambda: prepared or prepare_run(recipe, directory, environment, data_path))
