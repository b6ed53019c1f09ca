import operator
import os
import random
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fastai.callback import schedule  # noqa: F401  (gives Learner fit_one_cycle, fine_tune and lr_find)
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter, Normalize
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import set_seed
from fastai.vision.core import imagenet_stats
from fastai.vision.data import ImageBlock
from torch import nn

from freqfast.callbacks import (
    AutoPrecision,
    FrequencyProportion,
    SpectralModulation,
    SpectrumPerturbation,
    SpectrumRecorder,
)
from freqfast.spectral.modulation import effective_weight
from freqfast.spectral.surgery import find_conv

CLASSES, VALID = 3, 16
HERE = Path(__file__).parent
DEVICE = os.environ.get("FREQFAST_TEST_DEVICE", "cpu")  # where these tests train


def pytest_collection_modifyitems(items):
    """An attribute of ours that hides one of the Learner's is a bug, which fastai only warns of."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("error:You are shadowing"))


@dataclass(repr=False)  # a DataBlock formats each item that it sets up
class Row:
    image: np.ndarray
    label: str


@pytest.fixture(scope="session")
def items():
    """96 images of stripes (one frequency a class) in noise, as a user's table of arrays and labels."""
    rng = np.random.default_rng(0)
    x = np.arange(16)
    rows = []
    for i in range(96):
        stripes = np.cos(2 * np.pi * (0.06, 0.2, 0.45)[i % CLASSES] * (x[:, None] + rng.integers(8)))
        pixels = 128 + 60 * stripes[..., None] + rng.normal(0, 30, (16, 16, 3))
        rows.append(Row(pixels.clip(0, 255).astype(np.uint8), "abc"[i % CLASSES]))
    return rows


@pytest.fixture(scope="session")
def make_dls(items):
    """Real fastai DataLoaders over the images: 80 to train (5 batches), 16 to validate."""

    def make(batch_tfms=None, seed=0):
        set_seed(seed, reproducible=False)
        block = DataBlock(
            blocks=(ImageBlock, CategoryBlock),
            get_x=operator.attrgetter("image"),
            get_y=operator.attrgetter("label"),
            splitter=IndexSplitter(range(VALID)),
            batch_tfms=[Normalize.from_stats(*imagenet_stats, cuda=False)] if batch_tfms is None else batch_tfms,
        )
        return block.dataloaders(items, bs=16, num_workers=0, device=DEVICE)

    return make


@pytest.fixture(scope="session")
def make_model():
    """A small CNN, with a bias and a layer that is frozen apart in `fine_tune`."""

    def make(kernel_size=3, filters=8, seed=0):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Sequential(
                nn.Conv2d(3, filters, kernel_size, padding=kernel_size // 2), nn.BatchNorm2d(filters), nn.ReLU()
            ),
            nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * filters, CLASSES)),
        )

    return make


@pytest.fixture
def make_learner(make_dls, make_model, tmp_path):
    """A quiet Learner, its files in the test's own folder; the same seed gives the same one."""

    def make(cbs=None, model=None, dls=None, seed=0, **options):
        options = {"loss_func": CrossEntropyLossFlat(), "path": tmp_path, "splitter": _two_groups, **options}
        dls = make_dls(seed=seed) if dls is None else dls
        model = make_model(seed=seed) if model is None else model
        learn = Learner(dls, model.to(DEVICE), cbs=cbs, **options)
        learn.remove_cb(ProgressCallback)
        learn.logger = _silent
        set_seed(seed, reproducible=False)
        return learn

    return make


def _silent(_):
    """A logger that can be pickled."""


def _two_groups(model):
    """Body and head, as fine_tune wants them."""
    return [list(part.parameters()) for part in (model[0], model[1])]


def _conv(learn, layer=None):
    return find_conv(learn.model, layer)[1]


def _shares(weight, edges):
    """Band energy shares by NumPy's FFT alone, ``(O, B)``: a second way to the numbers of `freqfast.band_shares`."""
    power = np.abs(np.fft.fft2(weight.detach().cpu().numpy().astype(np.float64), s=(32, 32))) ** 2
    f = np.fft.fftfreq(32)
    rho = np.hypot(f[:, None], f[None, :])
    inside = [(rho >= low) & (rho < high) for low, high in zip(edges, (*edges[1:-1], np.inf), strict=False)]
    energy = np.stack([(power.sum(1) * band).sum((1, 2)) for band in inside], 1)
    return energy / energy.sum(1, keepdims=True)


def _largest_remainder(shares, total):
    """Counts in exact arithmetic, from shares as fractions."""
    exact = [Fraction(share) * total for share in shares]
    counts = [x.numerator // x.denominator for x in exact]
    by_remainder = sorted(range(len(exact)), key=lambda b: (counts[b] - exact[b], b))
    for b in by_remainder[: total - sum(counts)]:
        counts[b] += 1
    return counts


def _assert_enforced(learn, callback, counts=None, layer=None):
    """The proportion of the filters that the layer applies is exactly the wanted one, each with its purity."""
    shares = _shares(effective_weight(_conv(learn, layer)), callback.bands.edges)
    if counts is None:
        wanted = [Fraction(callback.proportions.get(name, 0)).limit_denominator(1000) for name in callback.bands.names]
        counts = _largest_remainder(wanted, len(shares))
    assert np.bincount(shares.argmax(1), minlength=len(counts)).tolist() == counts
    assert shares.max(1).min() >= callback.purity - 1e-5


def _assert_consistent(learn):
    """Each trainable parameter of the model is in the optimizer once, and nothing else is; a forward pass works."""
    if learn.opt is not None:
        held = [id(p) for group in learn.opt.param_lists for p in group]
        assert sorted(held) == sorted(id(p) for p in learn.model.parameters())
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


def _data_parallel(model):
    """A model in DataParallel that only passes on, as it does without a GPU."""
    wrapped = nn.DataParallel(model)
    wrapped.device_ids = []
    return wrapped


def _snapshot(learn):
    return {name: value.clone().cpu() for name, value in learn.model.state_dict().items()}


def _assert_same(before, after):
    assert before.keys() == after.keys()
    for name in before:
        assert torch.equal(before[name], after[name]), name


@pytest.fixture(scope="session")
def tools():
    """What the tests of this folder share."""
    return SimpleNamespace(
        StepSpy=StepSpy,
        assert_consistent=_assert_consistent,
        assert_enforced=_assert_enforced,
        assert_same=_assert_same,
        conv=_conv,
        data_parallel=_data_parallel,
        device=DEVICE,
        largest_remainder=_largest_remainder,
        shares=_shares,
        snapshot=_snapshot,
    )


@pytest.fixture
def rewind():
    """Set Python's, NumPy's and torch's generators, and a Learner's shuffling, to a known state."""

    def to(learn, seed):
        set_seed(seed, reproducible=False)
        for dl in learn.dls.loaders:
            dl.rng = random.Random(seed)

    return to


@pytest.fixture
def everything():
    """Makes one of each callback that changes or records a fit."""

    def make():
        return [
            SpectralModulation(seed=1),
            FrequencyProportion({"low": 0.25, "high": 0.75}),
            SpectrumPerturbation(),
            SpectrumRecorder(),
            AutoPrecision("bfloat16"),
        ]

    return make
