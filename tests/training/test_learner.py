from dataclasses import replace

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner

from freqfast.callbacks import AutoPrecision, FrequencyProportion, SpectralModulation, SpectrumRecorder
from freqfast.runs.registry import find_recipe, list_recipes
from freqfast.spectral.bands import Bands
from freqfast.spectral.modulation import SpectralConv2d
from freqfast.training import build_callbacks, build_learner, fit_recipe
from tests.support.tiny import TINY


@pytest.mark.parametrize("name", list_recipes())
def test_every_built_in_recipe_makes_a_learner_that_trains(small, name):
    recipe = replace(find_recipe(name), model_options={"width": 8}, batch_size=8, epochs=1, precision="float32")
    learn = build_learner(recipe, small, "cpu")
    assert isinstance(learn, Learner)
    kinds = [type(cb).__name__ for cb in learn.cbs]
    for callback in recipe.callbacks:
        assert "".join(part.title() for part in callback.split("_")) in kinds
    with learn.no_bar(), learn.no_logging():
        fit_recipe(learn, recipe)
    enforced = recipe.callbacks.get("frequency_proportion")
    if enforced:
        low, high = learn.spectrum_recorder.shares[-1].T
        assert (low > high).mean() == enforced["proportions"].get("low", 0)
    assert isinstance(learn.model.conv1, SpectralConv2d) == ("spectral_modulation" in recipe.callbacks)


def test_schedule_and_optimizer(small):
    recipe = replace(TINY, batch_size=4, epochs=5, lr=0.1, pct_start=0.4, callbacks={}, weight_decay=0.03)
    learn = build_learner(recipe, small, "cpu")
    with learn.no_bar(), learn.no_logging():
        fit_recipe(learn, recipe)
    rates = learn.recorder.hps["lr"]
    assert len(rates) == 20
    assert np.argmax(rates) == 8
    assert max(rates) == pytest.approx(0.1)
    assert set(learn.recorder.hps["mom"]) == {0.9}
    (group,) = learn.opt.opt.param_groups
    assert isinstance(learn.opt.opt, torch.optim.SGD)
    assert (group["nesterov"], group["weight_decay"], group["momentum"]) == (True, 0.03, 0.9)
    assert len(group["params"]) == len(list(learn.model.parameters()))  # decay and all, as in plain torch


def test_training_is_plain_torchs(small):
    """The same steps by hand: model, order of batches, Nesterov SGD at the recorded rates."""
    recipe = replace(TINY, batch_size=8, epochs=2, callbacks={})
    learn = build_learner(recipe, small, "cpu")
    initial = {name: tensor.clone() for name, tensor in learn.model.state_dict().items()}
    batches = []

    class Spy(Callback):
        def after_pred(self):
            if self.training:
                batches.append((self.x.clone(), self.y.clone()))

    with learn.no_bar(), learn.no_logging(), learn.added_cbs(Spy()):
        fit_recipe(learn, recipe)
    trained = learn.model.state_dict()
    twin = build_learner(recipe, small, "cpu").model
    twin.load_state_dict(initial)
    twin.train()
    optimizer = torch.optim.SGD(twin.parameters(), lr=1, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay)
    for (x, y), rate in zip(batches, learn.recorder.hps["lr"], strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(twin(torch.Tensor(x)), y.as_subclass(torch.Tensor)).backward()
        optimizer.step()
    for name, tensor in twin.state_dict().items():
        torch.testing.assert_close(trained[name], tensor, rtol=1e-4, atol=1e-5)


def test_no_momentum(small):
    recipe = replace(TINY, momentum=0, callbacks={}, epochs=1, batch_size=8)
    learn = build_learner(recipe, small, "cpu")
    with learn.no_bar(), learn.no_logging():
        fit_recipe(learn, recipe)
    assert learn.opt.opt.param_groups[0]["nesterov"] is False


def test_one_recorder_with_the_bands_that_are_enforced(small):
    bands = {"edges": [0, 0.2, 0.4, 0.75], "names": ["low", "mid", "high"]}
    options = {"proportions": {"low": 1.0}, "bands": bands, "purity": 0.6, "layer": "layer1.0.conv1"}
    learn = build_learner(replace(TINY, batch_size=8, callbacks={"frequency_proportion": options}), small, "cpu")
    (recorder,) = [cb for cb in learn.cbs if isinstance(cb, SpectrumRecorder)]
    assert recorder.bands.names == ("low", "mid", "high")
    assert recorder.layer == "layer1.0.conv1"
    learn = build_learner(replace(TINY, batch_size=8, callbacks={"spectrum_recorder": {"n": 16}}), small, "cpu")
    (recorder,) = [cb for cb in learn.cbs if isinstance(cb, SpectrumRecorder)]
    assert recorder.points == 16


@pytest.mark.parametrize(
    "options",
    [
        {"layer": "conv1"},
        {"bands": 2, "n": 16},
        {"bands": {"edges": Bands.equal_area(2).edges, "names": ["low", "high"]}},
    ],
    ids=str,
)
def test_a_recorder_that_says_the_same_in_other_words_is_accepted(small, options):
    callbacks = {"frequency_proportion": {"proportions": {"low": 1.0}}, "spectrum_recorder": options}
    learn = build_learner(replace(TINY, batch_size=8, callbacks=callbacks), small, "cpu")
    assert [type(cb) for cb in learn.cbs].count(SpectrumRecorder) == 1


def test_build_callbacks():
    built = build_callbacks(TINY)
    assert [type(cb).__name__ for cb in built] == [
        "FrequencyProportion",
        "SpectralModulation",
        "SpectrumPerturbation",
        "SpectrumEqualization",
        "Antialiasing",
    ]
    assert isinstance(built[0], FrequencyProportion)
    assert built[0].proportions == {"low": 0.75, "high": 0.25}
    assert isinstance(built[1], SpectralModulation)
    assert built[1].sigma == 0.5
    assert build_callbacks(replace(TINY, callbacks={})) == []


def test_precision_is_the_recipes(small):
    learn = build_learner(replace(TINY, batch_size=8, precision="bfloat16"), small, "cpu")
    (precision,) = [cb for cb in learn.cbs if isinstance(cb, AutoPrecision)]
    assert precision.precision == "bfloat16"
