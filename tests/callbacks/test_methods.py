"""The hard and the soft form of a proportion: filters in a subspace, and the penalty on what lies outside a band."""

import inspect
from functools import partial

import pytest
import torch
from fastai.callback.training import GradientAccumulation
from fastai.optimizer import SGD

from freqfast.callbacks import FrequencyProportion, SpectralDecay, SpectralModulation
from freqfast.spectral.decay import energy_outside
from freqfast.spectral.proportion import project_onto_subspace
from tests.support import learners


def test_filters_that_are_applied_lie_in_their_subspace_after_every_step(make_learner):
    enforce = FrequencyProportion({"low": 0.75, "high": 0.25}, rank=3)
    learn = make_learner([enforce, SpectralModulation(seed=0)])
    assert enforce.purity == pytest.approx(0.835, abs=1e-3)

    def check():
        learners.assert_enforced(learn, enforce)
        weight = learners.conv(learn).modulated_weight().detach()
        projected = project_onto_subspace(weight, enforce.assignment, enforce.bands, 3)
        torch.testing.assert_close(projected, weight, atol=2e-6, rtol=2e-5)

    spy = learners.StepSpy(check)
    learn.fit_one_cycle(2, 0.05, cbs=spy)
    assert spy.calls == 6


@pytest.mark.parametrize("modulated", [False, True])
def test_momentum_does_not_take_a_layer_that_is_frozen_out_of_its_bands(modulated, make_learner):
    enforce = FrequencyProportion({"low": 0.75, "high": 0.25})
    cbs = [SpectralModulation(seed=0), enforce] if modulated else [enforce]
    learn = make_learner(cbs, opt_func=partial(SGD, mom=0.9))
    learn.fit(1, 0.3)
    learn.model[0].requires_grad_(False)
    before = learners.snapshot(learn)["0.0.weight"]
    spy = learners.StepSpy(lambda: learners.assert_enforced(learn, enforce))
    learn.fit(1, 0.3, cbs=spy)
    assert spy.calls == 3
    assert not torch.equal(learners.snapshot(learn)["0.0.weight"], before)  # fastai's optimizers go on


def test_a_band_without_filters_does_not_limit_the_purity_of_a_rank(make_learner):
    enforce = FrequencyProportion({"low": 1.0}, rank=3)
    assert enforce.purity is None  # which the kernel's size decides
    make_learner(enforce)
    assert enforce.purity == pytest.approx(0.895, abs=1e-3)


@pytest.mark.parametrize(("modulated", "batches"), [(False, 1), (True, 1), (False, 2)])
def test_decay_adds_the_energy_outside_to_what_is_descended_on(modulated, batches, make_learner):
    """A step of several batches has the mean of what it would have for each."""
    learn = make_learner([SpectralDecay(0.3, "high"), GradientAccumulation(8 * batches)])
    if modulated:
        learn.add_cb(SpectralModulation(sigma=0.0))

    def before_backward():
        conv = learners.conv(learn)
        weight = conv.modulated_weight() if modulated else conv.weight
        penalty = 0.3 * energy_outside(weight, "high")
        expected = (learn.loss + penalty) / batches
        for each in (torch.Tensor.detach, lambda loss: torch.autograd.grad(loss, conv.weight, retain_graph=True)):
            torch.testing.assert_close(each(learn.loss_grad), each(expected))

    spy = learners.StepSpy(lambda: None)
    spy.before_backward = before_backward
    spy.run_valid = False
    learn.fit(1, 0.05, cbs=spy)
    assert spy.calls == 3 // batches


def test_decay_lets_a_fit_diverge(make_learner):
    make_learner(SpectralDecay(0.1)).fit(1, 1e30)


def test_signatures_show_plain_types():
    parameters = inspect.signature(FrequencyProportion).parameters
    assert (parameters["purity"].annotation, parameters["rank"].annotation) == (float | None, int | None)
