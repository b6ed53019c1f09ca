"""Settings for the whole suite: reproducible hypothesis examples, and one thread for small tensors."""

import os

# The suite's arrays are so small that a second thread costs more than it does, one gives the same from run to run, and
# each core has a process of its own. The variable is for the commands that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

from tests.support import corrupted

settings.register_profile(
    "freqfast",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("freqfast")

torch.set_num_threads(1)
threadpool_limits(1, user_api="blas")


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads that a test asks for end with it."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def photos():
    """Some 200 real patches, uint8 ``(N, 32, 32, 3)``."""
    return corrupted.photo_patches()


@pytest.fixture(scope="session")
def frost_dir(tmp_path_factory):
    """A folder of stand-ins for the frost photographs."""
    return corrupted.write_frost_stand_ins(tmp_path_factory.mktemp("frost"))


@pytest.fixture(scope="session")
def noise():
    """Images of noise."""

    def make(count, seed=0, size=8):
        return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)

    return make
