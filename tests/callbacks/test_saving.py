"""Saving, loading, exporting, predicting, baking; validation between fits."""

import numpy as np
import pytest
import torch
from fastai.learner import load_learner
from torch import nn

from freqfast.callbacks import (
    FrequencyProportion,
    SpectralModulation,
)
from freqfast.spectral.modulation import SpectralConv2d, bake_modulation

PROPORTIONS = {"low": 0.25, "high": 0.75}


def test_save_and_load_into_a_fresh_learner(make_learner, tools, rewind, everything):
    learn, fresh = make_learner(everything()), make_learner(everything(), seed=1)
    learn.fit_one_cycle(1, 0.1)
    learn.save("model")
    fresh.load("model")
    tools.assert_same(tools.snapshot(learn), tools.snapshot(fresh))
    tools.conv(fresh).draws = tools.conv(learn).draws
    for each in (learn, fresh):
        rewind(each, 3)
        each.fit_one_cycle(1, 0.1)
        tools.assert_enforced(each, each.frequency_proportion, [2, 6])
        tools.assert_consistent(each)
    tools.assert_same(tools.snapshot(learn), tools.snapshot(fresh))


def test_the_proportion_alone_changes_no_key(make_learner, tools):
    learn, plain = make_learner(FrequencyProportion(PROPORTIONS)), make_learner(seed=1)
    learn.fit(1)
    learn.save("enforced")
    plain.load("enforced")
    tools.assert_enforced(plain, learn.frequency_proportion, [2, 6])


def test_a_run_that_was_baked_loads_into_a_plain_learner(make_learner, tools, everything):
    learn, plain = make_learner(), make_learner(seed=1)
    learn.fit(1, cbs=everything())
    learn.save("baked")
    plain.load("baked")
    tools.assert_same(tools.snapshot(learn), tools.snapshot(plain))


@pytest.mark.filterwarnings("ignore:load_learner")
@pytest.mark.parametrize("way", ["Learner", "fit"])
def test_export_and_load_learner(way, make_learner, tools, items, tmp_path, everything):
    cbs = everything()
    learn = make_learner(cbs if way == "Learner" else None)
    learn.fit(2, 0.1, cbs=None if way == "Learner" else cbs)
    wanted = learn.get_preds()[0]
    learn.export()
    loaded = load_learner(tmp_path / "export.pkl")
    assert type(tools.conv(loaded)) is (SpectralConv2d if way == "Learner" else nn.Conv2d)
    tools.assert_same(tools.snapshot(learn), tools.snapshot(loaded))
    label, index, shares = loaded.predict(items[0].image)
    assert label == "abc"[int(index)]
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    dl = loaded.dls.test_dl([row.image for row in items[:16]], num_workers=0)
    assert torch.allclose(loaded.get_preds(dl=dl)[0], wanted, atol=1e-6 if way == "fit" else 2e-2)  # bfloat16
    if way == "Learner":
        assert loaded.spectrum_recorder.epochs == [0, 1, 2]
        assert torch.equal(loaded.frequency_proportion.assignment, cbs[1].assignment)
        loaded.remove_cb(SpectralModulation)
        assert type(tools.conv(loaded)) is nn.Conv2d
    learn.fit(1)  # export made a new optimizer
    tools.assert_consistent(learn)


@pytest.mark.filterwarnings("ignore:load_learner")
def test_a_loaded_learner_trains_on(make_learner, make_dls, tools, tmp_path, everything):
    learn = make_learner(everything())
    learn.fit(1)
    learn.export()
    loaded = load_learner(tmp_path / "export.pkl")
    loaded.dls = make_dls()
    loaded.fit(1)
    tools.assert_enforced(loaded, loaded.frequency_proportion, [2, 6])
    tools.assert_consistent(loaded)
    assert loaded.spectrum_recorder.epochs == [0, 1, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_baked_equals_unbaked(dtype, make_learner, tools):
    learn = make_learner([SpectralModulation(sigma=0.5), FrequencyProportion(PROPORTIONS)])
    learn.fit(2, 0.3)
    images = learn.dls.valid.one_batch()[0].as_subclass(torch.Tensor).to(dtype)
    model = learn.model.to(dtype).eval()
    with torch.no_grad():
        before = model(images)
        after = bake_modulation(model)(images)
    assert float((after - before).norm() / before.norm()) <= (1e-6 if dtype == torch.float32 else 1e-14)
    assert type(tools.conv(learn)) is nn.Conv2d


def test_validation_and_predictions_change_nothing(make_learner, tools, items, everything):
    cbs = everything()
    learn = make_learner(cbs)
    for fitted in (False, True):
        if fitted:
            learn.fit(1, 0.1)
        before, draws = tools.snapshot(learn), tools.conv(learn).draws
        assignment = cbs[1].assignment
        first = learn.validate()
        learn.get_preds()
        learn.get_preds(ds_idx=0, with_loss=True)
        learn.predict(items[0].image)
        assert list(learn.validate()) == list(first)
        tools.assert_same(before, tools.snapshot(learn))
        assert tools.conv(learn).draws == draws
        assert cbs[1].assignment is assignment
    assert cbs[3].epochs == [0, 1]


def test_a_fit_after_validation_equals_one_without(make_learner, tools, rewind, everything):
    results = []
    for validating in (False, True):
        learn = make_learner(everything())
        learn.fit(1, 0.1)
        if validating:
            learn.validate()
            learn.get_preds()
        rewind(learn, 2)
        learn.fit(1, 0.1)
        results.append(tools.snapshot(learn))
    tools.assert_same(*results)


def test_the_same_seed_gives_the_same_fit(make_learner, tools, everything):
    results = []
    for _ in range(2):
        learn = make_learner(everything())
        learn.fit_one_cycle(2, 0.1)
        results.append((tools.snapshot(learn), learn.spectrum_recorder.history().power))
    tools.assert_same(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])
