"""A process that a launcher's variables call one of several, and that is alone."""

import os
import signal
import subprocess
import sys

import pytest

WAITING = """
import signal, sys
from freqfast.compute import ranks
from freqfast.cli.main import main
ranks._PATIENCE_S = 0
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in a shell's background
sys.argv = ["freqfast", "run", "quickstart", "-o", "run"]
main()
"""


@pytest.mark.parametrize(
    ("rank", "number", "code", "whom"),
    [(1, signal.SIGINT, 130, r"rank 0 of 2 at 127.0.0.1:9"), (0, signal.SIGTERM, 143, "all 2 ranks")],
)
def test_a_rank_alone_says_so_at_once_and_ends_at_a_signal(rank, number, code, whom, place):
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 9 * rank}
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    process = subprocess.Popen([sys.executable, "-c", WAITING], cwd=place, env=environment, stderr=-1, text=True)
    try:
        said = f"waiting for {whom}, since RANK={rank} and WORLD_SIZE=2 are set; unset them to work alone"
        assert process.stderr.readline() == f"freqfast: warning: {said}\n"
        process.send_signal(number)
        assert process.communicate(timeout=60)[1] == "freqfast: interrupted\n"
    finally:
        process.kill()
    assert process.returncode == code
    assert list(place.iterdir()) == []


def test_a_rank_of_which_not_all_is_set_is_refused(refused, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = "WORLD_SIZE=2 is set, as by a launcher, but RANK is not; unset WORLD_SIZE to train alone"
    assert said in refused("run", "quickstart", "--out", "run")
