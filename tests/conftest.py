"""Settings for the whole suite: reproducible hypothesis examples, one thread for small tensors, Ctrl-C as usual."""

import os
import signal
from contextlib import contextmanager

# The suite's arrays are so small that a second thread costs more than it does, one gives the same from run to run, and
# each core has a process of its own. NumPy and torch read this as they are imported, and the commands that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from hypothesis import HealthCheck, settings

from tests.support.packages import install  # noqa: F401 (a fixture)
from tests.support.places import disk, mount, once  # noqa: F401 (fixtures)
from tests.support.served import serve  # noqa: F401 (a fixture)

# What takes long to import is imported where it is used: the process that hands out the tests does without it.
settings.register_profile(
    "freqfast",
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("freqfast")

# A shell's background job ignores Ctrl-C, and so would the processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads that a test asks for end with it."""
    import torch

    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def photos():
    """Some 200 real patches, uint8 ``(N, 32, 32, 3)``."""
    from tests.support.corrupted import photo_patches

    return photo_patches()


@pytest.fixture(scope="session")
def frost_dir(tmp_path_factory):
    """A folder of stand-ins for the frost photographs."""
    from tests.support.corrupted import write_frost_stand_ins

    return write_frost_stand_ins(tmp_path_factory.mktemp("frost"))


@pytest.fixture(scope="session")
def noise():
    """Images of noise."""
    import numpy as np

    def make(count, seed=0, size=8):
        return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)

    return make


@pytest.fixture
def no_frost(monkeypatch):
    """As if the distribution with the photographs were not installed."""
    monkeypatch.setattr("freqfast.corruptions.photographs.DISTRIBUTION", "freqfast-no-such-distribution")


@pytest.fixture
def two_corruptions(monkeypatch):
    """Runs measure two corruptions only: evaluation in a fraction of the time."""
    monkeypatch.setattr("freqfast.training.outcome.available", lambda: ("pixelate", "contrast"))


@pytest.fixture
def full_disk():
    """A limit on the size of files stands in for the disk: both refuse in the middle of a write."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def full_disk(size):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return full_disk


@pytest.fixture
def no_figures(monkeypatch):
    """Reports of words alone: figures take most of the time."""
    monkeypatch.setattr("freqfast.report.page.page_figures", lambda entries: ())
