"""A callback in fastai's loop does what its method does in a loop of five lines, bit for bit."""

import tomllib
from functools import partial

import pytest
import torch
from fastai.optimizer import OptimWrapper
from torch import Tensor
from torch.nn.functional import cross_entropy

from freqfast import methods as package
from freqfast.methods import Method, Methods
from freqfast.runs.recipe import Recipe
from freqfast.training import build_callbacks
from tests.callbacks.test_every_callback import CALLBACKS
from tests.support import learners

ALL = """
antialiasing = { kind = 'flc' }
augmix = { jsd = 12.0 }
frequency_proportion = { proportions = { low = 0.25, high = 0.75 } }
spectral_modulation = { seed = 3 }
spectral_decay = { strength = 0.1 }
spectrum_equalization = { bins = 4 }
spectrum_perturbation = {}
gaussian_noise = {}
hybrid_augment = { clean_too = false, single = true }
fourier_basis_augmentation = { clean_too = false }
"""
NOT_METHODS = ("batch_norm", "spectrum_recorder")


def callbacks_of(text):
    return build_callbacks(Recipe("some", callbacks=tomllib.loads(f"[callbacks]\n{text}")["callbacks"]))


def methods_of(text):
    """The methods that the callbacks are shells of, with the same arguments."""
    tables = tomllib.loads(text).values()
    return [
        getattr(package, type(callback).__name__)(**options)
        for callback, options in zip(callbacks_of(text), tables, strict=True)
    ]


@pytest.fixture
def make(make_learner, make_model):
    def make(cbs=None):
        sgd = partial(OptimWrapper, opt=partial(torch.optim.SGD, momentum=0.9))
        return make_learner(cbs, make_model(strided=True), opt_func=sgd)

    return make


def train(learn, methods, optimizer):
    """One epoch over a Learner's batches, without it."""
    learn.model.train()
    for batch, labels in learn.dls.train:
        images, labels = batch.as_subclass(Tensor), labels.as_subclass(Tensor)
        loss = methods.loss(cross_entropy, learn.model(methods.images(images)), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        methods.step()


@pytest.mark.parametrize("text", [ALL, *(text for text in CALLBACKS if not text.startswith(NOT_METHODS))])
def test_shell_and_plain_loop_train_the_same_bits(text, make, rewind):
    shell, plain = make(callbacks_of(text)), make()
    assert all(isinstance(callback, Method) for callback in shell.cbs if "freqfast" in type(callback).__module__)
    rewind(shell, 3)
    shell.fit(1, 0.05, wd=0.0)
    normalize = plain.dls.train.after_batch.fs[-1]
    methods = Methods(plain.model, methods_of(text), mean=normalize.mean, std=normalize.std)
    optimizer = torch.optim.SGD(plain.model.parameters(), lr=0.05, momentum=0.9)
    rewind(plain, 3)
    methods.start()
    train(plain, methods, optimizer)
    learners.assert_same(learners.snapshot(shell), learners.snapshot(plain))
