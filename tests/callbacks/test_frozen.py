"""A frozen first layer stays as it is, bit for bit, whatever callbacks are there for it."""

import torch

from freqfast.callbacks import FrequencyProportion, SpectralDecay, SpectralModulation, SpectrumRecorder
from freqfast.spectral.bands import frequency_proportion
from tests.support import learners


def test_a_frozen_layer_is_not_changed_until_it_is_unfrozen(make_learner):
    enforce = FrequencyProportion({"low": 0.5, "high": 0.5})
    learn = make_learner([enforce, SpectralModulation(), SpectralDecay(), SpectrumRecorder()])
    learn.freeze()
    conv = learners.conv(learn)
    before, proportion = learners.snapshot(learn), frequency_proportion(conv.weight.detach()).tolist()
    learn.fit(1, 0.1, cbs=learners.StepSpy(lambda: None))
    after = learners.snapshot(learn)
    for name in ("0.0.weight", "0.0.bias", "0.0.log_gain"):
        assert torch.equal(before[name], after[name])
    assert not torch.equal(before["1.2.weight"], after["1.2.weight"])
    assert list(learn.recorder.values[-1][-2:]) == proportion != [0.5, 0.5]  # what is there is shown
    assert enforce.assignment is None
    learn.unfreeze()
    learn.fit(1, 0.1, cbs=learners.StepSpy(lambda: learners.assert_enforced(learn, enforce, [4, 4])))
    assert conv.log_gain.any()


def test_fine_tuning_enforces_once_the_layer_is_unfrozen(make_learner):
    enforce = FrequencyProportion({"low": 0.5, "high": 0.5})
    learn = make_learner(enforce)
    pretrained, frozen = learners.conv(learn).weight.detach().clone(), []

    def check():
        if learners.conv(learn).weight.requires_grad:
            learners.assert_enforced(learn, enforce, [4, 4])
        else:
            frozen.append(torch.equal(learners.conv(learn).weight, pretrained))

    learn.fine_tune(1, 0.1, cbs=learners.StepSpy(check))
    assert frozen == [True] * 5
