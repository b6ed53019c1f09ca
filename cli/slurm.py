"""What ``--slurm`` of `freqfast study` takes."""

from collections.abc import Sequence
from typing import Any

__all__ = ["parse_slurm"]

_SHORT = {"gpus": "gpus_per_node", "cpus": "cpus_per_task"}


def parse_slurm(texts: Sequence[str]) -> dict[str, Any]:
    """Parameters of a Slurm job array from ``KEY=VALUE,KEY=VALUE`` texts.

    Keys are those of `submitit.SlurmExecutor`, which are Slurm's (``partition``, ``account``, ``mem``, ``gres``,
    ``time`` in minutes, ``array_parallelism``), and ``gpus`` and ``cpus``, those of each run.

    Raises:
        ImportError: If submitit is not installed.
        ValueError: If a text is not of this form or a key is unknown.
    """
    from freqfast.study.executors import import_submitit

    # The names are submitit's to know; it has no public way to ask for them without a cluster.
    known = import_submitit("--slurm").SlurmExecutor._valid_parameters() - {
        "additional_parameters",
        "setup",
        "teardown",
    }
    found: dict[str, Any] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        key, equals, value = part.partition("=")
        name = _SHORT.get(key, key).replace("-", "_")
        if not (key and equals and value):
            raise ValueError(f"--slurm {part!r}: write KEY=VALUE,KEY=VALUE, such as partition=gpu,gpus=1")
        if name not in known:
            raise ValueError(f"--slurm has no parameter {key!r}; it has {', '.join(sorted({*known, *_SHORT}))}")
        if name in found:
            raise ValueError(f"--slurm sets {name} twice")
        found[name] = _value(value)
    if "time" in found and not (isinstance(found["time"], int) and found["time"] > 0):
        raise ValueError(f"--slurm time must be whole minutes, got {found['time']!r}")
    return found


def _value(text: str) -> int | bool | str:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isascii() and text.isdigit() else text
