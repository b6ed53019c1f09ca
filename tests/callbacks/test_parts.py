"""Gains, equalizers and low-passes: parts of the network that callbacks add, and that stay until they are removed."""

import copy
import pickle

import pytest
import torch
from fastai.callback import hook  # noqa: F401  (gives Learner summary)
from fastai.callback.tracker import SaveModelCallback
from fastai.learner import load_learner
from torch import nn

from freqfast import bake_modulation, load_weights, remove_antialiasing, remove_equalization
from freqfast.callbacks import Antialiasing, AutoPrecision, SpectralModulation, SpectrumEqualization
from freqfast.models.parts import find_parts
from freqfast.spectral.antialiasing import antialiased_layers
from freqfast.spectral.modulation import SpectralConv2d
from tests.support import learners

# A callback, and what its message says when it is asked for something else than what is there.
KINDS = {
    "modulation": (lambda: SpectralModulation(seed=3), "gains for each filter already, and per_filter=False"),
    "equalization": (lambda: SpectrumEqualization(4, 0.5), "of bins=4 and exponent=0.5 already, not of bins=12"),
    "triangle": (Antialiasing, r"layer '0\.3' has a low-pass of another kind than 'flc'"),
    "flc": (lambda: Antialiasing(kind="flc"), r"layer '0\.3' has a low-pass of another kind than 'triangle'"),
}
OTHERS = {
    "modulation": lambda: SpectralModulation(per_filter=False),
    "equalization": SpectrumEqualization,
    "triangle": lambda: Antialiasing(kind="flc"),
    "flc": Antialiasing,
}


@pytest.fixture
def strided(make_model):
    """The tests' CNN with a strided convolution, and its shortcut, between first layer and head."""

    def make(seed=0):
        model = make_model(seed=seed)
        model[0].append(nn.Conv2d(8, 8, 3, stride=2, padding=1))
        model[0].append(nn.Conv2d(8, 8, 1, stride=2))
        return model

    return make


@pytest.fixture(params=KINDS)
def kind(request):
    """Name of one of the parts."""
    return request.param


@pytest.fixture
def make(kind):
    """Makes a callback that adds it."""
    return KINDS[kind][0]


def outputs(learn):
    batch = learn.dls.valid.one_batch()[0]
    with torch.no_grad():
        return learn.model.eval()(batch)


def everything_off(model):
    return remove_antialiasing(remove_equalization(bake_modulation(model)))


@pytest.mark.parametrize("way", ["Learner", "add_cb", "fit"])
def test_every_way_of_adding_them_to_the_others(way, make_learner, strided, everything):
    cbs = [*everything(), Antialiasing(), SpectrumEqualization(4)]
    learn = make_learner(cbs if way == "Learner" else None, model=strided())
    if way == "add_cb":
        learn.add_cbs(cbs)
    learn.fit_one_cycle(2, 0.05, cbs=cbs if way == "fit" else None)
    conv = learners.conv(learn)
    assert conv.equalizer_batches == 10  # 5 batches an epoch, validation not counted
    assert conv.equalizer_reference.dtype == torch.float32  # also under bfloat16 autocast
    assert antialiased_layers(learn.model) == ["0.3", "0.4"]
    learners.assert_consistent(learn)
    learners.assert_enforced(learn, cbs[1], [2, 6])


def test_it_stays_when_the_callback_goes_until_it_is_removed(make, make_learner, strided):
    plain, learn = make_learner(model=strided()), make_learner(model=strided())
    plain.fit(1, 0.05)
    learn.fit(1, 0.05, cbs=make())
    assert not torch.equal(plain.model[0][3].weight, learn.model[0][3].weight)
    expected, parts = outputs(learn), find_parts(learn.model)
    again = make_learner(make(), model=learn.model)
    assert torch.equal(outputs(again), expected)
    again.remove_cb(type(make()))
    assert torch.equal(outputs(again), expected)
    assert str(find_parts(again.model)) == str(parts)
    everything_off(learn.model)
    assert learn.model.state_dict().keys() == plain.model.state_dict().keys()
    assert not any(m._forward_pre_hooks or type(m) is SpectralConv2d for m in learn.model.modules())


def test_a_save_loads_with_its_part_alone_or_by_load_weights(make, make_learner, strided):
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


def test_copies_and_exports(make, make_learner, strided, tmp_path):
    learn = make_learner([make(), AutoPrecision("float32")], model=strided())
    learn.fit(1, 0.05)
    expected, device = outputs(learn), learners.DEVICE
    learn.export("it.pkl")
    with pytest.warns(UserWarning, match="insecure pickle"):
        exported = load_learner(tmp_path / "it.pkl").model
    model = learn.model
    channels_last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    for other in (exported, copy.deepcopy(model), pickle.loads(pickle.dumps(model)), channels_last):
        learn.model = other.to(device)
        torch.testing.assert_close(outputs(learn), expected, atol=1e-6, rtol=1e-5)
        assert str(find_parts(everything_off(other))) == "no parts"
    assert find_parts(model)
    half = copy.deepcopy(model).half()
    assert half.state_dict().keys() == model.state_dict().keys()
    assert {t.dtype for t in half.state_dict().values()} == {torch.float16, torch.int64}


def test_taken_off_for_a_while_it_is_as_before(make, make_learner, strided):
    learn = make_learner(make(), model=strided())
    learn.fit(1, 0.05)
    conv, callback = learners.conv(learn), learn.cbs[-1]
    before, settings = learners.snapshot(learn), str(find_parts(learn.model).modulation)
    draws = getattr(conv, "draws", 0)
    with learn.removed_cbs(callback):
        assert getattr(conv, "sigma", 0) == 0  # nothing is drawn meanwhile
        learn.validate()
    learners.assert_same(before, learners.snapshot(learn))
    assert (str(find_parts(learn.model).modulation), getattr(conv, "draws", 0)) == (settings, draws)
    learn.fit(1, 0.05)
    learners.assert_consistent(learn)


@pytest.mark.filterwarnings("ignore:Saved file doesn't contain an optimizer state")
def test_the_best_epoch_of_a_fit_loads_after_it(make, make_learner, strided, capsys):
    learn = make_learner(model=strided())
    learn.fit(2, 0.05, cbs=[make(), SaveModelCallback()])
    expected = outputs(learn)
    learn.fit(1, 0.05)
    assert not torch.equal(outputs(learn), expected)
    learn.load("model")
    assert torch.equal(outputs(learn), expected)
    learners.assert_consistent(learn)


def test_other_arguments_than_those_of_what_is_there_are_refused(kind, make, make_learner, strided):
    learn = make_learner(model=strided())
    learn.fit(1, 0.05, cbs=make())
    before = learners.snapshot(learn)
    for add in (lambda: learn.add_cb(OTHERS[kind]()), lambda: make_learner(OTHERS[kind](), model=learn.model)):
        with pytest.raises(ValueError, match=KINDS[kind][1]) as caught:
            add()
        assert "\n" not in str(caught.value)
    learners.assert_same(before, learners.snapshot(learn))
    learn.fit(1, 0.05, cbs=make())


def test_a_summary_counts_every_parameter(make, make_learner, strided):
    learn = make_learner(make(), model=strided())
    total = sum(p.numel() for p in learn.model.parameters())
    assert f"Total params: {total:,}" in learn.summary()
    assert learn.summary().count("Conv2d") == 3


def test_low_passes_of_the_layers_that_are_named(make_learner, strided):
    learn = make_learner(Antialiasing("0.4"), model=strided())
    assert antialiased_layers(learn.model) == ["0.4"]
    learn.fit(1, 0.05, cbs=Antialiasing(["0.3"], kind="flc"))
    assert find_parts(learn.model).low_passes == {"0.3": "flc", "0.4": "triangle"}
    with pytest.raises(ValueError, match=r"layer '0\.4' has a low-pass of another kind than 'flc'"):
        make_learner(Antialiasing(kind="flc"), model=make_learner(Antialiasing("0.4"), model := strided()).model)
    assert antialiased_layers(model) == ["0.4"]
    with pytest.raises(ValueError, match=r"layer '0\.0' is not a strided Conv2d"):
        make_learner(Antialiasing(["0.0"]), model=strided())
    with pytest.raises(ValueError, match="kind must be one of triangle, flc, got 'box'"):
        make_learner(Antialiasing(kind="box"), model=strided())


def test_the_callback_sets_sigma_and_seed_of_gains_that_are_there(make_learner):
    first = make_learner(SpectralModulation(sigma=1.0, seed=3))
    first.fit(1, 0.05)
    for seed, expected in ((None, 3), (4, 4)):
        again = make_learner(SpectralModulation(sigma=0.25, seed=seed), model=first.model)
        assert (learners.conv(again).sigma, learners.conv(again).seed) == (0.25, expected)
        again.remove_cb(SpectralModulation)
    first.fit(1, 0.05)
    assert (learners.conv(first).sigma, learners.conv(first).draws) == (1.0, 10)


def test_gains_that_were_folded_meanwhile_must_be_added_again(make_learner):
    learn = make_learner(SpectralModulation())
    learn.fit(1, 0.05)
    bake_modulation(learn.model)
    with pytest.raises(ValueError, match="the layer has no modulation any more, bake_modulation has folded it"):
        learn.fit(1)
    with pytest.raises(ValueError, match="the layer has no modulation any more"):
        learn.spectral_modulation.state_dict()
    callback = learn.spectral_modulation
    learn.remove_cb(callback)
    learn.add_cb(callback)
    learn.fit(1, 0.05, reset_opt=True)
    learners.assert_consistent(learn)
    assert (learners.conv(learn).draws, learners.conv(learn).log_gain.any()) == (5, True)
