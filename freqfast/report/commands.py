"""The commands by which runs, their evaluations and their analyses are made again."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import tomli_w

from freqfast.analysis import Ablation, Analysis, HeatMap, Quality
from freqfast.corruptions import SETS
from freqfast.robustness import CLEAN, Provenance
from freqfast.runs.recipe import Recipe, apply_overrides, differing_fields
from freqfast.runs.registry import find_recipe

__all__ = ["analysis_command", "evaluate_command", "run_command"]


def run_command(recipe: Recipe, out: str, data: str | None = None) -> str | None:
    """The shell command that runs a recipe as it was resolved: its name and what was overridden.

    Args:
        recipe: The recipe of a run.
        out: The run directory to write.
        data: Where its data was found; None where by name alone.

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
    return shlex.join([*words, *_at(data), "--out", out])


def evaluate_command(run: str, provenance: Provenance, out: str, data: str | None = None) -> str:
    """The shell command that evaluates a run as an evaluation was made.

    Args:
        run: The run directory.
        provenance: What was evaluated on what.
        out: The result file to write.
        data: Where the run's data was found; None where by name alone.
    """
    words = ["freqfast", "evaluate", run]
    name, _, how = provenance.source.partition(", ")
    if how == "corrupted on the fly":
        words += ["--on-the-fly", "--seed", str(provenance.seed)]
        data = "photos" if name == "photos" else data
    else:
        data = data if CLEAN in provenance.cells else None
        words += [] if how == "as published" else ["--cifar10c", provenance.source]  # the first is found by itself
    names = list(dict.fromkeys(key[0] for key in provenance.cells if key != CLEAN))
    whole = next((word for word, members in SETS.items() if set(names) == set(members)), None)
    words += ["--set", whole] if whole else [word for name in names for word in ("--corruption", name)]
    words += [*_at(data), "--limit", str(provenance.image_range[1]), "--precision", provenance.precision]
    return shlex.join([*words, "--out", out])


def analysis_command(run: str, found: Analysis, data: str | None = None) -> str:
    """The shell command that finds in a run what an analysis found.

    Args:
        run: The run directory.
        found: What it found.
        data: Where the run's data was found; None where by name alone.
    """
    words: list[object] = ["freqfast", found.kind, run]
    if not isinstance(found, Quality):
        words += [*_at(data), "--images", found.images]  # type: ignore[attr-defined]
    if isinstance(found, HeatMap):
        words += ["--norm", f"{found.norm:g}", "--seed", found.seed]
    if isinstance(found, Ablation):
        words += ["--bands", len(found.bands), "--seed", found.seed]
    if isinstance(found, (Ablation, Quality)):
        words += ["--layer", found.layer]
    return shlex.join(map(str, words))


def _at(data: str | None) -> list[str]:
    return [] if data is None else ["--data", data]


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
        elif name == "model_options":
            yield from ((f"model.{option}", value) for option, value in recipe.model_options.items())
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
