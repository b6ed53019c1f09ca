"""What other installed packages register for freqfast: recipes, callbacks, corruptions."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

__all__ = ["find_plugins", "load_plugin", "plugin_versions"]


def find_plugins(kind: str) -> dict[str, EntryPoint]:
    """The entry points of a group by their names, sorted; nothing is imported.

    Args:
        kind: "recipes", "callbacks" or "corruptions".

    Raises:
        ValueError: If the installed packages' metadata cannot be read.
    """
    try:
        return {point.name: point for point in sorted(entry_points(group=f"freqfast.{kind}"), key=lambda p: p.name)}
    except Exception as error:  # one package's damaged entry_points.txt makes the standard library raise anything
        raise ValueError(
            f"the entry points of an installed package cannot be read ({type(error).__name__}: {error}); reinstall or "
            "remove that package"
        ) from None


def plugin_versions() -> dict[str, str]:
    """Versions of the installed packages that register anything for freqfast, itself left out, by their names.

    Raises:
        ValueError: If the installed packages' metadata cannot be read.
    """
    kinds = ("recipes", "callbacks", "corruptions")
    packages = {point.dist for kind in kinds for point in find_plugins(kind).values() if point.dist is not None}
    versions = {str(package.name): str(package.version) for package in packages}
    versions.pop("freqfast", None)
    return dict(sorted(versions.items()))


def load_plugin(kind: str, point: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises:
        ValueError: If it cannot be imported, whatever its package raises.
    """
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{kind.removesuffix('s')} entry point {point.name!r} ({point.value}) cannot be imported: "
            f"{error or type(error).__name__}"
        ) from error
