"""What a run needs in order to go on: the recipe, the data and the settings of its start."""

import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from freqfast.data import ImageData
from freqfast.records import differences
from freqfast.runs.directory import RunDirectory
from freqfast.runs.environment import Environment, environment_differences
from freqfast.runs.recipe import Recipe, differing_fields

__all__ = ["check_data", "check_recipe", "stored_place", "warn_of_changes"]


def stored_place(environment: Environment, path: Path) -> str | None:
    """Where the data of a run was found at its start.

    Args:
        environment: The environment of the start.
        path: The run directory.

    Returns:
        None if no place was named.

    Raises:
        FileNotFoundError: If nothing is there any more.
    """
    place = environment.data.path
    if place is not None and not os.path.exists(place):
        raise FileNotFoundError(f"{place}, the data of {path}, does not exist; say by data_path where it is now")
    return place


def check_recipe(given: Recipe, directory: RunDirectory) -> Recipe:
    """The recipe of an unfinished run, if it may go on with the one that is given.

    Names and descriptions only tell what a recipe is for, and may differ; the run keeps its own.

    Raises:
        ValueError: If a value differs, naming the first, or ``recipe.toml`` was changed since the start.
    """
    stored = directory.read_recipe()
    names = differing_fields(stored, given)
    old, new = ({name: getattr(recipe, name) for name in names} for recipe in (stored, given))
    for key, then, now in differences(old, new):
        raise ValueError(
            f"{directory.path} was started with {key} {then!r}, the recipe given has {now!r}; "
            "give the same recipe or another run directory"
        )
    if directory.is_finished:
        return stored
    digest = hashlib.sha256(directory.recipe.read_bytes()).hexdigest()
    if digest != directory.read_environment().recipe_sha256:
        raise ValueError(
            f"{directory.recipe} has changed since the run was started (its SHA-256 is not the one in "
            f"{directory.environment.name}); put the old text back, or start a new run"
        )
    return stored


def check_data(start: Environment, now: Environment, data: ImageData, directory: RunDirectory) -> None:
    """Refuse other data than that of the start.

    Args:
        start: The environment of the start.
        now: The environment as it is now.
        data: The data as loaded now.
        directory: The run directory.

    Raises:
        ValueError: If the data has changed; it names the files that were written since.
    """
    if now.data.sha256 == start.data.sha256:
        return
    place = now.data.path
    files = [] if place is None else list(_written_since(directory.environment.stat().st_ctime, Path(place)))
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    raise ValueError(
        f"the data {place or data.name} has changed since {directory.path} was started (SHA-256 of its arrays "
        f"{now.data.sha256[:12]}..., then {start.data.sha256[:12]}...)"
        + (f"; written since: {', '.join(files[:3])}{more}" if files else "")
        + "; put the old data back or start a new run"
    )


def warn_of_changes(start: Environment, now: Environment, path: Path) -> None:
    """Warn if a run goes on in another environment than that of its start."""
    if changes := environment_differences(start, now):
        warnings.warn(
            f"not the environment that {path} was started in, so its result may differ: {'; '.join(changes)}",
            stacklevel=4,
        )


def _written_since(moment: float, place: Path) -> Iterator[str]:
    """Files of a data set that were written, moved or replaced since, by the time that no program can set back."""
    if place.is_file():
        yield place.name
        return
    for folder, _, names in os.walk(place):
        for path in (Path(folder) / name for name in sorted(names)):
            if path.lstat().st_ctime > moment:
                yield str(path.relative_to(place))
