"""What holds of every callback in a Learner, whatever it does."""

import copy
import tomllib

import numpy as np
import pytest
import torch
from fastai.learner import load_learner
from fastcore.foundation import L
from torch.utils._pytree import tree_map_only

from freqfast import bake_modulation, remove_antialiasing, remove_equalization
from freqfast.callbacks import Antialiasing, AugMix, AutoPrecision, GaussianNoise, SpectralModulation
from freqfast.callbacks.pixels import PixelCallback
from freqfast.models.parts import find_parts
from freqfast.plugins import find_plugins
from freqfast.runs.recipe import Recipe
from freqfast.training import build_callbacks
from tests.support import learners

# As a recipe writes them, and the images that pass through the network for each image of a batch.
CALLBACKS = {
    "frequency_proportion = { proportions = { low = 0.25, high = 0.75 } }": 1,
    "frequency_proportion = { proportions = { low = 0.75, high = 0.25 }, rank = 3 }": 1,
    "spectral_modulation = { seed = 3 }": 1,
    "spectral_decay = { strength = 0.1, band = 'low' }": 1,
    "spectrum_equalization = { bins = 4, exponent = 0.5 }": 1,
    "antialiasing = {}": 1,
    "antialiasing = { kind = 'flc' }": 1,
    "spectrum_perturbation = {}": 1,
    "gaussian_noise = {}": 1,
    "augmix = { jsd = 12.0 }": 3,
    "augmix = {}": 1,
    "amplitude_phase_recombination = {}": 2,
    "amplitude_phase_recombination = { pair = false, single = true }": 1,
    "hybrid_augment = { clean_too = false, sigma = [0.4, 1.5], share = 0.25 }": 1,
    "hybrid_augment = { single = true, plus = true, sigma = 0.5 }": 2,
    "fourier_basis_augmentation = {}": 2,
    "distillation = { temperature = 4, weight = 0.5 }": 1,
    "batch_norm_estimation = {}": 1,
    "batch_norm_freeze = {}": 1,
    "spectrum_recorder = {}": 1,
}
WRONG = {
    "no_such_method = {}": "unknown callback 'no_such_method'; the callbacks are amplitude_phase_recombination, ",
    "gaussian_noise = { strength = 0.1 }": "gaussian_noise has no argument 'strength'; its arguments are share, sigma",
    "frequency_proportion = { proportions = { low = 0.8, high = 0.4 } }": r"must sum to 1, got 1\.2",
    "frequency_proportion = { proportions = { low = 1.0 }, purity = 0.9, rank = 1 }": "purity and rank exclude",
    "spectral_modulation = { sigma = -1 }": "sigma must be greater than or equal to 0, got -1",
    "spectral_decay = { band = 'mid' }": "unknown band 'mid'; the bands are low, high",
    "spectrum_equalization = { exponent = 1.5 }": "exponent must be less than or equal to 1, got 1.5",
    "batch_norm_freeze = { batches = 1 }": "batch_norm_freeze has no argument 'batches'",
    "distillation = { temperature = 0 }": "temperature must be greater than 0, got 0",
    "distillation = { weight = 1.5 }": "weight must be less than or equal to 1, got 1.5",
    "spectrum_perturbation = { share = 1.5 }": "share must be less than or equal to 1, got 1.5",
    "spectrum_perturbation = { mean = [0.5] }": "mean and std go together",
    "spectrum_perturbation = { mean = [nan], std = [1.0] }": "mean.0 must be a finite number, got nan",
    "spectrum_perturbation = { mean = [], std = [] }": r"std must be greater than 0, got \[\]",
    "spectrum_perturbation = { mean = [0.5, 0.5], std = [0.5, 0.0] }": "std must be greater than 0, got .0.5, 0.0.",
    "antialiasing = { layers = 3 }": "antialiasing.layers must be a valid string, got 3",
    "antialiasing = { layers = [] }": "layers names no layer; leave it out for every strided convolution",
    "augmix = { severity = 11 }": "severity must be less than or equal to 10, got 11",
    "amplitude_phase_recombination = { pair = false }": "pair and single are both off",
    "hybrid_augment = { sigma = 'wide' }": "hybrid_augment.sigma must be a valid number, got 'wide'",
    "hybrid_augment = { sigma = 0 }": "sigma must be a positive number of pixels, .* got 0",
    "hybrid_augment = { sigma = [1.5, 0.5] }": r"sigma .* in increasing order, got .1\.5, 0\.5",
}
ONE_EACH = tuple({text.split()[0]: text for text in CALLBACKS}.values())
PARTS = ("spectral_modulation", "spectrum_equalization", "antialiasing")  # which stay in the network
# Of which a Learner may have two.
TWICE = ("antialiasing", "batch_norm_estimation", "batch_norm_freeze", "spectrum_recorder")


def built(text):
    (callback,) = build_callbacks(Recipe("a method", callbacks=tomllib.loads(f"[callbacks]\n{text}")["callbacks"]))
    return callback


@pytest.fixture
def make(make_learner, make_model):
    """Makes a Learner of a network with a strided convolution."""

    def make(cbs=None, seed=0, **options):
        return make_learner(cbs, make_model(seed=seed, strided=True), seed=seed, **options)

    return make


def state_of(learn, callback):
    """What a checkpoint has of both, as NumPy arrays."""
    state = callback.state_dict() if hasattr(type(callback), "state_dict") else {}
    return tree_map_only(torch.Tensor, lambda x: x.cpu().numpy().copy(), [learn.model.state_dict(), state])


def test_all_of_ours_are_here():
    ours = {name for name, point in find_plugins("callbacks").items() if point.value.startswith("freqfast.")}
    assert {text.split()[0] for text in CALLBACKS} == ours


@pytest.mark.parametrize("text", WRONG)
def test_wrong_settings_are_refused_on_one_line(text):
    with pytest.raises(ValueError, match=WRONG[text]) as caught:
        built(text)
    assert text.split()[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_and_lists_of_fastcore_are_plain_ones():
    assert SpectralModulation(seed=np.int64(3)).seed == 3
    assert AugMix(severity=np.int64(2)).severity == 2
    assert Antialiasing(L("conv1", "conv2")).layers == ["conv1", "conv2"]
    assert GaussianNoise(mean=L(0.5), std=L(0.2)).mean == [0.5]


@pytest.mark.parametrize("text", CALLBACKS)
def test_a_fit_with_it_whatever_the_way_of_adding(text, make, rewind):
    seen, callback = [], built(text)
    plain, first = make(), make()
    for learn, added in ((plain, None), (first, callback)):
        rewind(learn, 3)

        def note(model, x, own=learn.model):
            if model is own:  # and not a teacher, which is a copy of it
                seen.append((model.training, len(x[0])))

        handle = learn.model.register_forward_pre_hook(note)
        learn.fit(1, 0.05, cbs=added)
        handle.remove()
    passes = CALLBACKS[text]
    assert seen[4:7] == [(True, 8 * passes)] * 3
    assert seen[-1] == (False, 8)
    assert getattr(callback, "passes_per_image", 1) == passes
    results = [learners.snapshot(learn) for learn in (plain, first)]
    assert any(not torch.equal(results[0][name], results[1][name]) for name in results[0]) == (
        text != "spectrum_recorder = {}"
    )
    assert (results[0].keys() == results[1].keys()) == (not text.startswith(PARTS))

    second = make(callback)  # on to another Learner
    rewind(second, 3)
    second.fit(1, 0.05)
    learners.assert_same(learners.snapshot(second), results[1])
    learners.assert_same(learners.snapshot(first), results[1])
    learners.assert_consistent(second)
    remove_antialiasing(remove_equalization(bake_modulation(second.model)))
    assert second.model.state_dict().keys() == results[0].keys()
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in second.model.modules())


@pytest.mark.parametrize("text", ["auto_precision = {}", *ONE_EACH])
def test_a_callback_works_in_the_learner_that_it_was_added_to_last(text, make):
    callback = AutoPrecision("bfloat16") if text.startswith("auto") else built(text)
    first = make(callback)
    with pytest.raises(ValueError, match=f"^the Learner has two {callback}; call learn.remove_cb"):
        first.fit(1, cbs=callback)
    second = make(callback)
    for remove in (False, True):
        if remove:
            second.remove_cb(callback)
        else:
            second.fit(1)
        before = learners.snapshot(second)
        with pytest.raises(ValueError, match=f"^this {callback} was removed, or added to another Learner since; make"):
            first.fit(1)
        learners.assert_same(before, learners.snapshot(second))
        first.validate()
        first.validate()  # which would wait for ever, had the callback failed in a validation
    first.remove_cb(callback)
    first.fit(1, cbs=callback)


@pytest.mark.parametrize("text", ONE_EACH)
def test_nothing_but_a_fit_changes_anything(text, make, items):
    learn, callback = make(), built(text)
    expected = learn.validate()
    learn.add_cb(callback)
    if not text.startswith(PARTS):
        assert learn.validate() == expected
    for fitted in (False, True):
        if fitted:
            learn.fit(1, 0.05)
        before, expected = state_of(learn, callback), learn.validate()
        learn.get_preds(ds_idx=0, with_loss=True)
        learn.predict(items[0].image)
        learn.lr_find(num_it=3, show_plot=False, suggest_funcs=None)
        with learn.removed_cbs(callback):
            assert getattr(learners.conv(learn), "sigma", 0) == 0  # nothing is drawn meanwhile
            assert learn.validate() == expected
        np.testing.assert_equal(state_of(learn, callback), before)
    learners.assert_consistent(learn)


@pytest.mark.parametrize("text", ONE_EACH)
def test_a_fit_that_goes_on_from_a_state_equals_one_that_never_stopped(text, make, rewind):
    learn, fresh = make(callback := built(text)), make(other := built(text), seed=2)
    learn.fit(1, 0.05)
    fresh.model.load_state_dict(learn.model.state_dict())
    if hasattr(type(callback), "load_state_dict"):
        other.load_state_dict(copy.deepcopy(callback.state_dict()))
    for each in (learn, fresh):
        rewind(each, 3)
        each.fit(1, 0.05, reset_opt=True)
    np.testing.assert_equal(state_of(learn, callback), state_of(fresh, other))


@pytest.mark.filterwarnings("ignore:load_learner")
@pytest.mark.parametrize("text", ONE_EACH)
def test_copies_exports_and_precisions(text, make, tmp_path):
    learn = make([callback := built(text), AutoPrecision("bfloat16")])
    learn.fit(1, 0.05)
    kept = {value.dtype for value in learn.model.state_dict().values()}
    assert kept <= {torch.float32, torch.int64}
    assert torch.isfinite(torch.tensor(learn.recorder.values[-1][:2])).all()
    model, images = learn.model.eval(), learn.dls.valid.one_batch()[0]
    expected = model(images)
    learn.export("it.pkl")
    loaded = load_learner(tmp_path / "it.pkl")
    for other in (loaded.model.eval(), copy.deepcopy(model)):
        torch.testing.assert_close(other.to(images.device)(images), expected, atol=1e-6, rtol=1e-5)
        assert str(find_parts(other)) == str(find_parts(model))
    loaded.dls = learn.dls
    for each in (learn, loaded):  # an export made a new optimizer
        each.fit(1, 0.05)
        learners.assert_consistent(each)
    assert type(callback) in {type(each) for each in loaded.cbs}


@pytest.mark.parametrize("text", [text for text in ONE_EACH if not isinstance(built(text), PixelCallback)])
def test_a_frozen_layer_stays_bit_for_bit(text, make):
    learn = make(built(text))
    learn.freeze()
    conv = learners.conv(learn)
    before = {name: value.clone() for name, value in conv.named_parameters()}
    head = learn.model[1][2].weight.detach().clone()
    learn.fit(1, 0.1)
    assert all(torch.equal(value, before[name]) for name, value in conv.named_parameters())
    assert not torch.equal(learn.model[1][2].weight, head)
    learn.unfreeze()
    learn.fit(1, 0.1)
    assert not any(torch.equal(value, before[name]) for name, value in conv.named_parameters())


@pytest.mark.parametrize("text", [text for text in ONE_EACH if not text.startswith(TWICE)])
def test_a_second_one_of_a_kind_is_refused(text, make):
    learn = make(built(text))
    before, callbacks = learners.snapshot(learn), list(learn.cbs)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^the Learner has two (\w+); call learn.remove_cb\(\1\)"):
            learn.fit_one_cycle(1, cbs=built(text))
        assert list(learn.cbs) == callbacks
        learners.assert_same(before, learners.snapshot(learn))
        learn.validate()
    learn.fit(1)
