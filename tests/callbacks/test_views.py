"""Views of each batch beside the batch: what passes through the network, what is learned from, what is shown."""

import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.mixup import MixUp
from fastai.callback.training import GradientAccumulation
from fastai.torch_core import TensorMask
from fastai.vision.core import TensorPoint
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from freqfast.callbacks import AugMix, FourierBasisAugmentation, HybridAugment, SpectralDecay
from freqfast.callbacks.views import ViewsCallback
from freqfast.methods.references import jensen_shannon
from freqfast.spectral.decay import energy_outside
from tests.support import learners


class Darker(ViewsCallback):
    """Views whose pixels are half of the batch's."""

    def __init__(self, views=1):
        super().__init__(share=1.0)
        self.views = views

    def change(self, pixels):
        return pixels / 2


class Identity(Darker):
    """A view that is the batch."""

    def change(self, pixels):
        return pixels


class Steps(Callback):
    """Keeps what each training batch brings: input, all predictions, targets, the loss and what is descended on."""

    run_valid = False
    order = GradientAccumulation.order - 0.5

    def __init__(self):
        self.kept = []

    def before_fit(self):
        self.hook = self.learn.model.register_forward_hook(
            lambda model, inputs, output: setattr(self, "output", output)
        )

    def before_batch(self):
        self.images = self.learn.xb[0].as_subclass(Tensor).clone()

    def after_loss(self):
        learn = self.learn
        targets = learn.yb[0].as_subclass(Tensor)
        assert torch.equal(learn.xb[0], self.images[: len(targets)])  # the views are parted off, as distillation needs
        losses = [loss.detach().clone() for loss in (learn.loss, learn.loss_grad)]  # fastai scales them in place
        self.kept.append((self.images, self.output.detach(), learn.pred.detach(), targets, *losses))

    def after_fit(self):
        self.hook.remove()


def steps_of(learn, *cbs):
    steps = Steps()
    learn.fit(1, 0.01, cbs=[*cbs, steps])
    return steps.kept


@pytest.mark.parametrize("views", [0, 1, 2])
def test_the_batch_and_its_views_pass_together(views, make_learner):
    darker = Darker(views=views)
    kept = steps_of(make_learner(), darker)
    assert darker.passes_per_image == 1 + views
    clean = steps_of(make_learner())[0][0]  # the first batch, before anything was drawn
    parts = kept[0][0].chunk(1 + views)
    assert len(kept[0][1]) == 8 * (1 + views)
    if views:
        assert torch.equal(parts[0], clean)
    for changed in parts[1:] or parts:
        assert (changed != clean).flatten(1).any(1).all()
        assert torch.equal(changed, parts[-1])  # each is of the batch, not of the view before
    assert [len(targets) for _, _, _, targets, _, _ in kept] == [8] * 3


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        (Darker(views=2), lambda losses, parts: sum(losses) / 3),
        (AugMix(jsd=12.0), lambda losses, parts: losses[0] + 12 * jensen_shannon(parts)),
    ],
)
@pytest.mark.parametrize("half", [False, True])
def test_all_is_descended_on_and_the_batchs_own_is_shown(callback, expected, half, make_learner):
    def after_pred(self):
        self.learn.pred = self.learn.pred.float()

    to_float = Callback(after_pred=after_pred)  # as fastai's mixed precision does, once the views are split off
    to_float.order = 10
    learn = make_learner([Predicting(Tensor.bfloat16), to_float] if half else None)
    for _, output, pred, targets, loss, descended in steps_of(learn, callback):
        parts = (output.bfloat16().float() if half else output).chunk(3)
        losses = [cross_entropy(part, targets) for part in parts]
        torch.testing.assert_close(descended, expected(losses, parts))
        torch.testing.assert_close(loss, losses[0])
        assert torch.equal(pred, parts[0])


@pytest.mark.parametrize("order", [SpectralDecay.order, 0])  # after the views, and before them, as others' penalties
def test_a_penalty_beside_them_counts_in_full(order, make_learner):
    def with_decay(strength):
        decay = SpectralDecay(strength)
        decay.order = order
        return float(steps_of(make_learner(), decay, Darker())[0][-1])

    penalty = 10 * float(energy_outside(make_learner().model[0][0].weight.detach(), "low"))
    assert with_decay(10.0) - with_decay(0.0) == pytest.approx(penalty, rel=1e-4)


def test_a_callback_without_views_changes_each_view_by_itself(make_learner):
    noise = Darker(views=0)
    noise.change = torch.rand_like
    for cbs in ([noise, Identity()], [Identity(), noise]):
        batch, view = steps_of(make_learner(), *cbs)[0][0].chunk(2)
        assert not torch.equal(batch, view)


def test_mixup_mixes_first_and_accumulation_scales_all_of_the_loss(make_learner):
    scaled = []

    def before_backward(self):
        scaled.append(self.learn.loss_grad.item())

    added = MixUp(), GradientAccumulation(16), Callback(before_backward=before_backward)
    for images, output, pred, *_, descended in steps_of(make_learner(), Darker(), *added):
        assert len(images) == len(output) == 2 * len(pred) == 16
        assert scaled.pop(0) == pytest.approx(descended.item() / 2)


def test_models_of_several_inputs(make_learner, make_model):
    class Two(torch.nn.Sequential):
        def forward(self, images, scale):
            return super().forward(images) * scale

    def before_batch(self):
        [images] = self.learn.xb
        self.learn.xb = (images, torch.arange(len(images), dtype=images.dtype, device=images.device)[:, None])

    adds = Callback(before_batch=before_batch)
    adds.order = -5
    for _, output, *_ in steps_of(make_learner(model=Two(*make_model())), adds, Darker()):
        assert float(output[0].abs().max()) == float(output[8].abs().max()) == 0


def test_two_that_add_views_are_refused(make_learner):
    with pytest.raises(ValueError, match="HybridAugment and FourierBasisAugmentation both add views of each batch"):
        make_learner([HybridAugment(), FourierBasisAugmentation()]).fit(1)
    make_learner([HybridAugment(), FourierBasisAugmentation(clean_too=False)]).fit(1)


def mean_prediction(predictions, targets):
    return predictions.mean()


def plain_mask(targets):
    return torch.zeros(len(targets), 16, 16, dtype=torch.long)  # of the images' size


class Predicting(Callback):
    """Predicts something else, or has other targets or a further input."""

    order = -50

    def __init__(self, change=lambda pred: pred, target=lambda y: y, beside=None):
        self.change, self.target, self.beside = change, target, beside

    def before_batch(self):
        self.learn.yb = (self.target(self.learn.yb[0]),)
        if self.beside is not None:
            self.learn.xb = (*self.learn.xb, self.beside(self.learn.xb[0][:, 0]))

    def after_pred(self):
        self.learn.pred = self.change(self.learn.pred)


@pytest.mark.parametrize(
    ("callback", "other", "message"),
    [
        (AugMix(jsd=1.0), Predicting(lambda pred: pred[:, 0]), "jsd compares probabilities of classes"),
        (AugMix(jsd=1.0), Predicting(target=lambda y: one_hot(y).float()), "jsd compares .*; else pass jsd=0"),
        (AugMix(), Predicting(target=TensorPoint), "AugMix rotates and shifts images here, which other images, masks"),
        (HybridAugment(single=True), Predicting(target=TensorMask), "HybridAugment rotates and shifts images here"),
        (AugMix(), Predicting(target=plain_mask), "AugMix rotates and shifts images here"),
        (AugMix(), Predicting(beside=torch.clone), "AugMix rotates and shifts images here"),
    ],
)
def test_outputs_and_targets_that_do_not_go_with_it(callback, other, message, make_learner):
    with pytest.raises(ValueError, match=message):
        make_learner([callback, other], loss_func=mean_prediction).fit(1)


def test_masks_go_with_pixels_that_stay_and_shares_of_classes_with_those_that_move(make_learner, items):
    sixteen = learners.make_loaders(items, 16, 16, device=learners.DEVICE)  # of 16x16 pixels
    shares = Predicting(target=lambda y: one_hot(y.long(), 16).float())
    for cbs in ([HybridAugment(), Predicting(target=TensorMask)], [AugMix(), shares]):
        make_learner(cbs, dls=sixteen, loss_func=mean_prediction).fit(1)
