"""The commands by which runs are made again."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import tomli_w

from freqfast.recipe import Recipe, apply_overrides, find_recipe
from freqfast.study.definition import differing_fields

__all__ = ["run_command"]


def run_command(recipe: Recipe, out: str) -> str | None:
    """The shell command that runs a recipe as it was resolved: its name and what was overridden.

    Args:
        recipe: The recipe of a run.
        out: The run directory to write.

    Returns:
        None where no such command exists: the recipe is not registered here, or has other callbacks than there.
    """
    try:
        registered = find_recipe(recipe.name)
        settings = dict(_overrides(recipe, registered))
        if differing_fields(apply_overrides(registered, settings), recipe):
            return None
    except ValueError:
        return None
    words = ["freqfast", "run", recipe.name]
    for key, value in settings.items():
        words += [f"--{key}", str(value)] if key in ("epochs", "seed") else ["--set", f"{key}={_literal(value)}"]
    return shlex.join([*words, "--out", out])


def _overrides(recipe: Recipe, registered: Recipe) -> Iterator[tuple[str, Any]]:
    """Values by dotted key in which a recipe differs from the registered one."""
    for name in differing_fields(registered, recipe):
        if name == "callbacks":
            for callback, options in recipe.callbacks.items():
                before = registered.callbacks.get(callback, {})
                yield from (
                    (f"{callback}.{option}", value)
                    for option, value in options.items()
                    if option not in before or before[option] != value
                )
        else:
            yield name, getattr(recipe, name)


def _literal(value: Any) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_literal(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return tomli_w.dumps({"value": value}).removeprefix("value = ").strip()


def _key(key: str) -> str:
    return tomli_w.dumps({key: 0}).removesuffix(" = 0\n")
