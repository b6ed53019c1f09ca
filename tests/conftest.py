"""Settings for the whole suite: reproducible hypothesis examples, and one thread for small tensors."""

import os

# The suite's arrays are so small that a second thread costs more than it does, one gives the same from run to run, and
# each core has a process of its own. The variable is for the commands that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

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
