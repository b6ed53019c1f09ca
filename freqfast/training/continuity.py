"""What must be as it was for a run to go on: its recipe, its settings, its data."""

import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from freqfast.data import ImageData
from freqfast.runs.environment import data_place, describe_environment, differences, environment_differences
from freqfast.runs.recipe import Recipe, differing_fields

__all__ = ["compare_start", "require_same_recipe", "require_sound_recipe", "stored_place", "stored_settings"]


def stored_settings(environment: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """What a run takes over from the environment of another, or of its own start.

    Args:
        environment: As in ``environment.json``.
        out: The run directory that it is of.

    Returns:
        Values for "device", "threads", "precision", and of the data "path" (or None) and "sha256".

    Raises:
        ValueError: If it is not all there.
    """
    try:
        settings = {key: environment[key] for key in ("device", "threads", "precision")}
        return settings | {"path": environment["data"]["path"], "sha256": environment["data"]["sha256"]}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{out / 'environment.json'} lacks {error}, so this run cannot be repeated exactly") from None


def stored_place(settings: Mapping[str, Any], out: Path) -> str | None:
    """Where the data was, for a run that is to go on or to be repeated; None where the user had named no place.

    Raises:
        FileNotFoundError: If nothing is there any more.
        ValueError: If that is no path.
    """
    place = settings["path"]
    if place is not None and not isinstance(place, str):
        raise ValueError(f"{out / 'environment.json'} has {place!r} for the path of the data; put the old file back")
    if place is not None and not os.path.exists(place):
        raise FileNotFoundError(f"{place}, the data of {out}, does not exist; say where it is now by --data")
    return place


def require_same_recipe(given: Recipe, stored: Recipe, out: Path) -> None:
    """Refuse to go on with another recipe; its name and description only tell what it is for, and may differ.

    Raises:
        ValueError: Naming the first key that differs.
    """
    names = differing_fields(stored, given)
    old, new = ({name: getattr(recipe, name) for name in names} for recipe in (stored, given))
    for key, then, now in differences(old, new):
        raise ValueError(
            f"{out} was started with {key} {then!r}, the recipe given has {now!r}; "
            "give the same recipe or another run directory"
        )


def require_sound_recipe(environment: Mapping[str, Any], out: Path) -> None:
    """Refuse a ``recipe.toml`` that is not the one of the start.

    Raises:
        ValueError: If it was changed, or rotted.
    """
    if hashlib.sha256((out / "recipe.toml").read_bytes()).hexdigest() != environment.get("recipe_sha256"):
        raise ValueError(
            f"{out / 'recipe.toml'} has changed since the run was started (its SHA-256 is not the one in "
            "environment.json); put the old text back, or start a new run"
        )


def compare_start(
    environment: Mapping[str, Any],
    recipe: Recipe,
    data: ImageData,
    data_path: str | Path | None,
    device: torch.device | str,
    out: Path,
) -> None:
    """Refuse other data than that of the start; warn of another environment.

    Args:
        environment: The one of the start.
        recipe: With the precision of the start.
        data: The data as loaded now.
        data_path: Where it was found, as the user says or the start did.
        device: Where to go on.
        out: The run directory.

    Raises:
        ValueError: If the data has changed; it names the files that were written since.
    """
    now = describe_environment(recipe, data, data_path, device)
    then = environment["data"]["sha256"]
    if now["data"]["sha256"] != then:
        place = data_place(recipe.data, data_path)
        files = [] if place is None else list(_written_since((out / "environment.json").stat().st_ctime, place))
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        raise ValueError(
            f"the data {place or data.name} has changed since {out} was started (SHA-256 of its arrays "
            f"{now['data']['sha256'][:12]}..., then {str(then)[:12]}...)"
            + (f"; written since: {', '.join(files[:3])}{more}" if files else "")
            + "; put the old data back or start a new run"
        )
    if changes := environment_differences(environment, now):
        warnings.warn(
            f"not the environment that {out} was started in, so its result may differ: {'; '.join(changes)}",
            stacklevel=3,
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
