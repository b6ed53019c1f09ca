"""Options that do not go together."""

from collections.abc import Iterable, Set
from pathlib import Path

import typer

__all__ = ["given", "refuse", "refuse_classes", "refuse_frost_dir"]


def refuse(context: typer.Context, reason: str, names: Set[str]) -> None:
    """Raise if any of these parameters was given.

    Raises:
        ValueError: If so.
    """
    if found := given(context, names):
        raise ValueError(f"{reason}; leave out {', '.join(found)}")


def given(context: typer.Context, names: Set[str]) -> list[str]:
    """Which of these parameters were given, be it with their default value: the options, in the order of the help."""
    sources = {name: context.get_parameter_source(name) for name in names}
    found = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    return [parameter.opts[0] for parameter in context.command.params if parameter.name in found]


def refuse_classes(context: typer.Context, model: str) -> None:
    """Raise if a number of classes was given for a model that is not built with one.

    Raises:
        ValueError: If so.
    """
    if not model.startswith(("timm:", "torchvision:")):
        refuse(context, f"{model} is built with the classes that it has", {"classes"})


def refuse_frost_dir(frost_dir: Path | None, corruptions: Iterable[str]) -> None:
    """Raise if the frost photographs are named where none of the corruptions needs them.

    Raises:
        ValueError: If so.
    """
    if frost_dir is not None and "frost" not in corruptions:
        raise ValueError("frost is not among the corruptions; leave out --frost-dir")
