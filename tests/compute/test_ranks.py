"""What ranks need no other process for; `test_process_group` and `tests/training/test_ranks` have their exchanges."""

from types import SimpleNamespace

import pytest
import torch
from torch import distributed

from freqfast.compute import ranks
from freqfast.compute.ranks import Ranks, current_ranks
from freqfast.progress import RunStoppedError


def test_each_rank_has_a_gpu_of_its_machine(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    second_machine = [Ranks(rank=2 + i, count=4, local_rank=i) for i in range(2)]
    for wanted in (None, "cuda", torch.device("cuda")):
        assert [ranks.device(wanted) for ranks in second_machine] == [torch.device("cuda:0"), torch.device("cuda:1")]
    assert [ranks.device("cpu") for ranks in second_machine] == [torch.device("cpu")] * 2
    with pytest.raises(ValueError, match="cuda:1 is one device, and there are 4 ranks; name a kind, such as cuda"):
        second_machine[0].device("cuda:1")
    with pytest.raises(ValueError, match="rank 2 has no GPU: its machine has 2; start fewer processes"):
        Ranks(rank=2, count=3, local_rank=2).device(None)


def test_a_rank_without_others_computes_where_it_is_told():
    assert [Ranks().device(wanted) for wanted in (None, "cuda:1")] == [None, "cuda:1"]


def test_ranks_are_told_by_the_launchers_variables(monkeypatch):
    variables = {"RANK": 3, "WORLD_SIZE": 4, "LOCAL_RANK": 1, "MASTER_ADDR": "localhost", "MASTER_PORT": 29500}
    for name, value in variables.items():
        assert current_ranks() == Ranks()
        monkeypatch.setenv(name, "")  # as LOCAL_RANK=$SLURM_LOCALID is outside of srun
        assert current_ranks() == Ranks()
        monkeypatch.setenv(name, str(value))
    assert current_ranks() == Ranks(rank=3, count=4, local_rank=1)


@pytest.mark.parametrize("on_gpu", [True, False])
def test_a_failing_rank_does_not_wait_for_nccl(monkeypatch, on_gpu):
    """NCCL's end is collective: the others, which wait for this rank, would never take part."""
    ended = []
    monkeypatch.setattr(ranks, "_connect", lambda: SimpleNamespace(set=lambda *words: None))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: on_gpu)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: ended.append(True))
    with pytest.raises(ValueError, match="full"), Ranks(0, 2).leaving_on_error():
        raise ValueError("full")
    assert ended == [True] * (not on_gpu)


def test_a_failure_of_the_link_is_told(monkeypatch):
    monkeypatch.setattr(ranks, "_connect", lambda: SimpleNamespace(check=lambda keys: False))
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    with pytest.raises(RunStoppedError, match="Duplicate GPU detected"), Ranks(1, 2).leaving_on_error():
        raise distributed.DistBackendError("NCCL error: invalid usage\nLast error:\nDuplicate GPU detected: rank 1")
