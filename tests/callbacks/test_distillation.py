"""Distillation in a Learner: what the loss is, and that the Learner's own comes back."""

import copy

import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.mixup import MixUp
from fastai.learner import CancelBatchException

from freqfast import methods
from freqfast.callbacks import AmplitudePhaseRecombination, Distillation, GaussianNoise
from freqfast.methods.distillation import distillation_loss


class Watch(Callback):
    """Keeps what the loss of each batch is, and of which inputs and predictions."""

    order = 50

    def before_train(self):
        self.batches = []

    def after_loss(self):
        if self.training:
            self.batches.append((self.loss.item(), self.loss_grad.item(), self.pred.detach().clone()))


def teacher_of(learn):
    return copy.deepcopy(learn.model).eval()


def test_the_loss_is_the_divergence_from_the_network_as_it_was(make_learner):
    learn = make_learner([watch := Watch(), callback := Distillation(temperature=3), GaussianNoise(share=1.0)])
    own = learn.loss_func
    seen = []
    teacher = teacher_of(learn)

    class Inputs(Callback):
        order = -50

        def before_batch(self):
            if self.training:
                seen.append(self.xb[0].as_subclass(torch.Tensor).clone())

    learn.fit(1, 0.05, cbs=Inputs())
    assert learn.loss_func is own
    for images, (loss, gradient, pred) in zip(seen, watch.batches, strict=True):
        with torch.no_grad():
            expected = distillation_loss(pred, teacher.to(images.device)(images), 3)
        assert loss == pytest.approx(float(expected), rel=1e-4, abs=1e-6)
        assert gradient == loss
    assert callback.state_dict()["teacher"].keys() == teacher.state_dict().keys()


def test_with_views_and_mixed_images(make_learner):
    learn = make_learner([watch := Watch(), Distillation(), AmplitudePhaseRecombination(), MixUp()])
    own = learn.loss_func
    learn.fit(1, 0.05)
    assert learn.loss_func is own
    assert all(loss != gradient for loss, gradient, _ in watch.batches)
    assert torch.isfinite(torch.tensor(learn.recorder.values[-1][:2])).all()


def test_a_batch_that_is_left_out_gives_the_loss_function_back(make_learner):
    class Skip(Callback):
        order = 60

        def after_loss(self):
            raise CancelBatchException

    learn = make_learner([Distillation(), Skip()])
    own = learn.loss_func
    learn.fit(1)
    assert learn.loss_func is own


def test_it_is_the_method(make_learner):
    assert issubclass(Distillation, methods.Distillation)
    teacher = teacher_of(make_learner())
    learn = make_learner([Distillation(teacher)])
    learn.fit(1, 0.05)
    assert not teacher.training
