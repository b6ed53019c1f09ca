"""Settings for the whole suite: reproducible hypothesis, and as many threads as small tensors can use."""

import os

import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "freqfast",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("freqfast")

torch.set_num_threads(min(2, os.cpu_count() or 1))
