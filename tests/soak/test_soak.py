"""The callbacks in Learners composed at random, each from its seed (the number in the test's name).

Nothing may raise except a refusal of a layer, on one line. After every step the proportion holds for the filters that
are applied; every parameter is in the optimizer once; a baked model has the outputs of the modulated one; and once all
parts are removed, the model has its first keys. The full form is ``pytest -m "slow and soak" tests/soak``.
"""

import re
from copy import deepcopy

import numpy as np
import pytest
import torch
from fastai.learner import load_learner
from torch import nn

from freqfast.callbacks import FrequencyProportion, SpectrumRecorder
from freqfast.models.parts import find_parts
from freqfast.models.weights import load_weights
from freqfast.spectral.antialiasing import remove_antialiasing
from freqfast.spectral.equalization import remove_equalization
from freqfast.spectral.modulation import SpectralConv2d, bake_modulation, effective_weight
from freqfast.spectral.surgery import find_conv
from tests.support.compose import build_model, compose, layer_name, make_callback, make_learner, outcomes
from tests.support.learners import StepSpy, assert_same, check_optimizer, snapshot
from tests.support.projected import numpy_shares
from tests.support.ranks import on_ranks  # noqa: F401

REFUSALS = re.compile(r"^layer '\S+' (is a \w+ with|\(\w+\) has a class or) a forward of its own, .*")
pytestmark = [
    pytest.mark.filterwarnings("error:You are shadowing"),
    pytest.mark.filterwarnings("ignore:load_learner"),
    pytest.mark.filterwarnings("ignore:`load_learner` uses"),
]


@torch.no_grad()
def check_baking(model, layer):
    """Baked equals unbaked: the layer in float32, the whole model in float64, where depth amplifies no rounding."""
    torch.manual_seed(0)
    copy = deepcopy(model).eval()
    _, conv = find_conv(copy, layer)
    images = torch.randn(2, conv.in_channels, 16, 16)
    before = conv._conv_forward(images, effective_weight(conv), conv.bias)
    images_of_model = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    whole = copy.double()(images_of_model)
    baked = bake_modulation(deepcopy(model).eval())
    _, plain = find_conv(baked, layer)
    assert type(plain) is not SpectralConv2d
    after = plain._conv_forward(images, plain.weight, plain.bias)
    assert (after - before).norm() <= 1e-5 * before.norm()
    assert (baked.double()(images_of_model) - whole).norm() <= 1e-5 * whole.norm()


class Soak:
    """One composed Learner and what is done with it."""

    def __init__(self, composition, dls, folder, weights=None):
        self.plan, self.dls, self.folder = composition, dls, folder
        model = build_model(composition.model, composition.seed if weights is None else weights)
        self.keys = list(model.state_dict())
        self.layer = layer_name(model, composition.layer)
        self.kind = type(find_conv(model, self.layer)[1])
        self.callbacks = [make_callback(n, composition, model, self.layer) for n, _ in composition.ways]
        self.trained = 0
        self.learn = self.make(model, self.callbacks)

    def make(self, model, callbacks):
        by_way = {"Learner": [], "add_cb": [], "fit": []}
        for callback, (_, way) in zip(callbacks, self.plan.ways, strict=True):
            by_way[way].append(callback)
        self.for_fits = by_way["fit"]
        learn = make_learner(self.plan, model, self.dls, self.folder, by_way["Learner"])
        for callback in by_way["add_cb"]:
            learn.add_cb(callback)
        return learn

    def run(self):
        for action in self.plan.actions:
            getattr(self, f"do_{action}", lambda action=action: self.fit(action))()
            check_optimizer(self.learn)
        check_baking(self.learn.model, self.layer)
        self.take_all_off()

    def fit(self, action):
        spy, lr = StepSpy(self.check_proportion), self.learn.lr
        cbs = [*self.for_fits, spy]
        if action == "fine_tune":
            self.learn.fine_tune(1, lr, cbs=cbs)
        elif action == "reset":
            self.learn.fit(1, lr, cbs=cbs, reset_opt=True)
        else:
            getattr(self.learn, action)(1, lr, cbs=cbs)
        assert spy.calls >= 1
        self.trained += 2 if action == "fine_tune" else 1
        for recorder in [cb for cb in self.callbacks if isinstance(cb, SpectrumRecorder)]:
            assert recorder.epochs == list(range(self.trained + 1))

    def check_proportion(self):
        """The proportion holds, unless fine_tune has frozen the layer, which then stays as it is."""
        conv = find_conv(self.learn.model, self.layer)[1]
        for enforcing in [cb for cb in self.learn.cbs if isinstance(cb, FrequencyProportion)]:
            if not conv.weight.requires_grad:
                continue
            weight = effective_weight(conv)
            assert weight.isfinite().all()
            found = numpy_shares(weight, enforcing.bands)
            counts = np.bincount(found.argmax(1), minlength=len(enforcing.bands))
            exact = np.array([enforcing.proportions[name] for name in enforcing.bands.names]) * len(weight)
            assert (abs(counts - exact) < 1).all(), (counts, exact)
            assert found.max(1).min() >= enforcing.purity - 1e-4

    def do_lr_find(self):
        before = snapshot(self.learn)
        self.learn.lr_find(num_it=4, end_lr=0.1, show_plot=False, suggest_funcs=None)
        assert_same(before, snapshot(self.learn))

    def do_validate(self):
        first = self.learn.validate()
        assert list(first) == list(self.learn.validate())

    def do_get_preds(self):
        assert torch.isfinite(self.learn.get_preds()[0]).all()

    def do_save_load(self):
        self.learn.save("model")
        before = snapshot(self.learn)
        self.learn.load("model")
        assert_same(before, snapshot(self.learn))

    def do_fresh(self):
        """Load into a second Learner, made alike, and go on with that one."""
        path = self.learn.save("model")
        model = build_model(self.plan.model, self.plan.seed + 2)  # of the same shape
        former = snapshot(self.learn)
        self.callbacks = [make_callback(n, self.plan, model, self.layer) for n, _ in self.plan.ways]
        self.trained = 0
        self.learn = self.make(model, self.callbacks)
        load_weights(model, path)  # with the parts that fits have left
        assert_same(former, snapshot(self.learn))

    def do_export(self):
        self.learn.export()
        loaded = load_learner(self.folder / "export.pkl")
        assert_same(snapshot(self.learn), snapshot(loaded))
        check_baking(loaded.model, self.layer)

    def do_take_off_for_a_while(self):
        mine = [cb for cb in self.learn.cbs if cb in self.callbacks]
        before = snapshot(self.learn)
        with self.learn.removed_cbs(mine):
            check_optimizer(self.learn)
        assert_same(before, snapshot(self.learn))

    def take_all_off(self):
        self.learn.remove_cbs([cb for cb in self.learn.cbs if cb in self.callbacks])
        check_optimizer(self.learn)
        bake_modulation(remove_antialiasing(remove_equalization(self.learn.model)))
        conv = find_conv(self.learn.model, self.layer)[1]
        assert type(conv) is nn.Conv2d if self.kind is nn.Conv2d else type(conv) is self.kind
        assert list(self.learn.model.state_dict()) == self.keys
        assert not find_parts(self.learn.model)


def soak(seed, dls, folder, small=False):
    composition = compose(seed, small)
    try:
        Soak(composition, dls, folder).run()
        outcomes["trained"] += 1
    except Exception as error:
        if isinstance(error, ValueError) and REFUSALS.fullmatch(str(error)):
            outcomes["refused in one line"] += 1
            return
        error.add_note(str(composition))
        raise


@pytest.mark.parametrize(
    ("seeds", "small", "trained"), [((4, 9), True, 2), pytest.param(range(20), False, 11, marks=pytest.mark.slow)]
)
def test_on_two_ranks(seeds, small, trained, on_ranks):  # noqa: F811
    """fastai's distributed training of users' own Learners: weights and noise are equal on both after every fit."""
    from tests.soak import rank_tasks  # which needs this module

    both = on_ranks(rank_tasks.soak, seeds, small)
    assert both == [both[0]] * 2
    assert both[0].count("trained") >= trained


@pytest.mark.parametrize("seed", [*range(6), 35])  # in the last, only the first convolution has a stride
def test_small(seed, dls, tmp_path):
    soak(seed, dls, tmp_path, small=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_soak(seed, dls, tmp_path):
    soak(seed, dls, tmp_path)
