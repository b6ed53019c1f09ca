"""DataLoaders and models for folders of colours, whose validation set a Learner is measured on."""

import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import Normalize, get_image_files, parent_label
from fastai.learner import Learner
from fastai.metrics import F1Score, accuracy
from fastai.torch_basics import noop
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.core import imagenet_stats
from fastai.vision.data import ImageBlock, ImageDataLoaders
from torch import nn

from freqfast.training.validation import evaluate_learner

FOURS = {"bs": 4, "device": "cpu", "num_workers": 0}


def brightest_channel(classes=3):
    """Its logits are the mean of each channel."""
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))


def colour_learner(folder):
    """A Learner whose model tells the colours, untrained; its validation images are cropped and normalised."""
    transforms = [*aug_transforms(size=32), Normalize.from_stats(*imagenet_stats, cuda=False)]
    loaders = ImageDataLoaders.from_folder(folder, item_tfms=Resize(36), batch_tfms=transforms, **FOURS)
    model = brightest_channel()
    model[2].weight.data = torch.eye(3)
    return Learner(loaders, model, metrics=[accuracy, F1Score(average="macro")])


def two_inputs(folder):
    block = DataBlock(
        (ImageBlock, ImageBlock, CategoryBlock),
        n_inp=2,
        get_items=get_image_files,
        get_y=parent_label,
        get_x=[noop, noop],
        item_tfms=Resize(32),
    )
    return block.dataloaders(folder, **FOURS)


def measure(learn, *arguments, **options):
    """`evaluate_learner` without bars and lines."""
    with learn.no_bar(), learn.no_logging():
        return evaluate_learner(learn, *arguments, **options)
