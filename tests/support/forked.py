"""Processes that start in no time: a server has imported what they need, and forks them."""

import multiprocessing
from importlib.util import find_spec

PRELOADED = ["freqfast.cli.main", "tests.support.tiny", "torch._dynamo"]  # the last is what torch's optimizers import
assert all(map(find_spec, PRELOADED)), "the server passes over what is not there"

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(PRELOADED)
