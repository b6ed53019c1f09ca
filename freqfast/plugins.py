"""Code of others: what installed packages register for freqfast, and what a user names by its module."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any

__all__ = ["find_plugins", "import_object", "load_plugin", "plugin_versions", "working_directory_importable"]


def _registered(kind: str) -> list[EntryPoint]:
    try:
        return sorted(entry_points(group=f"freqfast.{kind}"), key=lambda point: point.name)
    except Exception as error:  # one package's damaged entry_points.txt makes the standard library raise anything
        raise ValueError(
            f"the entry points of an installed package cannot be read ({type(error).__name__}: {error}); reinstall or "
            "remove that package"
        ) from None


def find_plugins(kind: str) -> dict[str, EntryPoint]:
    """The entry points of a group by their names, sorted; nothing is imported.

    Args:
        kind: "recipes", "callbacks" or "corruptions".

    Raises:
        ValueError: If the installed packages' metadata cannot be read.
    """
    return {point.name: point for point in _registered(kind)}


def plugin_versions() -> dict[str, str]:
    """Versions of the installed packages that register anything for freqfast, itself left out, by their names.

    Raises:
        ValueError: If the installed packages' metadata cannot be read.
    """
    kinds = ("recipes", "callbacks", "corruptions")
    packages = {point.dist for kind in kinds for point in _registered(kind) if point.dist is not None}
    versions = {str(package.name): str(package.version) for package in packages}
    versions.pop("freqfast", None)
    return dict(sorted(versions.items()))


def load_plugin(kind: str, point: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises:
        ValueError: If it cannot be imported, whatever its package raises, or several packages register its name.
    """
    what = f"{kind.removesuffix('s')} entry point {point.name!r}"
    packages = sorted(str(other.dist and other.dist.name) for other in _registered(kind) if other.name == point.name)
    if len(packages) > 1:
        raise ValueError(f"{what} is registered by {' and by '.join(packages)}; uninstall all but one of them")
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise ValueError(f"{what} ({point.value}) cannot be imported: {str(error) or type(error).__name__}") from error


def import_object(text: str) -> Any:
    """What ``package.module:name`` names. It runs the module's code, by design.

    Modules of the working directory are found too, after those that are installed.

    Raises:
        ValueError: If the module cannot be imported, whatever it raises, or has no such name.
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
