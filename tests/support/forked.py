"""Processes that start in no time: a server has imported what they need, and forks them."""

import multiprocessing

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["freqfast.cli.main", "tests.support.tiny", "torch._dynamo"])  # the last for optimizers
