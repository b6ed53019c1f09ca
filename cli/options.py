"""Options that do not go together."""

from collections.abc import Set

import typer

__all__ = ["given", "refuse"]


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
