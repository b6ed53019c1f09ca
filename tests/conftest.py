"""Settings for the whole suite: reproducible hypothesis examples, and one thread for small tensors."""

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

torch.set_num_threads(1)  # the suite's tensors are so small that a second thread costs more than it does
