from dataclasses import replace

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback

from freqfast.callbacks import SpectrumRecorder
from freqfast.data.images import ImageData, Images
from freqfast.runs.registry import find_recipe, list_recipes
from freqfast.spectral.equalization import apply_equalization, equalized_layers
from freqfast.spectral.modulation import SpectralConv2d
from freqfast.training import build_learner, learner
from tests.support.networks import network_of
from tests.support.tiny import TINY, fit_quietly


def grey(classes):
    """Two images of so many classes."""
    images = Images(np.full((2, 8, 8, 3), 100, np.uint8), np.arange(2))
    return ImageData("grey", tuple("abcdef"[:classes]), images, images)


@pytest.mark.parametrize("name", list_recipes())
def test_every_built_in_recipe_makes_a_learner_that_trains(small, name):
    recipe = replace(find_recipe(name), model_options={"width": 8}, batch_size=8, epochs=1, precision="float32")
    learn = build_learner(recipe, small, "cpu")
    assert {cb.name for cb in learn.cbs} >= {"auto_precision", "spectrum_recorder", *recipe.callbacks}
    fit_quietly(learn, recipe)
    enforced = recipe.callbacks.get("frequency_proportion")
    if enforced:
        low, high = learn.spectrum_recorder.history().shares[-1].T
        assert (low > high).mean() == enforced["proportions"].get("low", 0)
    assert isinstance(learn.model.conv1, SpectralConv2d) == ("spectral_modulation" in recipe.callbacks)


def test_weights_and_the_order_of_images_are_the_seeds(small):
    recipes = (replace(TINY, batch_size=8, seed=seed, callbacks={}) for seed in (3, 3, 4))
    learners = [build_learner(recipe, small, "cpu") for recipe in recipes]
    first, again, other = ([learn.model.conv1.weight.tolist(), learn.dls.train.get_idxs()] for learn in learners)
    assert first == again
    assert all(mine != others for mine, others in zip(first, other, strict=True))


def test_schedule_and_optimizer_without_momentum(small):
    recipe = replace(TINY, batch_size=8, epochs=5, lr=0.1, pct_start=0.4, callbacks={}, weight_decay=0.03, momentum=0)
    learn = build_learner(recipe, small, "cpu")
    fit_quietly(learn, recipe)
    rates = learn.recorder.hps["lr"]
    assert (len(rates), np.argmax(rates), max(rates)) == (10, 4, pytest.approx(0.1))
    assert set(learn.recorder.hps["mom"]) == {0}
    (group,) = learn.opt.opt.param_groups
    assert isinstance(learn.opt.opt, torch.optim.SGD)
    assert (group["nesterov"], group["weight_decay"], group["momentum"]) == (False, 0.03, 0)
    assert len(group["params"]) == len(list(learn.model.parameters()))  # decay and all, as in plain torch


def test_training_is_plain_torchs(small):
    """The same steps by hand: model, order of batches, Nesterov SGD of one momentum at the recorded rates."""
    recipe = replace(TINY, batch_size=8, epochs=2, callbacks={})
    learn = build_learner(recipe, small, "cpu")
    initial = {name: tensor.clone() for name, tensor in learn.model.state_dict().items()}
    batches = []

    class Spy(Callback):
        def after_pred(self):
            if self.training:
                batches.append((self.x.clone(), self.y.clone()))

    with learn.added_cbs(Spy()):
        fit_quietly(learn, recipe)
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


BANDS = {"edges": [0, 0.2, 0.4, 0.75], "names": ["low", "mid", "high"]}
LOW = {"proportions": {"low": 1.0}}


@pytest.mark.parametrize(
    ("callbacks", "bands", "layer", "points"),
    [
        (
            {"frequency_proportion": LOW | {"bands": BANDS, "purity": 0.6, "layer": "conv2"}},
            ("low", "mid", "high"), "conv2", 32,
        ),
        ({"spectrum_recorder": {"n": 16}}, ("low", "high"), None, 16),
        ({"frequency_proportion": LOW, "spectrum_recorder": {"layer": "conv1"}}, ("low", "high"), "conv1", 32),
    ],
)  # fmt: skip
def test_one_recorder_has_the_bands_that_are_enforced(small, callbacks, bands, layer, points):
    learn = build_learner(replace(TINY, batch_size=8, callbacks=callbacks), small, "cpu")
    (recorder,) = [cb for cb in learn.cbs if isinstance(cb, SpectrumRecorder)]
    assert (recorder.bands.names, recorder.layer, recorder.n) == (bands, layer, points)


def test_an_equalized_network_is_tried_without_the_other_ranks(monkeypatch):
    """Which may be elsewhere, and would be waited for."""
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda *words: pytest.fail("the others are elsewhere"))
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    start = network_of(apply_equalization(torch.nn.Sequential(*layers)))
    learner._rehearse(start, grey(4))
    assert equalized_layers(start.module) == ["0"]  # of a copy


def test_a_network_with_dropout_is_tried_without_drawing_random_numbers():
    layers = torch.nn.Dropout(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    before = torch.get_rng_state()
    learner._rehearse(network_of(torch.nn.Sequential(*layers)), grey(3))
    assert torch.equal(torch.get_rng_state(), before)
