"""The processes that share one task, as `torchrun`, `accelerate launch` or Slurm starts them: one for each device.

Each has a rank, and all compute. The first one also reads, writes and reports; the others get from it what it has read.
They exchange Python values over the CPU (gloo), and tensors such as gradients on the device where these are. A process
that was started alone is the only rank, and nothing here costs it anything.
"""

import itertools
import os
import re
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

import torch
import torch.distributed.nn.functional  # now: its default arguments would keep open a group that exists at its import
from torch import distributed

from freqfast.compute.precision import default_device
from freqfast.progress import RunStoppedError

S = TypeVar("S")
T = TypeVar("T")

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_TIMEOUT = timedelta(days=1)  # the others wait while the first one downloads, or writes to a slow disk
_CONNECTION = timedelta(minutes=1)
_PATIENCE_S, _MEETING_S = 5, 600  # until a line says that ranks are missing, and until that is an error
_FAILURE = "failure"
_LOST = re.compile("gloo|nccl", re.IGNORECASE)  # in the error of an exchange whose other side is gone


@dataclass(frozen=True)
class Ranks:
    """The processes that share a task, as one of them sees them.

    All methods but `device` must be called by every rank, in the same order.

    Args:
        rank: This process, from 0 on.
        count: Number of processes.
        local_rank: This process among those of its machine.

    Examples:
        >>> Ranks().is_first, Ranks().gather("alone"), list(Ranks().map(abs, [-1, 2]))
        (True, ['alone'], [1, 2])
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this rank reads, writes and reports."""
        return self.rank == 0

    def device(self, device: torch.device | str | None) -> torch.device | str | None:
        """Where this rank computes: with several ranks a GPU of its own, if there are any and nothing else is wanted.

        Raises:
            ValueError: If one of the GPUs is named, or there are fewer GPUs on this machine than ranks.
        """
        if self.count == 1:
            return device
        wanted = torch.device(device) if device else default_device()
        if wanted.index is not None:
            raise ValueError(f"{device} is one device, and there are {self.count} ranks; name a kind, such as cuda")
        if wanted.type != "cuda":
            return wanted
        if self.local_rank >= torch.cuda.device_count():
            raise ValueError(
                f"rank {self.rank} has no GPU: its machine has {torch.cuda.device_count()}; start fewer processes"
            )
        return torch.device("cuda", self.local_rank)

    def broadcast(self, value: T) -> T:
        """The first rank's value, on every rank."""
        if self.count == 1:
            return value
        _connect()
        shared = [value if self.is_first else None]
        distributed.broadcast_object_list(shared)
        return shared[0]  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, in the order of the ranks."""
        if self.count == 1:
            return [value]
        _connect()
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, value)
        return found

    def map(self, act: Callable[[S], T], jobs: Sequence[S]) -> Iterator[T]:
        """What `act` returns for each job, in order, on every rank; each rank does one job at a time."""
        for start in range(0, len(jobs), self.count):
            some = jobs[start : start + self.count]
            found = self.gather(act(some[self.rank]) if self.rank < len(some) else None)
            yield from found[: len(some)]  # type: ignore[misc]

    def largest(self, value: int) -> int:
        """The largest of the ranks' values."""
        return self._reduced((value,), torch.int64, distributed.ReduceOp.MAX)[0]

    def total(self, *values: float) -> tuple[float, ...]:
        """The sums of the ranks' values."""
        return self._reduced(values, torch.float64, distributed.ReduceOp.SUM)

    def together(self, act: Callable[[], T]) -> T:
        """What `act` returns on this rank; if it fails on any rank, every rank raises an error.

        Raises:
            Exception: What `act` raised here.
            RunStoppedError: If it failed on other ranks only; it says on which one, and why.
        """
        if self.count == 1:
            return act()
        error = None
        try:
            result = act()
        except Exception as caught:
            error = caught
        found = self.gather(None if error is None else _line(error))
        if error is not None:
            raise error
        for rank, failure in enumerate(found):
            if failure is not None:
                raise RunStoppedError(f"rank {rank}: {failure}")
        return result

    def first(self, act: Callable[[], T]) -> T:
        """What `act` returns on the first rank, which alone calls it, on every rank; errors as for `together`."""
        return self.broadcast(self.together(act if self.is_first else lambda: None))  # type: ignore[return-value]

    def in_turn(self, act: Callable[[], T]) -> T:
        """What `act` returns on this rank; the first rank ends before the others begin, so they find what it cached."""
        early = self.together(act if self.is_first else lambda: None)
        late = self.together(act if not self.is_first else lambda: None)
        return early if self.is_first else late  # type: ignore[return-value]

    def wait(self) -> None:
        """Wait until all ranks have called this."""
        self.largest(0)

    @contextmanager
    def leaving_on_error(self) -> Iterator[None]:
        """Leave the other ranks if the block fails, so that none waits for this one; no exchange works after that.

        Raises:
            RunStoppedError: In place of the error that an exchange gave because another rank has left or was killed.
        """
        try:
            yield
        except Exception as error:
            if self.count == 1:
                raise
            lost = isinstance(error, distributed.DistError) or _LOST.search(str(error)) is not None
            reason = None
            with suppress(Exception):  # the store may be gone with its rank
                store = _connect()
                if not lost:
                    store.set(_FAILURE, f"rank {self.rank}: {_line(error)}")
                elif store.check([_FAILURE]):
                    reason = store.get(_FAILURE).decode()
            # Up to torch 2.7 the group's end holds Python's lock and waits for gloo's threads, which may need it.
            time.sleep(0.1)
            # NCCL's end waits for all ranks, and those wait for this one: there the process's own end tells them.
            if not torch.cuda.is_initialized():
                distributed.destroy_process_group()
            if lost:
                raise RunStoppedError(reason or f"another rank has ended, or a link failed: {_line(error)}") from error
            raise

    def _reduced(self, values: Sequence, dtype: torch.dtype, operation: Any) -> tuple:
        if self.count == 1:
            return tuple(values)
        _connect()
        tensor = torch.tensor(values, dtype=dtype, device="cpu")
        distributed.all_reduce(tensor, operation)
        return tuple(tensor.tolist())


ALONE = Ranks()
"""The ranks of a process that was started alone."""


_numbers = itertools.count()  # of the process groups that are made here


def _connect() -> Any:
    """Make the process group, unless it exists, and return the store that its ranks share."""
    if not distributed.is_initialized():
        store, ranks = _meet(), current_ranks()
        # Under a name that no former group has used.
        store = distributed.PrefixStore(f"freqfast/{next(_numbers)}", store)  # type: ignore[attr-defined]
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.count, timeout=_TIMEOUT)
    return distributed.distributed_c10d._get_default_store()


@lru_cache(maxsize=1)
def _meet() -> Any:
    """The store of all ranks, once all are there; signals end the wait, to which torch's own rendezvous is deaf."""
    ranks, (host, port) = current_ranks(), (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    is_server = ranks.is_first and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"  # else torchrun has it
    here = [f"rank {rank}" for rank in range(ranks.count)]

    def wait_for(are_there: Callable[[], bool], who: str) -> None:
        begin, is_told = time.monotonic(), False
        while not are_there():
            waited = time.monotonic() - begin
            because = f"RANK={ranks.rank} and WORLD_SIZE={ranks.count} are set; unset them to work alone"
            if waited > _MEETING_S:
                raise RunStoppedError(f"waited {_MEETING_S // 60} minutes for {who}, since {because}")
            if waited > _PATIENCE_S and not is_told:
                warnings.warn(f"waiting for {who}, since {because}", stacklevel=2)
                is_told = True
            time.sleep(0.1)

    if not is_server:
        wait_for(first_rank_answers, f"rank 0 of {ranks.count} at {host}:{port}")
    try:
        place = host, port, ranks.count, is_server, _CONNECTION
        store: Any = distributed.TCPStore(*place, wait_for_workers=False)  # type: ignore[attr-defined]
    except distributed.DistError as error:
        raise RunStoppedError(f"rank {ranks.rank} cannot meet the others at {host}:{port}: {_line(error)}") from None
    attempt = f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    store = distributed.PrefixStore(attempt, store)  # type: ignore[attr-defined]
    store.set(here[ranks.rank], "")
    wait_for(lambda: store.check(here), f"all {ranks.count} ranks")
    store.set_timeout(_TIMEOUT)
    return store


def first_rank_answers() -> bool:
    """Whether something listens where the ranks meet."""
    with suppress(OSError), socket.create_connection((os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]), 1):
        return True
    return False


def current_ranks() -> Ranks:
    """The ranks to which this process belongs, by the variables that `torchrun` and similar launchers set."""
    if not all(map(os.environ.get, _VARIABLES)):  # one may be empty, such as $SLURM_PROCID outside of srun
        return Ranks()
    rank, count, local_rank = (int(os.environ[name]) for name in _VARIABLES[:3])
    return Ranks(rank, count, local_rank)


def check_alone() -> None:
    """Refuse to train alone among some variables of a launcher: fastai would take WORLD_SIZE for its word."""
    if current_ranks().count == 1 and os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1"):
        absent = next(name for name in _VARIABLES if not os.environ.get(name))
        raise ValueError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']} is set, as by a launcher, but {absent} is not; unset WORLD_SIZE to "
            "train alone"
        )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
