"""What one may do with a Learner of any network and any of the callbacks, in any order: it stays sound.

Nothing may raise but freqfast's own refusals, on one line, and the exceptions that a test throws into a fit. The
proportion holds after every optimizer step, folded gains leave a network's outputs, and what was added can be removed.
"""

import copy
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback, CancelBatchException, CancelEpochException, CancelFitException
from fastai.callback.mixup import CutMix, MixHandler, MixUp
from fastai.callback.progress import CSVLogger
from fastai.callback.schedule import ParamScheduler
from fastai.callback.tracker import SaveModelCallback
from fastai.callback.training import GradientAccumulation, GradientClip
from fastai.learner import load_learner
from fastai.optimizer import SGD, Adam, ranger
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import freqfast
from freqfast import analyse, bake_modulation, evaluate, remove_antialiasing, remove_equalization
from freqfast.callbacks import AutoPrecision, FrequencyProportion
from freqfast.models.build import build_model
from freqfast.models.parts import find_parts
from freqfast.spectral.surgery import find_conv
from tests.callbacks.test_every_callback import CALLBACKS, built, state_of
from tests.support import learners

SMALL = [f"timm:test_{name}" for name in ("resnet", "efficientnet", "convnext", "byobnet", "mambaout", "vit", "nfnet")]
LARGER = [
    "timm:resnet10t", "timm:mobilenetv3_small_050", "timm:tf_mobilenetv3_small_075", "timm:lcnet_050",
    "timm:mobilenetv4_conv_small", "timm:ghostnet_050", "timm:regnetx_002", "timm:regnety_002", "timm:convnext_atto",
    "timm:vit_tiny_patch16_224", "timm:mobilevit_xxs", "timm:edgenext_xx_small", "timm:dla46x_c", "timm:tinynet_e",
    "timm:mnasnet_small", "timm:semnasnet_075", "timm:efficientnet_lite0", "timm:starnet_s1", "timm:nf_regnet_b0",
    "timm:rexnet_100", "timm:hardcorenas_a", "timm:levit_128s",
    "torchvision:squeezenet1_1", "torchvision:shufflenet_v2_x0_5", "torchvision:mobilenet_v3_small",
    "torchvision:mobilenet_v2", "torchvision:mnasnet0_5", "torchvision:regnet_y_400mf", "torchvision:resnet18",
]  # fmt: skip
PACKAGE = Path(freqfast.__file__).parent
FOREIGN = {
    GradientAccumulation: {"n_acc": 16},
    MixUp: {},
    CutMix: {},
    GradientClip: {},
    CSVLogger: {},
    SaveModelCallback: {"every_epoch": True},
    AutoPrecision: {"precision": "bfloat16"},
}
FITS = {
    "one epoch": lambda learn, cbs: learn.fit(1, 0.01, cbs=cbs),
    "two epochs": lambda learn, cbs: learn.fit(2, 0.01, cbs=cbs),
    "one cycle": lambda learn, cbs: learn.fit_one_cycle(1, 0.01, cbs=cbs),
    "fine_tune": lambda learn, cbs: learn.fine_tune(1, 0.01, cbs=cbs),
    "new optimizer": lambda learn, cbs: learn.fit(1, 0.01, cbs=cbs, reset_opt=True),
}
USES = {
    "validate": lambda learn: learn.validate(ds_idx=0),
    "get_preds": lambda learn: learn.get_preds(with_loss=True),
    "predict": lambda learn: learn.predict(learn.dls.valid_ds.items[0].image),
    "lr_find": lambda learn: learn.lr_find(num_it=3, show_plot=False, suggest_funcs=None),
    "evaluate": lambda learn: evaluate(learn, ["fog"], [1], limit=6),
    "analyse": lambda learn: analyse(learn, "reliance", limit=6),
}
EVENTS = ("train", "batch", "pred", "loss", "step", "validate", "epoch")
THROWN = (KeyboardInterrupt, OSError, CancelBatchException, CancelEpochException, CancelFitException)


class Throwing(Callback):
    """Raises an exception at the n-th occurrence of an event."""

    def __init__(self, event, error, order, n):
        self.order, self._thrown, self._left = order, error("thrown"), n
        setattr(self, event, self._count)

    def _count(self):
        self._left -= 1
        if self._left < 0:
            raise self._thrown


@contextmanager
def refusing(*expected):
    """Lets a step fail by the expected exceptions, and by a ValueError of freqfast on one line."""
    try:
        yield
    except expected:
        pass
    except ValueError as error:
        raised = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        message = str(error).rpartition(":\n\t")[2]  # after fastai's line on the event
        if not raised.is_relative_to(PACKAGE) or "\n" in message:
            raise


def is_ours(callback):
    return type(callback).__module__.startswith("freqfast.")


def network(name):
    """A network for images of 32x32 pixels, with random weights."""
    return build_model(name, classes=learners.CLASSES, **({"img_size": 32} if "vit_" in name else {}))


def halves(model):
    """Two groups of a network's parameters, for what freezes one of them."""
    parameters = list(model.parameters())
    return [parameters[: len(parameters) // 2], parameters[len(parameters) // 2 :]]


class Sequence(RuleBasedStateMachine):
    """A Learner, and what is done with it."""

    make_learner = names = items = tmp_path = None  # the test's

    def learner(self, model, **options):
        loaders = learners.make_loaders(self.items, 8, 8, device=learners.DEVICE)
        return self.make_learner(model=model, dls=loaders, splitter=halves, **options)

    def states(self):
        states = []
        for callback in self.learn.cbs:
            with suppress(ValueError):  # of a modulation that is folded
                states.append(state_of(self.learn, callback))
        return states

    @initialize(data=st.data(), texts=st.lists(st.sampled_from(list(CALLBACKS)), min_size=3, max_size=3, unique=True))
    def choose(self, data, texts):  # few, so that they meet
        self.name, self.texts = data.draw(st.sampled_from(self.names)), texts
        self.learn, self.saved = self.learner(network(self.name)), {}

    @rule(which=st.integers(0, 2))
    def add(self, which):
        before = len(self.learn.cbs)
        with refusing():
            self.learn.add_cb(built(self.texts[which]))
            before += 1
        assert len(self.learn.cbs) == before

    @rule(kind=st.sampled_from(list(FOREIGN)))
    def add_foreign(self, kind):
        if kind not in map(type, self.learn.cbs):
            self.learn.add_cb(kind(**FOREIGN[kind]))

    @rule(data=st.data())
    def remove(self, data):
        callbacks = [each for each in self.learn.cbs if is_ours(each) or type(each) in FOREIGN]
        if callbacks:
            self.learn.remove_cb(data.draw(st.sampled_from(callbacks)))

    @rule(fit=st.sampled_from(list(FITS)), which=st.none() | st.integers(0, 2))
    def fit(self, fit, which):
        before, spy = list(self.learn.cbs), learners.StepSpy(self.check_proportion)
        with refusing():
            FITS[fit](self.learn, [spy] if which is None else [built(self.texts[which]), spy])
        self.learn.remove_cb(ParamScheduler)  # which fastai leaves there if the next callback is refused
        assert list(self.learn.cbs) == before

    def check_proportion(self):
        conv = find_conv(self.learn.model, plain=False)[1]
        for each in self.learn.cbs:
            if isinstance(each, FrequencyProportion) and conv.weight.requires_grad:
                learners.assert_enforced(self.learn, each)

    @rule(
        fit=st.sampled_from(list(FITS)),
        event=st.builds("{}_{}".format, st.sampled_from(["before", "after"]), st.sampled_from(EVENTS)),
        error=st.sampled_from(THROWN),
        order=st.sampled_from([-200, -5, 7, 55, 3000]),
        n=st.integers(0, 3),
    )
    def fail(self, fit, event, error, order, n):
        # They keep the loss function that they replaced where a training epoch does not end, and fail in the next.
        self.learn.remove_cbs([callback for callback in self.learn.cbs if isinstance(callback, MixHandler)])
        before = list(self.learn.cbs)
        with refusing(error):
            FITS[fit](self.learn, Throwing(event, error, order, n))
        assert list(self.learn.cbs) == before

    @rule(use=st.sampled_from(list(USES)))
    def use(self, use):
        before = self.states()
        with refusing():
            USES[use](self.learn)
        np.testing.assert_equal(self.states(), before)

    @rule(with_opt=st.booleans())
    def save(self, with_opt):
        name = str(len(self.saved))
        with_opt = with_opt and self.learn.opt is not None
        self.learn.save(name, with_opt=with_opt)
        self.saved[name] = (with_opt, self.learn.model.state_dict().keys())

    @rule(data=st.data())
    def load(self, data):
        names = [name for name, (_, keys) in self.saved.items() if keys == self.learn.model.state_dict().keys()]
        if names:
            name = data.draw(st.sampled_from(names))
            self.learn.load(name, with_opt=self.saved[name][0])

    @rule()
    def export(self):
        if CSVLogger in map(type, self.learn.cbs):  # keeps its file open
            return
        self.learn.export("it.pkl")
        loaded = load_learner(self.tmp_path / "it.pkl", cpu=False)
        assert list(map(type, loaded.cbs)) == list(map(type, self.learn.cbs))
        loaded.dls = self.learn.dls
        self.learn = loaded

    @rule(group=st.sampled_from([0, 1]))
    def freeze(self, group):
        self.learn.freeze_to(group)

    @rule(remove=st.sampled_from([bake_modulation, remove_equalization, remove_antialiasing]))
    def take_apart(self, remove):
        with refusing():
            remove(self.learn.model)

    @rule(opt_func=st.sampled_from([SGD, Adam, ranger]), of_copy=st.booleans(), move=st.booleans())
    def another_learner(self, opt_func, of_copy, move):
        old = self.learn
        self.learn = self.learner(copy.deepcopy(old.model) if of_copy else old.model, opt_func=opt_func)
        for callback in filter(is_ours, list(old.cbs) if move else ()):
            with refusing():
                old.remove_cb(callback)
                self.learn.add_cb(callback)

    @invariant()
    def is_sound(self):
        learn = self.learn
        with refusing():
            assert np.isfinite(learn.validate()).all()
        assert not learn.lock.locked()  # else the next validation would wait for ever
        assert all(callback.learn is learn for callback in learn.cbs)
        assert not any("forward" in vars(module) for module in learn.model.modules())
        learners.check_optimizer(learn)

    def teardown(self):
        model, images = self.learn.model.eval().double(), torch.randn(2, 3, 32, 32, dtype=torch.float64)
        with torch.no_grad():
            torch.testing.assert_close(bake_modulation(copy.deepcopy(model))(images), model(images))
        plain = remove_antialiasing(remove_equalization(bake_modulation(model)))
        assert plain.state_dict().keys() == network(self.name).state_dict().keys()
        assert not find_parts(plain)


@pytest.mark.filterwarnings("ignore:load_learner", "ignore:You are shadowing")
@pytest.mark.parametrize(
    ("models", "examples"),
    [(SMALL, 20), pytest.param(SMALL + LARGER, 200, marks=[pytest.mark.slow, pytest.mark.soak])],
)
def test_any_sequence(models, examples, make_learner, tmp_path):
    class Here(Sequence):
        pass

    Here.make_learner, Here.names, Here.tmp_path = staticmethod(make_learner), models, tmp_path
    Here.items = learners.striped_rows(24, 32)
    some = settings(max_examples=examples, stateful_step_count=12, phases=[Phase.generate])  # to shrink takes minutes
    run_state_machine_as_test(Here, settings=some)
