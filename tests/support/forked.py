"""Processes that start in no time: a server has imported what they need, and forks them."""

import multiprocessing
import os
from importlib.util import find_spec

PRELOADED = ["freqfast.cli.main", "tests.support.tiny", "torch._dynamo"]  # the last is what torch's optimizers import
assert all(map(find_spec, PRELOADED)), "the server passes over what is not there"

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(PRELOADED)


def prepare(variables, is_quick=True):
    """Set up a process as the tests' own: these variables, one thread, nothing of the machine, two corruptions."""
    import torch

    from freqfast.training import environment, outcome

    os.environ.update({name: str(value) for name, value in variables.items()})
    os.environ.pop("FREQFAST_DATA", None)
    torch.set_num_threads(1)
    environment._git_state = lambda: None
    if is_quick:
        outcome.available = lambda: ("pixelate", "contrast")
