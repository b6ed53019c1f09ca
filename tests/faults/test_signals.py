"""What happens to the terminal, the pipe and the process of `freqfast run`, in real processes."""

import os
import pty
import time

import pytest

from tests.faults import processes
from tests.support.tiny import outcome

pytestmark = pytest.mark.faults
WORDS = ("run", "resnet18_cifar10.modulation_perturbation", "--device", "cpu", "--save-minutes", 0)
SETTINGS = ("model='tiny'", "model.width=8", "batch_size=16", "test_images=2", "lr=0.05", "epochs=3")


@pytest.fixture(scope="module")
def run(fork, tree):
    """Starts `freqfast run` into a directory, its streams in a file or a terminal."""

    def run(out, streams):
        sets = [word for setting in SETTINGS for word in ("--set", setting)]
        return fork(processes.command, streams, True, *WORDS, *sets, "--data", tree, "--out", out)

    return run


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    process = run(place / "run", place / "log")
    process.join()
    assert process.exitcode == 0, (place / "log").read_text()
    return outcome(place / "run")


def wait_for(path, process):
    while not path.exists():
        assert process.is_alive()
        time.sleep(0.002)


def test_closed_terminal(run, tmp_path, undisturbed):
    """The process leads the terminal's session, so that the system sends it SIGHUP and fails its writing."""
    ours, theirs = pty.openpty()
    process = run(tmp_path / "run", os.ttyname(theirs))
    wait_for(tmp_path / "run" / "metrics.csv", process)
    os.close(theirs)
    os.close(ours)
    process.join()
    assert process.exitcode == 0
    assert outcome(tmp_path / "run") == undisturbed


def test_broken_pipe(run, tmp_path, undisturbed):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    process = run(tmp_path / "run", tmp_path / "pipe")
    wait_for(tmp_path / "run" / "metrics.csv", process)
    os.close(reader)
    process.join()
    assert process.exitcode == 0
    assert outcome(tmp_path / "run") == undisturbed
