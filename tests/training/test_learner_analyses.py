"""Analyses of a Learner's model on its own validation images."""

from functools import partial

import numpy as np
import pytest
import torch
from fastai.data.block import CategoryBlock, DataBlock, TransformBlock
from fastai.data.transforms import GrandparentSplitter, Normalize, get_image_files, parent_label
from fastai.learner import Learner
from fastai.metrics import accuracy
from fastai.torch_basics import Transform
from fastai.torch_core import TensorImage
from fastai.vision.augment import Resize
from fastai.vision.core import PILImageBW, imagenet_stats
from fastai.vision.data import ImageBlock, ImageDataLoaders
from torch import nn

import freqfast
from freqfast.training.validation import analyse
from tests.support.colour_learners import FOURS, brightest_channel, two_inputs


def test_an_analysis_of_a_model_alone_is_refused():
    with pytest.raises(TypeError, match="learn must be a fastai Learner, whose images are taken, got Sequential"):
        freqfast.analyse(torch.nn.Sequential(), "quality")


@pytest.mark.parametrize(("name", "options"), [("reliance", {}), ("heatmap", {"grid": 4}), ("ablation", {})])
def test_analyses_of_a_learner(learn, name, options):
    learn.model = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), *learn.model)
    found = analyse(learn, name, limit=6, seed=3, **options)
    assert (found.images, getattr(found, "seed", 3)) == (6, 3)
    with learn.no_bar():
        whole = analyse(learn, name, limit=None, **options)
        expected = learn.validate()[1]
    clean = 1 - whole.clean_error if name == "heatmap" else whole.clean
    assert clean == pytest.approx(expected)


def test_an_analysis_of_another_package_gets_all_that_it_takes(learn, install):
    install("analyses", "from tests.support.ripple import ripple", ripple="ripple")
    assert analyse(learn, "ripple", limit=6, depth=4).images == 6


def test_pixels_are_rounded_to_levels(learn):
    seen = []
    learn.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].as_subclass(torch.Tensor)))
    analyse(learn, "reliance", limit=None)
    whole = torch.cat([images.as_subclass(torch.Tensor) for images, _ in learn.dls.valid])
    std = torch.tensor(imagenet_stats[1])[:, None, None]
    assert 0.4 < (255 * std * (seen[-1] - whole)).abs().max() < 0.51


@pytest.mark.parametrize("name", ["reliance", "heatmap", "ablation"])
def test_grey_images(folder, name):
    block = DataBlock(
        (ImageBlock(PILImageBW), CategoryBlock), get_items=get_image_files, get_y=parent_label, item_tfms=Resize(16)
    )
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    learn = Learner(block.dataloaders(folder, **FOURS), model, metrics=accuracy)
    assert analyse(learn, name, limit=6).images == 6


def test_one_mean_for_all_channels(folder):
    found = []
    for channels in (1, 3):
        normalize = Normalize.from_stats([0.5] * channels, [0.25] * channels, cuda=False)
        loaders = ImageDataLoaders.from_folder(folder, item_tfms=Resize(16), batch_tfms=[normalize], **FOURS)
        learn = Learner(loaders, brightest_channel())
        found.append(analyse(learn, "reliance", limit=None))
    assert found[0].clean == found[1].clean
    np.testing.assert_array_equal(found[0].low, found[1].low)


def own_scale(folder, change=lambda image: 2 * image - 1):
    """A normalisation that is not a `Normalize`: from [0, 1] to [-1, 1], or to what it is changed to."""
    changed = Transform(lambda image: change(image) if isinstance(image, TensorImage) else image)
    changed.order = Normalize.order
    return ImageDataLoaders.from_folder(folder, item_tfms=Resize(32), batch_tfms=[changed], **FOURS)


def test_pixels_a_little_out_of_range_are_clipped(folder):
    seen, learn = [], Learner(own_scale(folder, lambda image: (3 * image - 1).clamp(-0.05, 1.05)), brightest_channel())
    learn.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].as_subclass(torch.Tensor)))
    analyse(learn, "reliance", limit=None)
    whole = torch.cat([images.as_subclass(torch.Tensor) for images, _ in learn.dls.valid])
    assert (whole.min(), whole.max()) == (pytest.approx(-0.05), pytest.approx(1.05))
    assert (255 * (seen[-1] - whole.clamp(0, 1))).abs().max() < 0.51


def with_target(folder, target):
    block = DataBlock(
        (ImageBlock, TransformBlock),
        get_items=get_image_files,
        get_y=lambda path: target,
        splitter=GrandparentSplitter(),
        item_tfms=Resize(16),
    )
    return block.dataloaders(folder, **FOURS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (own_scale, r"pixels run from -\S+ to \S+ instead of 0 to 1 without fastai's Normalize; normalise by"),
        (partial(own_scale, change=lambda image: 255 * image), "pixels run from .* instead of 0 to 1 without fastai's"),
        (two_inputs, "an image must be one input with one label, got 3 parts"),
        (partial(with_target, target=torch.tensor(0.5)), r"one label each, got targets float32 of shape \(18,\)"),
        (partial(with_target, target=torch.tensor([0, 1])), r"one label each, got targets int64 of shape \(18, 2\)"),
    ],
)
def test_images_that_an_analysis_cannot_take(folder, make, message):
    with pytest.raises(ValueError, match=message):
        analyse(Learner(make(folder), brightest_channel(), loss_func=nn.CrossEntropyLoss()), "reliance")


def test_all_images_where_there_are_few(learn):
    assert analyse(learn, "reliance").images == 18


def test_an_analysis_without_images(learn):
    learn.model = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), *learn.model)
    assert analyse(learn, "quality").analysis == "quality"
