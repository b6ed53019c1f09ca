"""Gains, equalizers and low-passes: parts of the network that callbacks add, and that stay until they are removed."""

from functools import partial

import pytest
import torch
from fastai.callback.tracker import SaveModelCallback

from freqfast import (
    apply_equalization,
    bake_modulation,
    load_weights,
    remove_antialiasing,
    remove_equalization,
)
from freqfast.callbacks import Antialiasing, SpectralModulation, SpectrumEqualization
from freqfast.models.parts import find_parts
from freqfast.spectral.antialiasing import antialiased_layers
from tests.support import learners

# A callback, one that asks for something else than what is there then, and what its message says.
KINDS = {
    "modulation": (
        lambda: SpectralModulation(seed=3),
        lambda: SpectralModulation(per_filter=False),
        "gains for each filter already, and per_filter=False",
    ),
    "equalization": (
        lambda: SpectrumEqualization(4, 0.5),
        SpectrumEqualization,
        "of bins=4 and exponent=0.5 already, not of bins=12",
    ),
    "triangle": (Antialiasing, lambda: Antialiasing(kind="flc"), r"layer '0\.3' has a low-pass of kind 'triangle'"),
    "flc": (lambda: Antialiasing(kind="flc"), Antialiasing, r"layer '0\.3' has a low-pass of kind 'flc' already"),
}


@pytest.fixture
def strided(make_model):
    return partial(make_model, strided=True)


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def outputs(learn):
    batch = learn.dls.valid.one_batch()[0]
    with torch.no_grad():
        return learn.model.eval()(batch)


def test_a_save_loads_with_its_part_alone_or_by_load_weights(kind, make_learner, strided):
    make, *_ = kind
    learn, plain = make_learner(make(), model=strided()), make_learner(model=strided(seed=3))
    plain.save("plain")
    learn.fit(1, 0.05)
    expected, path = outputs(learn), learn.save("it")
    with pytest.raises(RuntimeError, match="Unexpected key"):
        plain.load("it")
    with pytest.raises(RuntimeError, match="Missing key"):
        learn.load("plain")
    learn.load("it")
    other = make_learner(make(), model=strided(seed=4)).load("it")
    assert torch.equal(outputs(other), expected)
    fresh = make_learner(model=strided(seed=5))
    assert str(load_weights(fresh.model, path)) == str(find_parts(fresh.model)) == str(find_parts(learn.model))
    assert torch.equal(outputs(fresh), expected)


@pytest.mark.filterwarnings("ignore:Saved file doesn't contain an optimizer state")
def test_the_best_epoch_of_a_fit_loads_after_it(kind, make_learner, strided):
    make, *_ = kind
    learn = make_learner(model=strided())
    learn.fit(2, 0.05, cbs=[make(), SaveModelCallback()])
    expected = outputs(learn)
    learn.fit(1, 0.05)
    assert not torch.equal(outputs(learn), expected)
    learn.load("model")
    assert torch.equal(outputs(learn), expected)
    learners.assert_consistent(learn)


def test_other_arguments_than_those_of_what_is_there_are_refused(kind, make_learner, strided):
    make, other, message = kind
    learn = make_learner(make(), model=strided())
    before = learners.snapshot(learn)
    with pytest.raises(ValueError, match=message):
        make_learner(other(), model=learn.model)
    learners.assert_same(before, learners.snapshot(learn))


def test_an_equalizer_must_be_as_asked_for_when_training_starts(make_learner, make_model):
    """Averaged weights, and half precision, may differ in the last bit; loaded ones in anything."""
    make_learner(SpectrumEqualization(4, 0.7), apply_equalization(make_model(), bins=4, exponent=0.7).bfloat16())
    learn = make_learner(SpectrumEqualization(4, 0.7))
    exponent = learners.conv(learn).equalizer_exponent
    exponent.copy_(torch.nextafter(exponent, torch.tensor(1.0)))
    learn.fit(1, 0.05)
    exponent.fill_(0.5)
    with pytest.raises(ValueError, match=r"of bins=4 and exponent=0\.5 already, not of bins=4 and exponent=0\.7"):
        learn.fit(1)


def test_low_passes_of_the_layers_that_are_named(make_learner, strided):
    learn = make_learner(Antialiasing("0.4"), model=strided())
    assert antialiased_layers(learn.model) == ["0.4"]
    learn.fit(1, 0.05, cbs=Antialiasing(["0.3"], kind="flc"))
    assert find_parts(learn.model).low_passes == {"0.3": "flc", "0.4": "triangle"}
    with pytest.raises(ValueError, match=r"layer '0\.4' has a low-pass of kind 'triangle' already"):
        make_learner(Antialiasing(kind="flc"), model=make_learner(Antialiasing("0.4"), model := strided()).model)
    assert antialiased_layers(model) == ["0.4"]
    with pytest.raises(ValueError, match=r"layer '0\.0' is neither a strided Conv2d nor"):
        make_learner(Antialiasing(["0.0"]), model=strided())
    with pytest.raises(ValueError, match="kind must be 'triangle' or 'flc', got 'box'"):
        make_learner(Antialiasing(kind="box"), model=strided())


def test_the_callback_sets_sigma_seed_and_power_of_gains_that_are_there(make_learner):
    first = make_learner(SpectralModulation(sigma=1.0, seed=3))
    first.fit(1, 0.05)
    for seed, expected, keep in ((None, 3, True), (4, 4, False), (5, 5, True)):
        again = make_learner(SpectralModulation(sigma=0.25, seed=seed, keep_power=keep), model=first.model)
        conv = learners.conv(again)
        assert (conv.sigma, conv.seed, conv.keep_power) == (0.25, expected, keep)
        again.remove_cb(SpectralModulation)
    first.fit(1, 0.05)
    conv = learners.conv(first)  # perturbed as the callback of the Learner that trains it says
    assert (conv.sigma, conv.seed, conv.keep_power, conv.draws) == (1.0, 3, False, 6)


@pytest.mark.parametrize("remove", [remove_equalization, remove_antialiasing, bake_modulation])
@pytest.mark.parametrize("another", [False, True])
def test_a_fit_puts_back_what_was_removed_or_another_model_lacks(remove, another, make_learner, strided):
    learn = make_learner([SpectrumEqualization(4), Antialiasing(), SpectralModulation()], model=strided())
    learn.fit(1, 0.05)
    keys = learn.model.state_dict().keys()
    if another:
        learn.model = strided()
    remove(learn.model)
    learn.validate()
    learn.fit(1, 0.05, reset_opt=True)
    assert learn.model.state_dict().keys() == keys
    assert (learners.conv(learn).draws, learners.conv(learn).log_gain.any()) in ((3, True), (6, True))
    learners.assert_consistent(learn)
