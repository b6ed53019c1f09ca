"""Callbacks beside each other, on other layers, on models that they do not fit, and on a second Learner."""

import pytest
import torch
from torch import nn

from freqfast.callbacks import FrequencyProportion, SpectralDecay, SpectralModulation, SpectrumRecorder
from freqfast.spectral.modulation import SpectralConv2d
from tests.support import learners

PROPORTIONS = {"low": 0.25, "high": 0.75}


def test_a_second_fit_keeps_the_assignment_unless_the_weights_are_others(make_learner):
    callback = FrequencyProportion(PROPORTIONS)
    learn = make_learner(callback)
    learn.fit(1, 0.05)
    first, conv = callback.assignment.clone(), learners.conv(learn)
    learn.fit(1, 0.05, reset_opt=True)
    assert torch.equal(callback.assignment, first)
    conv.weight.data = conv.weight.data.flip(0)
    learn.fit(1, 0.0)
    assert not torch.equal(first.flip(0), first)
    assert torch.equal(callback.assignment, first.flip(0))


def test_layer_names_another_convolution(make_learner):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 10, 5), nn.ReLU())
    model = nn.Sequential(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 3)))
    cbs = [cls(layer="0.2") for cls in (SpectralModulation, SpectrumRecorder)]
    cbs.append(FrequencyProportion({"low": 1.0}))  # of the first one
    cbs.append(FrequencyProportion({"low": 0.5, "mid": 0.3, "high": 0.2}, bands=3, purity=0.7, layer="0.2"))
    learn = make_learner(cbs, model)
    learn.fit(1, cbs=learners.StepSpy(lambda: learners.assert_enforced(learn, cbs[3], [5, 3, 2], layer="0.2")))
    learners.assert_enforced(learn, cbs[2], [4, 0])
    assert type(body[0]) is nn.Conv2d
    assert type(body[2]) is SpectralConv2d
    assert cbs[1].weights[0].shape == (10, 4, 5, 5)


UNFIT = {
    "purity that no 3x3 kernel reaches": (lambda: FrequencyProportion(PROPORTIONS, purity=0.99), r"purity .* 0\.99"),
    "rank that parts equal eigenvalues": (lambda: FrequencyProportion(PROPORTIONS, rank=2), "rank must be .* got 2"),
    "no such layer": (lambda: FrequencyProportion(PROPORTIONS, layer="stem"), "'stem' is not in the model"),
    "not a convolution": (lambda: SpectralModulation(layer="0.1"), "'0.1' is a BatchNorm2d"),
    "recorder's grid": (lambda: SpectrumRecorder(n=2), "n must be at least the kernel's size 3, got 2"),
    **{
        f"{cls.__name__} of a 1x1 kernel": (lambda cls=cls: cls(layer="0.3"), r"a 1x1 kernel has .* choose a .*larger")
        for cls in (SpectralModulation, SpectralDecay, SpectrumRecorder)
    },
}


@pytest.mark.parametrize("case", UNFIT)
def test_callbacks_that_do_not_fit_the_model_are_refused(case, make_learner, make_model):
    make, message = UNFIT[case]
    model = make_model()
    model[0].append(nn.Conv2d(8, 8, 1))
    learn = make_learner(model=model)
    before = learners.snapshot(learn)
    for add in (lambda: make_learner(make(), model), lambda: learn.add_cb(make()), lambda: learn.fit(1, cbs=make())):
        with pytest.raises(ValueError, match=message) as error:
            add()
        assert "\n" not in str(error.value)
    assert not any("freqfast" in type(cb).__module__ for cb in learn.cbs)
    learners.assert_same(before, learners.snapshot(learn))
    assert type(learners.conv(learn)) is nn.Conv2d
    learn.fit(1)


def test_a_callback_stays_on_its_learner_if_the_next_one_refuses_it(make_learner):
    callback = SpectralModulation()
    first = make_learner(callback)
    first.fit(1, 0.05)
    with pytest.raises(ValueError, match="has no spatial Conv2d"):
        make_learner(callback, model=nn.Sequential(nn.Flatten(), nn.LazyLinear(4)))
    assert callback.learn is first
    assert learners.conv(first).sigma == 0.5
    first.fit(1, 0.05)
    second = make_learner(callback)
    assert learners.conv(first).sigma == 0
    second.model = nn.Sequential(nn.Flatten())  # without such a layer
    second.remove_cb(callback)


@pytest.mark.parametrize("rank", [None, 1])
@pytest.mark.parametrize("preserve_norm", [True, False])
def test_norms_are_kept_with_preserve_norm(preserve_norm, rank, make_learner):
    learn = make_learner(FrequencyProportion({"high": 1.0}, preserve_norm=preserve_norm, rank=rank))
    before = learners.conv(learn).weight.detach().flatten(1).norm(dim=1)
    learn.fit(1, 0.0, wd=0.0)
    after = learners.conv(learn).weight.detach().flatten(1).norm(dim=1)
    assert torch.allclose(after, before) == preserve_norm
    assert (after <= before * (1 + 1e-5)).all()
