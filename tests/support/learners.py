"""Small images and DataLoaders for fastai Learners, and checks of a Learner that our callbacks work in."""

import operator
import os
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter, Normalize
from fastai.vision.core import imagenet_stats
from fastai.vision.data import ImageBlock
from torch import nn

from freqfast.spectral.bands import band_counts
from freqfast.spectral.modulation import effective_weight
from freqfast.spectral.surgery import find_conv
from tests.support.projected import numpy_shares

CLASSES = 3
DEVICE = os.environ.get("FREQFAST_TEST_DEVICE", "cpu")  # where the callbacks' tests train


@dataclass(repr=False)  # a DataBlock formats each item that it sets up
class Row:
    image: np.ndarray
    label: str


def striped_rows(count, size):
    """Images of stripes (one frequency a class) in noise, as a user's table of arrays and labels."""
    rng = np.random.default_rng(0)
    x = np.arange(size)
    rows = []
    for i in range(count):
        stripes = np.cos(2 * np.pi * (0.06, 0.2, 0.45)[i % CLASSES] * (x[:, None] + rng.integers(8)))
        pixels = 128 + 60 * stripes[..., None] + rng.normal(0, 30, (size, size, 3))
        rows.append(Row(pixels.clip(0, 255).astype(np.uint8), "abc"[i % CLASSES]))
    return rows


def make_loaders(rows, valid, batch_size, batch_tfms=None, device="cpu"):
    """Real fastai DataLoaders over rows, the first ones to validate."""
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_x=operator.attrgetter("image"),
        get_y=operator.attrgetter("label"),
        splitter=IndexSplitter(range(valid)),
        batch_tfms=[Normalize.from_stats(*imagenet_stats, cuda=False)] if batch_tfms is None else batch_tfms,
    )
    return block.dataloaders(rows, bs=batch_size, num_workers=0, device=device)


def silent(_):
    """A logger that can be pickled."""


def conv(learn, layer=None):
    return find_conv(learn.model, layer)[1]


def assert_enforced(learn, callback, counts=None, layer=None):
    """The proportion of the filters that the layer applies is exactly the wanted one, each with its purity."""
    shares = numpy_shares(effective_weight(conv(learn, layer)), callback.bands)
    if counts is None:
        exact = {name: Fraction(share).limit_denominator(1000) for name, share in callback.proportions.items()}
        counts = band_counts(exact, callback.bands, len(shares))
    assert np.bincount(shares.argmax(1), minlength=len(counts)).tolist() == counts
    assert shares.max(1).min() >= callback.purity - 1e-5


def check_optimizer(learn):
    """Each parameter of the model is in the optimizer once, and nothing else is."""
    if learn.opt is None:
        return
    held = [id(p) for group in learn.opt.param_lists for p in group]
    assert sorted(held) == sorted(id(p) for p in learn.model.parameters())
    if hasattr(learn.opt, "opt"):  # torch's own, inside
        assert sorted(held) == sorted(id(p) for group in learn.opt.opt.param_groups for p in group["params"])


def assert_consistent(learn):
    """The optimizer has the model's parameters, and a forward pass works."""
    check_optimizer(learn)
    learn.model.eval()
    with torch.no_grad():
        assert torch.isfinite(learn.model(torch.zeros(2, 3, 16, 16, device=DEVICE))).all()


class StepSpy(Callback):
    """Calls a check after every optimizer step, later than all of freqfast's callbacks."""

    order = 2000

    def __init__(self, check):
        self.check, self.calls = check, 0

    def after_step(self):
        self.calls += 1
        self.check()


def data_parallel(model):
    """A model in DataParallel that only passes on, as it does without a GPU."""
    wrapped = nn.DataParallel(model)
    wrapped.device_ids = []
    return wrapped


def snapshot(learn):
    return {name: value.clone().cpu() for name, value in learn.model.state_dict().items()}


def assert_same(before, after):
    assert before.keys() == after.keys()
    for name in before:
        assert torch.equal(before[name], after[name]), name
