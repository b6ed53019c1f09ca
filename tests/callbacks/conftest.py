import random
from pathlib import Path

import pytest
import torch
from fastai.callback import schedule  # noqa: F401  (gives Learner fit_one_cycle, fine_tune and lr_find)
from fastai.callback.progress import ProgressCallback
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import set_seed
from torch import nn

from freqfast.callbacks import (
    AutoPrecision,
    FrequencyProportion,
    SpectralModulation,
    SpectrumPerturbation,
    SpectrumRecorder,
)
from tests.support import learners

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """An attribute of ours that hides one of the Learner's is a bug, which fastai only warns of."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("error:You are shadowing"))


@pytest.fixture(scope="session")
def items():
    return learners.striped_rows(32, 16)


@pytest.fixture(scope="session")
def make_dls(items):
    """DataLoaders over the images: 24 to train (3 batches), 8 to validate."""

    def make(batch_tfms=None, seed=0):
        set_seed(seed, reproducible=False)
        return learners.make_loaders(items, 8, 8, batch_tfms, learners.DEVICE)

    return make


@pytest.fixture(scope="session")
def make_model():
    """A small CNN, with a bias and a body that is frozen apart in `fine_tune`; or with a strided block."""

    def make(kernel_size=3, filters=8, seed=0, strided=False):
        torch.manual_seed(seed)
        first = nn.Conv2d(3, filters, kernel_size, padding=kernel_size // 2)
        head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * filters, learners.CLASSES))
        body = nn.Sequential(first, nn.BatchNorm2d(filters), nn.ReLU())
        if strided:
            body.extend([nn.Conv2d(filters, filters, 3, stride=2, padding=1), nn.Conv2d(filters, filters, 1, stride=2)])
        return nn.Sequential(body, head)

    return make


@pytest.fixture
def make_learner(make_dls, make_model, tmp_path):
    """A quiet Learner, its files in the test's own folder; the same seed gives the same one."""

    def make(cbs=None, model=None, dls=None, seed=0, **options):
        options = {"loss_func": CrossEntropyLossFlat(), "path": tmp_path, "splitter": _two_groups, **options}
        dls = make_dls(seed=seed) if dls is None else dls
        model = make_model(seed=seed) if model is None else model
        learn = Learner(dls, model.to(learners.DEVICE), cbs=cbs, **options)
        learn.remove_cb(ProgressCallback)
        learn.logger = learners.silent
        set_seed(seed, reproducible=False)
        return learn

    return make


def _two_groups(model):
    """Body and head, as fine_tune wants them."""
    return [list(part.parameters()) for part in (model[0], model[1])]


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
