"""`Antialiasing` and `SpectrumEqualization`: parts of the network that a callback adds and that stay."""

import pytest
import torch
from fastai.callback import hook  # noqa: F401  (gives Learner summary)
from fastai.learner import load_learner
from torch import nn

from freqfast.callbacks import Antialiasing, AutoPrecision, SpectrumEqualization
from freqfast.spectral.antialiasing import antialiased_layers
from tests.support import learners

KINDS = {"antialiasing": Antialiasing, "equalization": lambda: SpectrumEqualization(bins=4)}


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
    """Makes one of the callbacks."""
    return KINDS[request.param]


@pytest.mark.parametrize("way", ["Learner", "add_cb", "fit"])
def test_every_way_of_adding_them_to_the_others(way, make_learner, strided, everything):
    cbs = [*everything(), *(make() for make in KINDS.values())]
    learn = make_learner(cbs if way == "Learner" else None, model=strided())
    if way == "add_cb":
        learn.add_cbs(cbs)
    learn.fit_one_cycle(2, 0.05, cbs=cbs if way == "fit" else None)
    equalizer = learners.conv(learn).equalizer
    assert (int(equalizer.batches), equalizer.bins) == (10, 4)  # 5 batches an epoch, validation not counted
    assert equalizer.reference.dtype == torch.float32  # also under bfloat16 autocast
    assert antialiased_layers(learn.model) == ["0.3", "0.4"]
    learners.assert_consistent(learn)
    learners.assert_enforced(learn, cbs[1], [2, 6])


def test_it_changes_what_is_learned_and_stays_when_it_is_removed(kind, make_learner, strided):
    plain, learn = make_learner(model=strided()), make_learner(kind(), model=strided())
    for each in (plain, learn):
        each.fit(1, 0.05)
    assert not torch.equal(plain.model[0][3].weight, learn.model[0][3].weight)
    batch = learn.dls.valid.one_batch()[0]
    expected = learn.model.eval()(batch)
    learn.remove_cbs([cb for cb in learn.cbs if type(cb) is type(kind())])
    assert torch.equal(learn.model(batch), expected)
    again = make_learner(kind(), model=learn.model)
    assert torch.equal(again.model.eval()(batch), expected)


def test_saved_loaded_exported(kind, make_learner, strided, tmp_path):
    learn = make_learner([kind(), AutoPrecision("float32")], model=strided())
    learn.fit(1, 0.05)
    batch = learn.dls.valid.one_batch()[0]
    expected = learn.model.eval()(batch)
    learn.save("it")
    other = make_learner(kind(), model=strided(seed=3))
    other.load("it")
    assert torch.equal(other.model.eval()(batch), expected)
    learn.export("it.pkl")
    assert torch.equal(load_learner(tmp_path / "it.pkl").model.eval().to(batch.device)(batch), expected)


def test_a_learning_rate_finder_leaves_no_trace(kind, make_learner, strided):
    learn = make_learner(kind(), model=strided())
    learn.fit(1, 0.05)
    before = learners.snapshot(learn)
    learn.lr_find(num_it=5, show_plot=False, suggest_funcs=None)
    learners.assert_same(before, learners.snapshot(learn))


def test_a_summary_counts_every_parameter(make_learner, strided):
    learn = make_learner(Antialiasing(), model=strided())
    total = sum(p.numel() for p in learn.model.parameters())
    assert f"Total params: {total:,}" in learn.summary()
    assert learn.summary().count("Conv2d") == 3


def test_invalid_arguments_and_a_second_one(make_learner, strided):
    assert antialiased_layers(make_learner(Antialiasing(["0.4"]), model=strided()).model) == ["0.4"]
    with pytest.raises(ValueError, match=r"layer '0\.0' is not a strided Conv2d"):
        make_learner(Antialiasing(["0.0"]), model=strided())
    with pytest.raises(ValueError, match="exponent must lie in"):
        SpectrumEqualization(exponent=-1.0)
    learn = make_learner(SpectrumEqualization())
    with pytest.raises(ValueError, match="has a SpectrumEqualization on this layer already"):
        learn.add_cb(SpectrumEqualization())
