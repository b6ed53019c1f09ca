"""Every published method in a Learner: it trains, leaves validation and the network alone, and is built by recipes."""

import tomllib

import pytest
import torch
from fastai.optimizer import SGD

from freqfast.callbacks import FrequencyProportion, SpectralDecay, SpectralModulation
from freqfast.runs.recipe import Recipe
from freqfast.spectral.bands import band_shares
from freqfast.spectral.decay import energy_outside
from freqfast.spectral.proportion import project_onto_subspace
from freqfast.training import build_callbacks
from tests.support import learners

# As a recipe writes them, and the passes per image.
METHODS = {
    "amplitude_phase_recombination = {}": 2,
    "amplitude_phase_recombination = { pair = false, single = true }": 1,
    "hybrid_augment = { clean_too = false, sigma = [0.4, 1.5], share = 0.25 }": 1,
    "hybrid_augment = { single = true, plus = true, sigma = 0.5 }": 2,
    "fourier_basis_augmentation = {}": 2,
    "augmix = { jsd = 12.0 }": 3,
    "augmix = {}": 1,
    "spectral_decay = { strength = 0.1, band = 'low' }": 1,
    "frequency_proportion = { proportions = { low = 0.75, high = 0.25 }, rank = 3 }": 1,
}


def built(text):
    (callback,) = build_callbacks(Recipe("a method", callbacks=tomllib.loads(f"[callbacks]\n{text}")["callbacks"]))
    return callback


@pytest.mark.parametrize("text", METHODS)
def test_in_a_fit(text, make_learner):
    seen = []

    def note(model, inputs):
        seen.append((model.training, len(inputs[0])))

    plain, learn = make_learner(), make_learner()
    handle = learn.model.register_forward_pre_hook(note)
    plain.fit(1, 0.05)
    learn.fit(1, 0.05, cbs=built(text))
    handle.remove()
    assert seen == [(True, 16 * METHODS[text])] * 5 + [(False, 16)]
    assert getattr(built(text), "passes_per_image", 1) == METHODS[text]
    before, after = learners.snapshot(plain), learners.snapshot(learn)
    assert before.keys() == after.keys()
    assert not torch.equal(before["0.0.weight"], after["0.0.weight"])  # it made a difference
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in learn.model.modules())
    assert torch.isfinite(torch.tensor(learn.recorder.values[-1][:2])).all()
    learners.assert_consistent(learn)


@pytest.mark.parametrize("text", METHODS)
def test_validation_predictions_and_a_learning_rate_finder_change_nothing(text, make_learner):
    learn = make_learner()
    expected, predictions = learn.validate(), learn.get_preds()[0]
    learn.add_cb(built(text))
    assert learn.validate() == expected
    assert torch.equal(learn.get_preds()[0], predictions)
    before = learners.snapshot(learn)
    learn.lr_find(num_it=3, show_plot=False, suggest_funcs=None)
    learners.assert_same(before, learners.snapshot(learn))


@pytest.mark.parametrize("text", METHODS)
def test_a_seed_decides_everything(text, make_learner, rewind):
    weights = []
    for _ in range(2):
        learn = make_learner(built(text))
        rewind(learn, 3)
        learn.fit(1, 0.05)
        weights.append(learners.snapshot(learn))
    learners.assert_same(*weights)


# FrequencyProportion in a subspace


@pytest.mark.parametrize("modulated", [False, True])
def test_filters_lie_in_their_subspace_after_every_step(modulated, make_learner):
    enforce = FrequencyProportion({"low": 0.75, "high": 0.25}, rank=3)
    learn = make_learner([enforce, *([SpectralModulation(seed=0)] if modulated else [])])
    assert enforce.purity == pytest.approx(0.835, abs=1e-3)

    def check():
        learners.assert_enforced(learn, enforce)
        conv = learners.conv(learn)
        weight = conv.modulated_weight().detach() if modulated else conv.weight.detach()
        projected = project_onto_subspace(weight, enforce.assignment, enforce.bands, 3)
        torch.testing.assert_close(projected, weight, atol=2e-6, rtol=2e-5)

    spy = learners.StepSpy(check)
    learn.fit_one_cycle(2, 0.05, cbs=spy)
    assert spy.calls == 10


def test_a_rank_of_all_low_filters_has_the_low_bands_bound(make_learner):
    enforce = FrequencyProportion({"low": 1.0}, rank=3)
    make_learner(enforce)
    assert enforce.purity == pytest.approx(0.895, abs=1e-3)


def test_rank_and_purity_exclude_each_other(make_learner):
    with pytest.raises(ValueError, match=r"purity and rank exclude each other, got 0\.9 and 1"):
        FrequencyProportion({"low": 1.0}, purity=0.9, rank=1)
    with pytest.raises(ValueError, match=r"rank must be one of 1, 3, 4 .*, got 2"):
        make_learner(FrequencyProportion({"low": 1.0}, rank=2))


# SpectralDecay


@pytest.mark.parametrize("modulated", [False, True])
def test_decay_adds_the_energy_outside_to_what_is_descended_on(modulated, make_learner):
    learn = make_learner([SpectralDecay(0.3, "high"), *([SpectralModulation(sigma=0.0)] if modulated else [])])

    def before_backward():
        conv = learners.conv(learn)
        weight = conv.modulated_weight() if modulated else conv.weight
        torch.testing.assert_close(learn.loss_grad, learn.loss + 0.3 * energy_outside(weight, "high"))

    spy = learners.StepSpy(lambda: None)
    spy.before_backward = before_backward
    spy.run_valid = False
    learn.fit(1, 0.05, cbs=spy)
    assert spy.calls == 5


def test_decay_lowers_the_share_outside(make_learner):
    shares = []
    for strength in (0.0, 0.1, 1.0):
        learn = make_learner(SpectralDecay(strength), opt_func=SGD)
        learn.fit(3, 0.1)
        shares.append(float(band_shares(learners.conv(learn).weight.detach())[:, 1].mean()))
    assert shares[0] > shares[1] + 0.05 > shares[2] + 0.1


def test_decay_lets_a_fit_diverge_as_it_does(make_learner):
    make_learner(SpectralDecay(0.1)).fit(1, 1e30)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": -1}, "strength must be finite and not negative, got -1"),
        ({"band": "mid"}, "unknown band 'mid'; the bands are low, high"),
    ],
)
def test_wrong_arguments_of_decay(options, message):
    with pytest.raises(ValueError, match=message):
        SpectralDecay(**options)
