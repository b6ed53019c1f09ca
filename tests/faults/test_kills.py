"""SIGKILL at random moments of a run, each followed by resume to the end: nothing may differ from a run without.

The full form is ``pytest -m slow tests/faults``: 50 kills, seeds 0 to 49 (more where a kill came too late to hit).
"""

import os
import random
import time

import pytest
from tiny import TINY, outcome

from freqfast.training import run_recipe

pytestmark = pytest.mark.usefixtures("two_corruptions")


@pytest.fixture(scope="session")
def duration(start, reference, tmp_path_factory):
    """Seconds of a whole run in a process that is forked."""
    began = time.monotonic()
    start(tmp_path_factory.mktemp("timed") / "run").join()
    return time.monotonic() - began


def kill_and_resume(start, tree, out, seed, duration, reference):
    """Whether the kill hit; if so the run was resumed and compared."""
    process = start(out)
    time.sleep(random.Random(seed).uniform(0, duration))
    process.kill()
    process.join()
    if process.exitcode == 0:
        return False
    assert process.exitcode == -9
    run_recipe(TINY, out, tree, "cpu", resume=True)
    assert outcome(out) == reference, f"seed {seed}"
    return True


def test_three_kills(start, tree, tmp_path, duration, reference):
    hits = [kill_and_resume(start, tree, tmp_path / str(s), s, 0.8 * duration, reference) for s in range(3)]
    assert sum(hits) >= 1  # a busy machine may finish a run before its kill


@pytest.mark.slow
def test_fifty_kills(start, tree, tmp_path, duration, reference, record_property):
    hits, seed = 0, 0
    while hits < 50 and seed < 200:
        hits += kill_and_resume(start, tree, tmp_path / str(seed), seed, duration, reference)
        seed += 1
    record_property("kills", hits)
    record_property("seeds", seed)
    assert hits == 50


@pytest.mark.slow
def test_killed_again_and_again(start, tree, tmp_path, duration, reference):
    """One run, killed until it comes to its end between two kills."""
    rng = random.Random(0)
    for _ in range(100):
        process = start(tmp_path / "run")
        process.join(rng.uniform(0.2, 0.6) * duration)
        if process.exitcode == 0:
            break
        process.kill()
        process.join()
    assert outcome(tmp_path / "run") == reference
    assert all(name == "run" or name.startswith(".run.") for name in os.listdir(tmp_path))
