"""SIGKILL at random moments of a run, each followed by resume to the end: nothing may differ from a run without.

The short form kills a tiny run three times. The full form, ``pytest -m 'slow and faults' tests/faults``, kills the
command `freqfast run quickstart` on the photographs 50 times and prints what it found. Its processes are forked from
one that has imported everything, so that kills fall on the run and not on the imports.
"""

import hashlib
import json
import random
import shutil
import time
from collections import Counter

import pytest

from freqfast.training import run_recipe
from tests.faults import processes
from tests.support.tiny import TINY, outcome

pytestmark = pytest.mark.faults
KILLS = 50
SETTINGS = ("model.width=8", "batch_size=512", "test_images=1", "precision='float32'", "epochs=2")
COMMAND = ("run", "quickstart", "--device", "cpu", "--save-minutes", 0)
COMMAND += tuple(word for setting in SETTINGS for word in ("--set", setting))


@pytest.fixture(scope="session")
def duration(start, reference, tmp_path_factory):
    """Seconds of a whole run in a process that is forked."""
    began = time.monotonic()
    start(tmp_path_factory.mktemp("timed") / "run").join()
    return time.monotonic() - began


def test_three_kills(start, tree, tmp_path, duration, reference, two_corruptions):
    hits = 0
    for seed in range(3):
        out = tmp_path / str(seed)
        process = start(out)
        process.join(random.Random(seed).uniform(0, 0.8 * duration))
        process.kill()
        process.join()
        hits += process.exitcode == -9  # a busy machine may finish a run before its kill
        run_recipe(TINY, out, tree, "cpu", resume=True)
        assert outcome(out) == reference, f"seed {seed}"
    assert hits >= 1


def command(fork, place, *words):
    return fork(processes.command, place / "log", False, *words)


def start_or_resume(out):
    """What a user types after a kill: resume, unless it came before there was anything to resume."""
    return ("run", "--resume", out, "--save-minutes", 0) if out.exists() else (*COMMAND, "--out", out)


def found(out):
    """All bits of a run, as a hash, and those of its weights."""
    result = outcome(out)
    bits = hashlib.sha256(json.dumps(result, default=repr, sort_keys=True).encode()).hexdigest()
    return {"all": bits, "weights": result["weights"]}


def stage(out):
    """How far a run is, by the last of the files that its directory has."""
    names = ("recipe.toml", "checkpoints", "spectra.h5", "report.json")
    return next((f"after {name}" for name in reversed(names) if (out / name).exists()), "before the directory")


@pytest.fixture(scope="module")
def whole(fork, tmp_path_factory):
    """What the undisturbed command leaves, and its seconds."""
    place = tmp_path_factory.mktemp("whole")
    command(fork, place, *COMMAND, "--out", place / "first").join()
    began = time.monotonic()
    process = command(fork, place, *COMMAND, "--out", place / "run")
    process.join()
    seconds = time.monotonic() - began
    assert process.exitcode == 0, (place / "log").read_text()
    assert found(place / "run") == found(place / "first")
    return found(place / "run"), seconds


@pytest.mark.slow
def test_fifty_kills(fork, tmp_path, whole, tell):
    reference, seconds = whole
    began, stages = time.monotonic(), Counter()
    for seed in range(4 * KILLS):
        out = tmp_path / f"run{seed}"
        process = command(fork, tmp_path, *COMMAND, "--out", out)
        process.join(random.Random(seed).uniform(0, seconds))
        process.kill()
        process.join()
        if process.exitcode == 0:  # it was finished before
            continue
        where = stage(out)
        again = command(fork, tmp_path, *start_or_resume(out))
        again.join()
        assert again.exitcode == 0, (tmp_path / "log").read_text()
        assert found(out) == reference, f"seed {seed}, killed {where}"
        stages[where] += 1
        shutil.rmtree(out)
        if stages.total() == KILLS:
            break
    tell(f"kills survived: {stages.total()} of {KILLS}; {dict(stages)}; {time.monotonic() - began:.0f} s")
    tell(f"SHA-256 of all results, each time: {reference['all']}; of the weights: {reference['weights']}")
    assert stages.total() == KILLS
