"""What the commands do where `torchrun` or its like has started several processes, each with a rank."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

_FOR_ONE_RANK = {"recipes", "models", "spectra", "show", "report", "merge", None}
_REFUSED = {
    "study": "a study starts the processes of its runs itself; call it without torchrun, such as with --slurm gpus=4",
    "finetune": "finetune trains in one process; call it without torchrun",
}


@contextmanager
def first_rank_prints() -> Iterator[None]:
    """Let the first rank alone print; of the others a traceback, which nobody has foreseen, is seen as well."""
    if not has_several_ranks() or os.environ["RANK"] == "0":
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


def end_idle_ranks(command: str | None) -> None:
    """End all ranks but the first where a command (None: an option alone) is not shared; analyses do so themselves."""
    if not has_several_ranks() or command not in _FOR_ONE_RANK | _REFUSED.keys():
        return
    if command in _REFUSED:
        raise ValueError(_REFUSED[command])
    if os.environ["RANK"] != "0":
        raise typer.Exit


def has_several_ranks() -> bool:
    """Whether there are several ranks; torch is imported only where there may be."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return False
    from freqfast.compute.ranks import current_ranks

    return current_ranks().count > 1
