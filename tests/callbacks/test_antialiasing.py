"""`Antialiasing`: added in every way, with the other callbacks, saved, loaded and exported."""

import pytest
import torch
from fastai.callback import hook  # noqa: F401  (gives Learner summary)
from fastai.learner import load_learner
from torch import nn

from freqfast.callbacks import Antialiasing, SpectrumEqualization
from freqfast.spectral.antialiasing import antialiased_layers


@pytest.fixture
def strided(make_model):
    """The tests' CNN with a strided convolution, and its shortcut, between first layer and head."""

    def make(seed=0):
        model = make_model(seed=seed)
        model[0].append(nn.Conv2d(8, 8, 3, stride=2, padding=1))
        model[0].append(nn.Conv2d(8, 8, 1, stride=2))
        return model

    return make


@pytest.mark.parametrize("way", ["Learner", "add_cb", "fit"])
def test_every_way_of_adding_it_to_the_others(way, make_learner, strided, everything, tools):
    cbs = [*everything(), SpectrumEqualization(bins=4), Antialiasing()]
    learn = make_learner(cbs if way == "Learner" else None, model=strided())
    if way == "add_cb":
        learn.add_cbs(cbs)
    learn.fit_one_cycle(2, 0.05, cbs=cbs if way == "fit" else None)
    assert antialiased_layers(learn.model) == ["0.3", "0.4"]
    tools.assert_consistent(learn)
    tools.assert_enforced(learn, cbs[1], [2, 6])


def test_it_is_one_with_the_network(make_learner, strided):
    learn = make_learner(Antialiasing(), model=strided())
    learn.fit(1, 0.05)
    batch = learn.dls.valid.one_batch()[0]
    expected = learn.model.eval()(batch)
    learn.remove_cb(Antialiasing)
    assert torch.equal(learn.model(batch), expected)
    again = make_learner(Antialiasing(), model=learn.model)
    assert torch.equal(again.model.eval()(batch), expected)
    assert antialiased_layers(again.model) == ["0.3", "0.4"]


def test_a_summary_counts_every_parameter(make_learner, strided):
    plain, learn = make_learner(model=strided()), make_learner(Antialiasing(), model=strided())
    total = sum(p.numel() for p in learn.model.parameters())
    assert f"Total params: {total:,}" in learn.summary()
    assert learn.summary().count("Conv2d") == plain.summary().count("Conv2d") == 3


def test_saved_loaded_exported(make_learner, strided, tmp_path):
    learn = make_learner(Antialiasing(), model=strided())
    learn.fit(1, 0.05)
    batch = learn.dls.valid.one_batch()[0]
    expected = learn.model.eval()(batch)
    learn.save("it")
    other = make_learner(Antialiasing(), model=strided(seed=3))
    other.load("it")
    assert torch.equal(other.model.eval()(batch), expected)
    learn.export("it.pkl")
    assert torch.equal(load_learner(tmp_path / "it.pkl").model.eval().to(batch.device)(batch), expected)


def test_a_learning_rate_finder_leaves_nothing_behind(make_learner, strided, tools):
    learn = make_learner(Antialiasing(), model=strided())
    before = tools.snapshot(learn)
    learn.lr_find(num_it=5, show_plot=False, suggest_funcs=None)
    tools.assert_same(before, tools.snapshot(learn))
    assert antialiased_layers(learn.model) == ["0.3", "0.4"]


def test_it_changes_what_is_learned(make_learner, strided):
    plain, smooth = make_learner(model=strided()), make_learner(Antialiasing(), model=strided())
    for learn in (plain, smooth):
        learn.fit(1, 0.05)
    assert not torch.equal(plain.model[0][3].weight, smooth.model[0][3].weight)


def test_chosen_layers_and_bad_ones(make_learner, strided):
    learn = make_learner(Antialiasing(["0.4"]), model=strided())
    assert antialiased_layers(learn.model) == ["0.4"]
    with pytest.raises(ValueError, match=r"layer '0\.0' is no Conv2d with a stride"):
        make_learner(Antialiasing(["0.0"]), model=strided())
    with pytest.raises(ValueError, match="Sequential has no Conv2d with a stride beyond its first convolution"):
        make_learner(Antialiasing())
