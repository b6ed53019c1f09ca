"""What the commands do where `torchrun` or its like has started several processes, each with a rank."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_OF_SEVERAL = {"run", "rerun"}
"""The commands in which all processes take part."""


@contextmanager
def first_rank_prints() -> Iterator[None]:
    """Let the first rank alone print; of the others a traceback, which nobody has foreseen, is seen as well."""
    if is_first_rank():
        yield
        return
    streams = (1, 2)
    kept = [os.dup(stream) for stream in streams]
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(null, stream)
    try:
        yield
    except Exception:
        for stream, own in zip(streams, kept, strict=True):
            os.dup2(own, stream)
        raise


def refuse_ranks(command: str | None) -> None:
    """Refuse a command that works in one process, where several were started."""
    if command not in _OF_SEVERAL and command is not None and has_several_ranks():
        raise ValueError(f"{command} works in one process; call it without torchrun (`run` alone trains in several)")


def is_first_rank() -> bool:
    """Whether this is the only process, or the first of several."""
    return not has_several_ranks() or os.environ["RANK"] == "0"


def has_several_ranks() -> bool:
    """Whether there are several ranks; torch is imported only where there may be."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return False
    from freqfast.compute.ranks import current_ranks

    return current_ranks().count > 1
