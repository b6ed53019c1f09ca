"""Composed Learners under fastai's distributed training, as users have them on GPUs."""

import tempfile
from pathlib import Path
from unittest import mock

import torch
from fastai.distributed import DistributedDL
from fastai.torch_core import set_seed
from torch import distributed

from freqfast.compute.ranks import current_ranks
from freqfast.spectral.modulation import SpectralConv2d
from tests.soak.test_soak import REFUSALS, Soak
from tests.support.compose import FITS, compose
from tests.support.learners import make_loaders, striped_rows

# fastai's save and lr_find write on the first rank only, and the others read what may not be there yet.
ACTIONS = {*FITS, "validate", "get_preds", "take_off_for_a_while"}


def _broadcast(self, order, rank):
    """As fastai's, which goes through CUDA."""
    order = torch.tensor(order)
    distributed.broadcast(order, rank)
    return order.tolist()


class RankSoak(Soak):
    """A composed Learner on one of two ranks, which begin with other weights and seeds."""

    def make(self, model, callbacks):
        set_seed(self.plan.seed + current_ranks().rank)
        with mock.patch("tests.support.compose.set_seed"):
            return super().make(model, callbacks)

    def fit(self, action):
        noise, perturbation = [], SpectralConv2d._perturbation

        def heard(conv):
            noise.append(perturbation(conv))
            return noise[-1]

        with mock.patch.object(SpectralConv2d, "_perturbation", heard), self.learn.distrib_ctx(sync_bn=False, cpu=True):
            super().fit(action)
        state = self.learn.model.state_dict()
        first, other = current_ranks().gather([*state.values(), *noise])
        assert all(map(torch.equal, first, other))


def soak(seeds, small):
    """What became of the Learner of each seed."""
    DistributedDL._broadcast = _broadcast
    rank, dls, outcomes = current_ranks().rank, make_loaders(striped_rows(48, 32), 8, 8), []
    current_ranks().wait()  # makes the group
    for seed in seeds:
        composition = compose(seed, small)
        composition.actions = [action for action in composition.actions if action in ACTIONS]
        with tempfile.TemporaryDirectory() as folder:
            try:
                RankSoak(composition, dls, Path(folder), weights=composition.seed + 2 * rank).run()
            except ValueError as error:
                if not REFUSALS.fullmatch(str(error)):
                    raise
                outcomes.append("refused")
            else:
                outcomes.append("trained")
    return outcomes
