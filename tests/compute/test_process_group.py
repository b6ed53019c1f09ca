"""What ranks exchange; that a process group ends for all when one leaves it, and that one which exists is used."""

import subprocess
import sys
import time

import pytest
from torch import distributed

from freqfast.compute.ranks import Ranks, current_ranks
from freqfast.progress import RunStoppedError
from tests.support.ranks import on_ranks  # noqa: F401

CODE = """
from freqfast.compute import ranks
from torch import distributed
distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
from torch.distributed.nn import functional
print(functional.all_reduce.__defaults__[-1])
"""


def test_torch_keeps_no_group_in_default_arguments():
    """One kept so would stay open after a rank has left it, and the others would wait for that rank."""
    assert subprocess.check_output([sys.executable, "-c", CODE], text=True) == "None\n"


def test_a_group_that_a_script_has_made_is_used():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        assert Ranks(count=2).total(1.5) == (1.5,)  # as if it were of two
    finally:
        distributed.destroy_process_group()


def exchange():
    """What this rank gets from each exchange: it gives its number, from 1 on, or does its part."""
    ranks = current_ranks()
    own = ranks.rank + 1
    times = []

    def act():
        times.append(time.monotonic())
        time.sleep(0.05)
        times.append(time.monotonic())
        return times

    return {
        "broadcast": ranks.broadcast(own),
        "gather": ranks.gather(own),
        "map": list(ranks.map(lambda job: (job, own), ["a", "b", "c"])),
        "largest": ranks.largest(own),
        "total": ranks.total(own, 1 + own * 1e-9),
        "times": ranks.in_turn(act),
    }


def test_what_ranks_exchange(on_ranks):  # noqa: F811
    first, second = on_ranks(exchange)
    (_, end), (begin, _) = first.pop("times"), second.pop("times")
    assert end < begin
    assert first == second
    assert first == {
        "broadcast": 1,
        "gather": [1, 2],
        "map": [("a", 1), ("b", 2), ("c", 1)],
        "largest": 2,
        "total": pytest.approx((3, 2 + 3e-9), rel=1e-12),
    }


def fail_after_an_exchange():
    """What this rank is told when the first one fails, twenty times: right after an exchange, before the next one."""
    told = []
    for number in range(20):
        try:
            ranks = current_ranks()
            with ranks.leaving_on_error():
                ranks.gather(number)
                if ranks.is_first:
                    raise ValueError(f"no {number}")
                ranks.wait()
        except Exception as error:
            told.append(f"{type(error).__name__}: {error}")
    return told


def test_a_rank_leaves_at_once_after_an_exchange(on_ranks):  # noqa: F811
    """Up to torch 2.7 the group must not end while a thread of its last exchange does: it hung in one of four."""
    first, second = on_ranks(fail_after_an_exchange)
    assert first == [f"ValueError: no {number}" for number in range(20)]
    assert second == [f"RunStoppedError: rank 0: no {number}" for number in range(20)]


def test_ranks_that_do_not_come(monkeypatch):
    names = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": 0}
    for name, value in names.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("freqfast.compute.ranks._MEETING_S", 0)
    with pytest.raises(RunStoppedError, match=r"^waited 0 minutes for all 2 ranks, since RANK=0 and WORLD_SIZE=2 are"):
        current_ranks().wait()
