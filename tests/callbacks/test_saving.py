"""Saving, loading, exporting, predicting, baking; validation between fits."""

import pytest
import torch
from fastai.learner import load_learner

from tests.support import learners


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


@pytest.mark.filterwarnings("ignore:load_learner")
def test_export_and_load_learner(make_learner, items, tmp_path, everything):
    cbs = everything()
    learn = make_learner(cbs)
    learn.fit(2, 0.1)
    wanted = learn.get_preds()[0]
    learn.export()
    loaded = load_learner(tmp_path / "export.pkl")
    learners.assert_same(learners.snapshot(learn), learners.snapshot(loaded))
    label, index, shares = loaded.predict(items[0].image)
    assert label == "abc"[int(index)]
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    dl = loaded.dls.test_dl([row.image for row in items[:16]], num_workers=0)
    assert torch.allclose(loaded.get_preds(dl=dl)[0], wanted, atol=2e-2)  # bfloat16
    assert loaded.spectrum_recorder.epochs == [0, 1, 2]
    assert torch.equal(loaded.frequency_proportion.assignment, cbs[1].assignment)
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
