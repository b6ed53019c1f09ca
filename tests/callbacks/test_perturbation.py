"""`SpectrumPerturbation` in a Learner: which samples, when, and in which range of pixels."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.mixup import MixUp
from fastai.data.transforms import Normalize
from fastai.torch_core import TensorImage
from fastai.vision.core import imagenet_stats
from fasttransform import DisplayedTransform
from torch import Tensor

from freqfast.callbacks import GaussianNoise, SpectrumPerturbation
from freqfast.callbacks.pixels import PixelCallback
from freqfast.methods.pixels import round_at_random
from freqfast.spectral.perturbation import perturb_spectrum

MEAN, STD = (torch.tensor(stat).view(1, 3, 1, 1) for stat in imagenet_stats)


class Watch(Callback):
    """Keeps the batches that reach a given place among the callbacks."""

    def __init__(self, order):
        self.order, self.kept = order, []

    def before_batch(self):
        self.kept.append((self.learn.training, self.learn.xb[0].as_subclass(Tensor).clone().cpu()))


class Scale(DisplayedTransform):
    """A normalisation that is not a `Normalize`."""

    order = 99  # after the conversion of bytes to floats, where Normalize is

    def encodes(self, x: TensorImage):
        return x * 2 - 1


def fit(make_learner, callback, dls=None):
    """Batches before and after the callback: lists of (training, images)."""
    before, after = Watch(1), Watch(8.5)
    make_learner(dls=dls).fit(1, 0.0, cbs=[before, callback, after])
    return before.kept, after.kept


def early(before_batch):
    """Changes batches before all others."""
    callback = Callback(before_batch=before_batch)
    callback.order = -5
    return callback


def changed(a, b):
    return (a != b).flatten(1).any(1)


@pytest.mark.parametrize(
    ("callback", "count"),
    [(SpectrumPerturbation(share=0.25, noise=0.1), 2), (GaussianNoise(1.0), 8), (GaussianNoise(1e-9), 0)],
)
def test_exactly_the_share_of_each_batch_is_changed_in_training_only(callback, count, make_learner):
    before, after = fit(make_learner, callback)
    assert [training for training, _ in before] == [True] * 3 + [False]
    for (training, clean), (_, perturbed) in zip(before, after, strict=True):
        rows = ((clean - perturbed).abs() > 1e-4).flatten(1).any(1)
        assert int(rows.sum()) == (count if training else 0)
        assert int(changed(clean, perturbed).sum()) <= (count if training else 0)  # the others stay bit for bit
        assert perturbed.dtype == clean.dtype


def test_each_strength_is_the_functions_of_that_name():
    strengths = {"gain": 0.5, "tilt": 1.0, "shaping": 0.7, "jitter": 0.2, "noise": 0.05, "scale": 1.5}
    pixels = torch.rand(4, 3, 16, 16)
    torch.manual_seed(0)
    found = SpectrumPerturbation(**strengths).change(pixels)
    torch.manual_seed(0)
    assert torch.equal(found, perturb_spectrum(pixels, **strengths))


def test_numbers_of_images_are_rounded_at_random_to_the_share():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert round_at_random(0.25 * 8) == 2
    assert torch.equal(torch.get_rng_state(), before)  # a whole number draws nothing
    counts = [round_at_random(0.25 * 9) for _ in range(1000)]
    assert set(counts) == {2, 3}
    assert np.mean(counts) == pytest.approx(2.25, abs=0.05)


@pytest.mark.parametrize("form", ["Normalize", "Normalize that measures", "none", "own"])
def test_pixels_are_levels_in_range_with_every_normalisation(form, make_learner, make_dls):
    tfms, options, mean, std = {
        "Normalize": (None, {}, MEAN, STD),
        "Normalize that measures": ([Normalize()], {}, None, None),
        "none": ([], {}, 0.0, 1.0),
        "own": ([Scale], {"mean": [0.5] * 3, "std": [0.5] * 3}, 0.5, 0.5),
    }[form]
    dls = make_dls(tfms)
    if mean is None:
        normalize = dls.train.after_batch.fs[-1]
        mean, std = (stat.as_subclass(Tensor).cpu() for stat in (normalize.mean, normalize.std))
    perturbation = SpectrumPerturbation(share=1.0, gain=0, tilt=0, shaping=0, noise=0.5, **options)
    before, after = fit(make_learner, perturbation, dls)
    for (training, clean), (_, perturbed) in zip(before, after, strict=True):
        pixels = perturbed * std + mean
        assert -1e-5 < pixels.min() <= pixels.max() < 1 + 1e-5
        if training:  # white to pink noise of up to half the range is seen on any scale
            assert 0.03 < float((pixels - (clean * std + mean)).std()) < 0.4
            torch.testing.assert_close(255 * pixels, (255 * pixels).round(), atol=1e-2, rtol=0)


def test_a_normalisation_other_than_the_dataloaders_is_refused(make_learner):
    message = r"mean=\[0\.5, 0\.5, 0\.5\] and std=\[0\.25\] are not those of the DataLoaders' Normalize"
    with pytest.raises(ValueError, match=message):
        make_learner(SpectrumPerturbation(mean=[0.5] * 3, std=[0.25])).fit(1)
    make_learner(SpectrumPerturbation(mean=imagenet_stats[0], std=imagenet_stats[1])).fit(1)


class Levels(Scale):
    """Black images with a few bright pixels, of 0 to 255."""

    def encodes(self, x: TensorImage):
        return 255 * (torch.arange(x.shape[3], device=x.device) == 3) * torch.ones_like(x) * (x > x.quantile(0.8))


@pytest.mark.parametrize(
    ("scale", "lowest", "highest", "mean", "std"), [(Scale, -1, 1, 0.5, 0.5), (Levels, 0, 255, 0, 1 / 255)]
)
def test_an_unknown_normalisation_is_refused(scale, lowest, highest, mean, std, make_learner, make_dls):
    """Levels of bytes are known by few bright pixels."""
    learn = make_learner(dls=make_dls([scale]))
    with pytest.raises(
        ValueError, match=rf"pixels run from {lowest} to {highest} instead of 0 to 1 .*; pass mean= and"
    ):
        learn.fit(1, cbs=SpectrumPerturbation())
    learn.fit(1, cbs=SpectrumPerturbation(mean=[mean], std=[std]))


@pytest.mark.parametrize(
    ("rows", "value", "refused"),
    [
        (8, 5.0, False),
        (16, 5.0, True),
        (1, -100.0, True),
        *((16, ((pixel - MEAN) / STD)[..., 0], False) for pixel in (-0.005, 1.005)),  # by roundings
    ],
)
def test_a_twentieth_of_the_values_may_lie_a_little_outside(rows, value, refused, make_learner):
    """As after RandomErasing; here the first rows of one of 16 columns do."""

    def before_batch(self):
        if self.training:
            self.learn.xb[0][:, :, :rows, 0] = value

    with pytest.raises(ValueError, match="pixels run from") if refused else nullcontext():
        make_learner([early(before_batch), GaussianNoise()]).fit(1)


def test_levels_that_are_integers_are_rounded(make_learner, make_dls):
    def to_bytes(self):
        self.learn.xb = ((255 * self.learn.xb[0]).round().to(torch.uint8),)

    def to_floats(self):
        self.learn.xb = (self.learn.xb[0] / 255,)

    conversions = [early(to_bytes), Callback(before_batch=to_floats)]
    conversions[1].order = 8.7
    unchanged = GaussianNoise(share=1.0, sigma=0.0, mean=[0.0], std=[1 / 255])
    before, after = Watch(1), Watch(8.5)
    make_learner(conversions, dls=make_dls([])).fit(1, cbs=[before, unchanged, after])
    for (_, levels), (_, found) in zip(before.kept, after.kept, strict=True):
        assert found.dtype == torch.uint8
        assert torch.equal(found, levels)


@pytest.mark.parametrize(
    ("change", "got"),
    [(lambda images: (images, images), ".*tuple"), (lambda images: images.flatten(1), r".*\[8, 768\]")],
)
def test_what_is_no_batch_of_images_is_refused(change, got, make_learner):
    def changed(self):
        self.learn.xb = (change(self.learn.xb[0]),)

    with pytest.raises(ValueError, match=rf"the first input must be a batch of images \(N, C, H, W\), got {got}"):
        make_learner([early(changed), SpectrumPerturbation()]).fit(1)


def test_a_mixture_is_perturbed_as_one_image(make_learner):
    mixed, after = Watch(1), Watch(8.5)
    make_learner([SpectrumPerturbation(), MixUp()]).fit(1, cbs=[mixed, after])
    for (training, a), (_, b) in zip(mixed.kept, after.kept, strict=True):
        assert int(changed(a, b).sum()) == (2 if training else 0)  # MixUp came first, though it was added later


class Stretch(PixelCallback):
    """Leaves the range of pixels, as somebody's first own callback may; has an argument of its own."""

    by: float = 4

    def change(self, pixels):
        return self.by * pixels - 1.5


def test_pixels_of_a_callback_of_ones_own_are_those_of_an_image_file(make_learner, make_dls):
    with pytest.raises(ValueError, match="by must be a valid number, got '4'"):
        Stretch(1.0, "4")
    before, after = fit(make_learner, Stretch(1.0), make_dls([]))
    for (training, clean), (_, stretched) in zip(before, after, strict=True):
        levels = (255 * clean.cpu()).round() / 255
        expected = (255 * (4 * levels - 1.5).clamp(0, 1)).round() / 255 if training else clean
        torch.testing.assert_close(stretched, expected, rtol=0, atol=1e-4)
