"""Code of other packages: what they register for freqfast, and what a user names by its module."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any

__all__ = ["GROUPS", "find_plugins", "import_object", "load_plugin", "plugin_versions", "working_directory_importable"]

GROUPS = {
    "recipes": "recipe",  # a `freqfast.Recipe`, or a module of them
    "callbacks": "callback",  # a class of fastai callbacks, for a recipe's `callbacks`
    "corruptions": "corruption",  # a function, see `freqfast.corruptions.Corruption`
    "models": "model",  # a function that builds a network, for a recipe's `model`
    "data": "data",  # a function that loads a data set, see `freqfast.data.DataSource`, for a recipe's `data`
    "analyses": "analysis",  # an analysis of a trained model, see `freqfast.analysis`
}
"""The groups of entry points: what a package registers under ``freqfast.<group>``, and what messages call one."""


def _registered(group: str) -> list[EntryPoint]:
    try:
        return sorted(entry_points(group=f"freqfast.{group}"), key=lambda point: point.name)
    except Exception as error:  # one package's corrupt entry_points.txt makes the standard library raise anything
        raise ValueError(
            f"the entry points of an installed package cannot be read ({type(error).__name__}: {error}); reinstall or "
            "remove that package"
        ) from None


def find_plugins(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by their names, sorted; nothing is imported.

    Args:
        group: One of `GROUPS`.

    Raises:
        ValueError: If the installed packages' metadata cannot be read.
    """
    return {point.name: point for point in _registered(group)}


def plugin_versions() -> dict[str, str]:
    """Versions of the installed packages that register anything for freqfast, by their names; freqfast is left out.

    Raises:
        ValueError: If the installed packages' metadata cannot be read.
    """
    packages = {point.dist for group in GROUPS for point in _registered(group) if point.dist is not None}
    versions = {str(package.name): str(package.version) for package in packages}
    versions.pop("freqfast", None)
    return dict(sorted(versions.items()))


def load_plugin(group: str, point: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises:
        ValueError: If the import raises anything, or several packages register this name.
    """
    what = f"{GROUPS[group]} entry point {point.name!r}"
    packages = sorted(str(other.dist and other.dist.name) for other in _registered(group) if other.name == point.name)
    if len(packages) > 1:
        raise ValueError(f"{what} is registered by {' and by '.join(packages)}; uninstall all but one of them")
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise ValueError(f"{what} ({point.value}) cannot be imported: {str(error) or type(error).__name__}") from error


def import_object(text: str) -> Any:
    """Import what ``package.module:name`` names. This runs the module's code.

    Modules of the working directory are found too, after those that are installed.

    Raises:
        ValueError: If importing the module raises anything, or it has no such name.

    Examples:
        >>> import_object("math:tau")
        6.283185307179586
    """
    module, _, name = text.partition(":")
    with working_directory_importable():
        try:
            found: Any = importlib.import_module(module)
        except Exception as error:
            reason = " ".join(str(error).split())[:150]
            raise ValueError(f"{text} cannot be imported ({type(error).__name__}: {reason})") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{text}: {module} has no {name}")
        found = getattr(found, part)
    return found


@contextmanager
def working_directory_importable() -> Iterator[None]:
    """Let imports find modules of the working directory, after those that are installed."""
    sys.path.append("")
    try:
        yield
    finally:
        sys.path.remove("")
