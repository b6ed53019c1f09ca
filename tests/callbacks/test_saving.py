"""Saving, loading, exporting, predicting, baking; validation between fits."""

import numpy as np
import pytest
import torch
from fastai.learner import load_learner
from torch import nn

from freqfast.callbacks import SpectralModulation
from freqfast.spectral.modulation import SpectralConv2d
from tests.support import learners

PROPORTIONS = {"low": 0.25, "high": 0.75}


def test_save_and_load_into_a_fresh_learner(make_learner, rewind, everything):
    learn, fresh = make_learner(everything()), make_learner(everything(), seed=1)
    learn.fit_one_cycle(1, 0.1)
    learn.save("model")
    fresh.load("model")
    learners.assert_same(learners.snapshot(learn), learners.snapshot(fresh))
    learners.conv(fresh).draws = learners.conv(learn).draws
    for each in (learn, fresh):
        rewind(each, 3)
        each.fit_one_cycle(1, 0.1)
        learners.assert_enforced(each, each.frequency_proportion, [2, 6])
        learners.assert_consistent(each)
    learners.assert_same(learners.snapshot(learn), learners.snapshot(fresh))


def test_a_baked_model_loads_into_a_plain_learner(make_learner, everything):
    learn, plain = make_learner(), make_learner(seed=1)
    learn.fit(1, cbs=everything())
    learn.save("baked")
    plain.load("baked")
    learners.assert_same(learners.snapshot(learn), learners.snapshot(plain))


@pytest.mark.filterwarnings("ignore:load_learner")
@pytest.mark.parametrize("way", ["Learner", "fit"])
def test_export_and_load_learner(way, make_learner, items, tmp_path, everything):
    cbs = everything()
    learn = make_learner(cbs if way == "Learner" else None)
    learn.fit(2, 0.1, cbs=None if way == "Learner" else cbs)
    wanted = learn.get_preds()[0]
    learn.export()
    loaded = load_learner(tmp_path / "export.pkl")
    assert type(learners.conv(loaded)) is (SpectralConv2d if way == "Learner" else nn.Conv2d)
    learners.assert_same(learners.snapshot(learn), learners.snapshot(loaded))
    label, index, shares = loaded.predict(items[0].image)
    assert label == "abc"[int(index)]
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    dl = loaded.dls.test_dl([row.image for row in items[:16]], num_workers=0)
    assert torch.allclose(loaded.get_preds(dl=dl)[0], wanted, atol=1e-6 if way == "fit" else 2e-2)  # bfloat16
    if way == "Learner":
        assert loaded.spectrum_recorder.epochs == [0, 1, 2]
        assert torch.equal(loaded.frequency_proportion.assignment, cbs[1].assignment)
        loaded.remove_cb(SpectralModulation)
        assert type(learners.conv(loaded)) is nn.Conv2d
    learn.fit(1)  # export made a new optimizer
    learners.assert_consistent(learn)
    loaded.dls = learn.dls
    loaded.fit(1)
    learners.assert_consistent(loaded)


def test_validation_and_predictions_change_nothing(make_learner, items, everything):
    cbs = everything()
    learn = make_learner(cbs)
    for fitted in (False, True):
        if fitted:
            learn.fit(1, 0.1)
        before, draws = learners.snapshot(learn), learners.conv(learn).draws
        assignment = cbs[1].assignment
        first = learn.validate()
        learn.get_preds()
        learn.get_preds(ds_idx=0, with_loss=True)
        learn.predict(items[0].image)
        assert list(learn.validate()) == list(first)
        learners.assert_same(before, learners.snapshot(learn))
        assert learners.conv(learn).draws == draws
        assert cbs[1].assignment is assignment
    assert cbs[3].epochs == [0, 1]


def test_the_same_seed_gives_the_same_fit(make_learner, everything):
    results = []
    for _ in range(2):
        learn = make_learner(everything())
        learn.fit_one_cycle(2, 0.1)
        results.append((learners.snapshot(learn), learn.spectrum_recorder.history().power))
    learners.assert_same(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])
