"""Code of other packages: what they register for freqfast, and what a user names by its module."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

GROUPS = {
    "recipes": "recipe",  # a `freqfast.Recipe`, or a module of them
    "callbacks": "callback",  # a class of fastai callbacks, for a recipe's `callbacks`
    "corruptions": "corruption",  # a function, see `freqfast.corruptions.Corruption`
    "models": "model",  # a function that builds a network, for a recipe's `model`
    "data": "data",  # a function that loads a data set, see `freqfast.data.DataSource`, for a recipe's `data`
    "analyses": "analysis",  # an analysis of a trained model, see `freqfast.analysis`
}
"""The groups of entry points: what a package registers under ``freqfast.<group>``, and the word for it in messages."""

_ABSENT = object()
_BESIDE: dict[str, str] = {}  # modules and packages that `importable` let be found: by name, in which folder


def _registered(group: str) -> list[EntryPoint]:
    places = [place for place in map(os.path.abspath, sys.path) if os.path.exists(place)]
    installed = tuple((place, os.path.getmtime(place)) for place in places)
    try:
        return sorted(_points(group, installed), key=lambda point: point.name)
    except Exception as error:  # one package's corrupt entry_points.txt makes the standard library raise anything
        raise ValueError(
            f"the entry points of an installed package cannot be read ({type(error).__name__}: {error}); reinstall or "
            "remove that package"
        ) from None


@lru_cache(maxsize=len(GROUPS))
def _points(group: str, installed: tuple[tuple[str, float], ...]) -> EntryPoints:
    """What packages register; read again after an installation or removal, which changes a folder's time."""
    return entry_points(group=f"freqfast.{group}")


def find_plugins(group: str) -> dict[str, EntryPoint]:
    """The entry points of one of the `GROUPS` by their names, sorted; nothing is imported."""
    return {point.name: point for point in _registered(group)}


def plugin_versions() -> dict[str, str]:
    """Versions of the installed packages that register anything for freqfast, by their names; freqfast is left out."""
    packages = {point.dist for group in GROUPS for point in _registered(group) if point.dist is not None}
    versions = {str(package.name): str(package.version) for package in packages}
    versions.pop("freqfast", None)
    return dict(sorted(versions.items()))


def load_plugin(group: str, point: EntryPoint) -> Any:
    """Import what an entry point names; a ValueError if that fails, or several packages register the name."""
    what = f"{GROUPS[group]} entry point {point.name!r}"
    packages = sorted(str(other.dist and other.dist.name) for other in _registered(group) if other.name == point.name)
    if len(packages) > 1:
        raise ValueError(f"{what} is registered by {' and by '.join(packages)}; uninstall all but one of them")
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise ValueError(f"{what} ({point.value}) cannot be imported: {str(error) or type(error).__name__}") from error


def import_object(text: str) -> Any:
    """Import what ``package.module:name`` or ``folder/file.py:name`` names. This runs the module's code.

    Modules in the working directory, or in the file's folder, are found too, after those that are installed. A
    ValueError is raised if the import fails in any way.

    Examples:
        >>> import_object("math:tau")
        6.283185307179586
    """
    module, _, name = text.partition(":")
    try:
        with importable(module), redirect_stdout(sys.stderr):  # a command's own output may be JSON
            found = _import_file(module) if module.endswith(".py") else importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part, _ABSENT)  # which may run code too
    except (Exception, SystemExit) as error:  # a script that reads its own command line ends the process
        reason = " ".join(str(error).split())[:150]
        is_absent = isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
        way_out = "; a file elsewhere than here is named by its path, folder/file.py" if is_absent else ""
        raise ValueError(f"{text} cannot be imported ({type(error).__name__}: {reason}){way_out}") from None
    if found is _ABSENT:
        raise ValueError(f"{text}: {module} has no {name}")
    return found


def _import_file(path: str) -> Any:
    """Run a file as a module whose name is the whole path, since there may be two files ``resnet.py``."""
    name = str(Path(path).resolve())
    spec: Any = spec_from_file_location(name, name)
    sys.modules[name] = module = module_from_spec(spec)  # where dataclasses, say, look for it
    spec.loader.exec_module(module)
    return module


@contextmanager
def importable(module: str) -> Iterator[None]:
    """Let imports find what lies beside ``folder/file.py``, or in the working directory, after what is installed.

    What was found in another folder before is forgotten: modules here may have the same names.
    """
    folder = str(Path(module).resolve().parent) if module.endswith(".py") else ""
    if folder in sys.path:  # as in a notebook; taking it out would change what else is found
        yield
        return
    home = folder or os.getcwd()
    others = {name for name, place in _BESIDE.items() if place != home}
    for name in [name for name in sys.modules if name.partition(".")[0] in others]:
        del sys.modules[name]
    for name in others:
        del _BESIDE[name]
    known = set(sys.modules)
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        new = sys.modules.keys() - known
        _BESIDE.update((name, home) for name in new if "." not in name and _lies_in(home, sys.modules[name]))


def _lies_in(folder: str, module: Any) -> bool:
    """Whether a module or package lies in a folder."""
    places = (getattr(module, "__file__", None), *getattr(module, "__path__", ()))
    return any(place is not None and os.path.dirname(place) == folder for place in places)
