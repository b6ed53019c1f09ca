"""Find recipes by name: those that installed packages register, and those that a user names by their module."""

import warnings
from dataclasses import replace
from difflib import get_close_matches
from importlib.metadata import EntryPoint
from types import ModuleType

from freqfast.plugins import find_plugins, import_object, load_plugin
from freqfast.runs.recipe import Recipe


def _recipes_of(point: EntryPoint) -> dict[str, Recipe]:
    """Recipes of an entry point: the recipe that it names, or every recipe in its module as ``entry.attribute``."""
    found, name = load_plugin("recipes", point), point.name
    if isinstance(found, Recipe):
        return {name: replace(found, name=name)}
    if isinstance(found, ModuleType):
        public = {f"{name}.{attr}": value for attr, value in vars(found).items() if not attr.startswith("_")}
        return {key: replace(value, name=key) for key, value in public.items() if isinstance(value, Recipe)}
    raise ValueError(
        f"entry point {name!r} of group freqfast.recipes is a {type(found).__name__}, not a Recipe or module"
    )


def list_recipes() -> dict[str, Recipe]:
    """All recipes by name, from the entry points ``freqfast.recipes``.

    Warns of each entry point that cannot be imported or is no recipe.
    """
    recipes: dict[str, Recipe] = {}
    for point in find_plugins("recipes").values():
        try:
            recipes |= _recipes_of(point)
        except ValueError as error:
            warnings.warn(str(error), stacklevel=2)
    return recipes


def find_recipe(name: str) -> Recipe:
    """The registered recipe of this name. If it exists, only its own entry point is imported.

    Raises:
        ValueError: If there is none (the message lists those that exist), or its entry point cannot be imported or is
            no recipe.

    Examples:
        >>> find_recipe("quickstart").data
        'photos'
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a recipe must be text, got {type(name).__name__}")
    points = find_plugins("recipes")
    for entry in (name, name.rpartition(".")[0]):
        if entry in points and name in (recipes := _recipes_of(points[entry])):
            return recipes[name]
    with warnings.catch_warnings(action="ignore"):
        names = list(list_recipes())
    close = [other for other in names if other.endswith(f".{name}")] or get_close_matches(name, names)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise ValueError(f"unknown recipe {name!r}; the recipes are {', '.join(names)}{hint}")


def load_recipe(spec: str) -> Recipe:
    """A recipe that a user names: a registered one, or ``package.module:recipe``.

    The latter imports the module and so runs its code, by design: never use it for a name that comes from a file.
    """
    if not isinstance(spec, str) or ":" not in spec:
        return find_recipe(spec)
    found = import_object(spec)
    if not isinstance(found, Recipe):
        raise ValueError(f"{spec} is a {type(found).__name__}, not a Recipe")
    return replace(found, name=spec)
