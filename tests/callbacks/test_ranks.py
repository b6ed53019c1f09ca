"""Callbacks in a user's own Learner under fastai's distributed training, as on GPUs."""

import torch
from fastai.distributed import DistributedDL
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import set_seed
from torch import distributed

from freqfast.callbacks import FrequencyProportion, SpectralModulation, SpectrumEqualization, SpectrumPerturbation
from freqfast.compute.ranks import current_ranks
from freqfast.models.build import build_model
from freqfast.spectral.modulation import SpectralConv2d
from tests.support import learners
from tests.support.ranks import on_ranks  # noqa: F401


def _broadcast(self, order, rank):
    """As fastai's, which goes through CUDA."""
    order = torch.tensor(order)
    distributed.broadcast(order, rank)
    return order.tolist()


def fitted_on_rank():
    """Number of steps of two fits, after each of which both ranks have the same weights and have drawn the same."""
    noise, perturbation = [], SpectralConv2d._perturbation

    def heard(conv):
        noise.append(perturbation(conv))
        return noise[-1]

    DistributedDL._broadcast, SpectralConv2d._perturbation = _broadcast, heard
    ranks = current_ranks()
    ranks.wait()  # makes the group
    set_seed(ranks.rank)  # other weights, and other seeds of the noise
    loaders = learners.make_loaders(learners.striped_rows(48, 32), 8, 8)
    enforced = FrequencyProportion({"low": 0.75, "high": 0.25})
    cbs = [SpectralModulation(), enforced, SpectrumPerturbation(), SpectrumEqualization()]
    learn = Learner(loaders, build_model("timm:test_resnet", classes=3), CrossEntropyLossFlat(), cbs=cbs)
    spy = learners.StepSpy(lambda: learners.assert_enforced(learn, enforced))
    for fit in (learn.fit, learn.fit_one_cycle):
        with learn.distrib_ctx(sync_bn=False, cpu=True), learn.no_bar(), learn.no_logging():
            fit(1, 0.01, cbs=spy)
        first, other = ranks.gather([*learn.model.state_dict().values(), *noise])
        assert all(map(torch.equal, first, other))
        learners.check_optimizer(learn)
    return spy.calls, len(noise)


def test_weights_and_noise_are_equal_on_both_ranks(on_ranks):  # noqa: F811
    assert on_ranks(fitted_on_rank) == [(4, 4)] * 2
