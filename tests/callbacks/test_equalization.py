"""`SpectrumEqualization`: added in every way, with the other callbacks, saved, loaded and exported."""

import pytest
import torch
from fastai.learner import load_learner
from torch import nn

from freqfast.callbacks import (
    AutoPrecision,
    FrequencyProportion,
    SpectralModulation,
    SpectrumEqualization,
    SpectrumPerturbation,
    SpectrumRecorder,
)
from freqfast.spectral.equalization import SpectrumEqualizer

PROPORTIONS = {"low": 0.25, "high": 0.75}


def others():
    return [SpectralModulation(seed=1), FrequencyProportion(PROPORTIONS), SpectrumPerturbation(), SpectrumRecorder()]


@pytest.mark.parametrize("way", ["Learner", "add_cb", "fit"])
def test_every_way_of_adding_it_to_the_others(way, make_learner, tools):
    cbs = [*others(), SpectrumEqualization(bins=4)]
    learn = make_learner(cbs if way == "Learner" else None)
    if way == "add_cb":
        learn.add_cbs(cbs)
    learn.fit_one_cycle(2, 0.05, cbs=cbs if way == "fit" else None)
    conv = tools.conv(learn)
    assert int(conv.equalizer.batches) == 10  # 5 batches an epoch, validation not counted
    assert conv.equalizer.bins == 4
    tools.assert_consistent(learn)
    tools.assert_enforced(learn, cbs[1], [2, 6])


def test_it_is_one_with_the_network(make_learner, tools):
    learn = make_learner(SpectrumEqualization())
    learn.fit(1, 0.05)
    batch = learn.dls.valid.one_batch()[0]
    expected = learn.model.eval()(batch)
    learn.remove_cb(SpectrumEqualization)
    assert torch.equal(learn.model(batch), expected)
    again = make_learner(SpectrumEqualization(), model=learn.model)  # goes on where it was
    again.fit(1, 0.05)
    assert int(tools.conv(again).equalizer.batches) == 10


def test_saved_loaded_exported(make_learner, tmp_path):
    learn = make_learner([SpectrumEqualization(bins=5), SpectralModulation(seed=0)])
    learn.fit(1, 0.05)
    batch = learn.dls.valid.one_batch()[0]
    expected = learn.model.eval()(batch)
    learn.save("it")
    other = make_learner([SpectrumEqualization(bins=5), SpectralModulation(seed=0)], seed=3)
    other.load("it")
    assert torch.equal(other.model.eval()(batch), expected)
    learn.export("it.pkl")
    assert torch.equal(load_learner(tmp_path / "it.pkl").model.eval().to(batch.device)(batch), expected)


def test_a_learning_rate_finder_leaves_nothing_behind(make_learner, tools):
    learn = make_learner(SpectrumEqualization())
    learn.fit(1, 0.05)
    before = {k: v.clone() for k, v in tools.conv(learn).equalizer.state_dict().items()}
    learn.lr_find(num_it=8, show_plot=False, suggest_funcs=None)
    assert all(torch.equal(v, before[k]) for k, v in tools.conv(learn).equalizer.state_dict().items())


def test_in_bfloat16(make_learner, tools):
    learn = make_learner([AutoPrecision("bfloat16"), SpectrumEqualization()])
    learn.fit(2, 0.05)
    assert tools.conv(learn).equalizer.reference.dtype == torch.float32
    assert torch.isfinite(torch.tensor(learn.recorder.values[-1])).all()


def test_bad_arguments_and_a_second_one(make_learner):
    with pytest.raises(ValueError, match="exponent must lie in"):
        SpectrumEqualization(exponent=-1.0)
    learn = make_learner(SpectrumEqualization())
    with pytest.raises(ValueError, match="has a SpectrumEqualization on this layer already"):
        learn.add_cb(SpectrumEqualization())
    with pytest.raises(ValueError, match="no spatial Conv2d"):
        make_learner(SpectrumEqualization(), model=nn.Linear(3, 3))


def test_it_changes_what_is_learned(make_learner):
    plain, equalized = make_learner(), make_learner(SpectrumEqualization())
    for learn in (plain, equalized):
        learn.fit(1, 0.05)
    modules = [type(m) for m in equalized.model.modules()]
    assert modules.count(SpectrumEqualizer) == 1
    weights = [learn.model[0][0].weight for learn in (plain, equalized)]
    assert not torch.equal(*weights)
