"""What the commands do where `torchrun` or its like has started several processes, each with a rank."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

__all__ = ["is_shared", "one_voice", "share_out"]

_OF_THE_FIRST = {"recipes", "models", "spectra", "show", "report", "merge", None}
_ALONE = {
    "study": "a study starts the processes of its runs itself; call it without torchrun, such as with --slurm gpus=4",
    "finetune": "finetune trains in one process; call it without torchrun",
}


@contextmanager
def one_voice() -> Iterator[None]:
    """Let the first rank alone print; of the others a traceback, which nobody has foreseen, is seen as well."""
    if not is_shared() or os.environ.get("RANK") == "0":
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


def share_out(command: str | None) -> None:
    """End all ranks but the first where a command is not shared; analyses see to that themselves.

    Args:
        command: Its name; None for an option alone.

    Raises:
        ValueError: If the command is not for several ranks.
        typer.Exit: On a rank without work.
    """
    if not is_shared() or command not in _OF_THE_FIRST | _ALONE.keys():
        return
    from freqfast.compute.ranks import current_ranks

    ranks = current_ranks()
    if ranks.count > 1 and command in _ALONE:
        raise ValueError(_ALONE[command])
    if not ranks.is_first:
        raise typer.Exit


def is_shared() -> bool:
    """Whether there may be several ranks; only then is it worth importing torch to know."""
    return os.environ.get("WORLD_SIZE", "1") != "1"
