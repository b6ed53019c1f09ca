"""What the commands do where `torchrun` or its like has started several processes, each with a rank."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from freqfast.cli.interrupts import interruptible

_OF_SEVERAL = {"run", "rerun"}
"""The commands in which all processes take part."""

_muted: dict[int, int] = {}  # standard output and error, with copies of them as they were


@contextmanager
def first_rank_prints() -> Iterator[None]:
    """Let the first rank alone print, once it is there; a traceback, which nobody has foreseen, is seen of all."""
    if not is_first_rank():
        from freqfast.compute.ranks import first_rank_answers

        if first_rank_answers():
            _mute()
    try:
        yield
    except Exception:
        for stream, own in _muted.items():
            os.dup2(own, stream)
        raise


def meet() -> None:
    """Wait for the other ranks, if there are any; from then on the first one alone prints."""
    if has_several_ranks():
        from freqfast.compute.ranks import current_ranks

        with interruptible():
            current_ranks().wait()
        if not is_first_rank() and not _muted:
            _mute()


def _mute() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        _muted[stream] = os.dup(stream)
        os.dup2(null, stream)


def refuse_ranks(command: str | None) -> None:
    """Refuse a command that works in one process, where several were started."""
    if command not in _OF_SEVERAL and command is not None and has_several_ranks():
        there = f"WORLD_SIZE={os.environ['WORLD_SIZE']}"
        raise ValueError(f"{command} works in one process, `run` in several; leave torchrun out, or unset {there}")


def is_first_rank() -> bool:
    """Whether this is the only process, or the first of several."""
    return not has_several_ranks() or os.environ["RANK"] == "0"


def has_several_ranks() -> bool:
    """Whether there are several ranks; torch is imported only where there may be."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return False
    from freqfast.compute.ranks import current_ranks

    return current_ranks().count > 1
