"""The study file: which recipes are compared, under which settings and seeds."""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from freqfast.records import check_value
from freqfast.runs.recipe import Recipe, apply_overrides, differing_fields
from freqfast.runs.registry import find_recipe

__all__ = ["Arm", "PlannedRun", "Study", "load_study", "run_name"]

_STUDY_KEYS = ("title", "description", "seeds", "baseline", "bar", "settings", "target", "arms")
_ARM_KEYS = ("recipe", "description", "settings", "callbacks", "seeds")
_TARGET_KEYS = ("clean", "mean15")
_SAME_FOR_ALL = ("data", "holdout", "test_images")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]{0,63}", re.ASCII)  # a folder's name on every system


@dataclass(frozen=True)
class Arm:
    """One of the recipes that a study compares.

    Attributes:
        name: Its name in the study, also that of its folder.
        recipe: The recipe with the study's and the arm's settings; its seed stands for any.
        seeds: The seeds to run it with.
    """

    name: str
    recipe: Recipe
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class PlannedRun:
    """One arm under one seed.

    Attributes:
        arm: Name of the arm.
        recipe: What to run, of the seed.
    """

    arm: str
    recipe: Recipe

    @property
    def seed(self) -> int:
        """The seed."""
        return self.recipe.seed

    @property
    def name(self) -> str:
        """How messages call it, see `run_name`."""
        return run_name(self.arm, self.seed)


def run_name(arm: str, seed: int) -> str:
    """How messages call a run of a study, such as ``low/seed-0``; also its folder below the study's ``runs``."""
    return f"{arm}/seed-{seed}"


@dataclass(frozen=True)
class Study:
    """A comparison of arms over seeds.

    Attributes:
        title: What the study is called.
        description: What it asks.
        baseline: Name of the arm that the others are compared to.
        arms: The arms, in the order of the file.
        target: Differences to the baseline to aim at, fractions by "clean" and "mean15"; may be empty.
        bar: Whether runs are evaluated on CIFAR-10-C-bar as well, corruptions that no choice is made by.
    """

    title: str
    description: str
    baseline: str
    arms: tuple[Arm, ...]
    target: Mapping[str, float] = field(default_factory=dict)
    bar: bool = False

    def runs(self, arms: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[PlannedRun]:
        """The runs of the study, seed by seed, so that whole comparisons are there early.

        Args:
            arms: Names of the only arms wanted; all if empty.
            seeds: The only seeds wanted; all if empty.

        Raises:
            ValueError: If the study has no such arm, or none of the arms such a seed.
        """
        names = [arm.name for arm in self.arms]
        for name in arms:
            if name not in names:
                raise ValueError(f"the study has no arm {name!r}; its arms are {', '.join(names)}")
        chosen = [arm for arm in self.arms if not arms or arm.name in arms]
        known = sorted({seed for arm in chosen for seed in arm.seeds})
        for seed in seeds:
            if seed not in known:
                raise ValueError(f"no arm of the study has seed {seed}; the seeds are {', '.join(map(str, known))}")
        return [
            PlannedRun(arm.name, replace(arm.recipe, seed=seed))
            for seed in known
            if not seeds or seed in seeds
            for arm in chosen
            if seed in arm.seeds
        ]


def load_study(path: str | Path) -> Study:
    """Read a study file.

    A study file is TOML::

        title = "Low filters"
        description = "Does an all-low first layer help?"
        seeds = [0, 1, 2]
        baseline = "baseline"
        bar = true  # optional: evaluate on CIFAR-10-C-bar too
        target = { clean = -0.005, mean15 = 0.13 }  # optional, drawn in the figure

        [settings]  # values of the recipe (not seed), for all arms
        width = 16
        holdout = 2000  # choose on training images held out; for a final table leave it out
        test_images = 0  # all of them under each corruption

        [arms.baseline]
        recipe = "resnet18_cifar10.baseline"

        [arms.low]
        recipe = "resnet18_cifar10.baseline"
        description = "all filters low"
        seeds = [0]  # optional, in place of the study's
        settings = { epochs = 12 }  # optional, over the study's
        [arms.low.callbacks.frequency_proportion]  # joins the recipe's callbacks, or replaces arguments of one
        proportions = { low = 1.0 }

    The arguments of callbacks are checked when a run builds them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not TOML, a key or a name is unknown, or a value does not fit; the message names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; name a study file (.toml)")
    try:
        return _study(tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:  # text that is no UTF-8 or TOML, tables too deep, what we refuse
        raise ValueError(f"{path}: {error}") from None


def _study(table: Mapping[str, Any]) -> Study:
    _check_keys("the study", table, _STUDY_KEYS, required=("title", "seeds", "baseline", "arms"))
    seeds = _seeds("seeds", table["seeds"])
    settings = _settings("settings", table.get("settings", {}))
    arms = [_arm(name, arm, settings, seeds) for name, arm in _table("arms", table["arms"]).items()]
    if not arms:
        raise ValueError("the study has no arms; add a table [arms.NAME]")
    for i, arm in enumerate(arms):
        for other in arms[:i]:
            if arm.name.casefold() == other.name.casefold():
                raise ValueError(f"arms {other.name!r} and {arm.name!r} differ in case only, so do their folders")
            if not differing_fields(arm.recipe, other.recipe):
                raise ValueError(f"arms {other.name!r} and {arm.name!r} define the same run; leave one out")
    baseline = check_value("baseline", table["baseline"], str)
    if baseline not in {arm.name for arm in arms}:
        raise ValueError(f"baseline {baseline!r} is no arm; the arms are {', '.join(arm.name for arm in arms)}")
    _check_same_images(arms, baseline)
    target = _table("target", table.get("target", {}))
    if target:
        _check_keys("target", target, _TARGET_KEYS, required=_TARGET_KEYS)
    target = {key: check_value(f"target.{key}", value, float) for key, value in target.items()}
    if not all(map(math.isfinite, target.values())):
        raise ValueError(f"target must be finite, got {target}")
    return Study(
        title=check_value("title", table["title"], str),
        description=check_value("description", table.get("description", ""), str),
        baseline=baseline,
        arms=tuple(arms),
        target=target,
        bar=check_value("bar", table.get("bar", False), bool),
    )


def _check_same_images(arms: Sequence[Arm], baseline: str) -> None:
    """Refuse arms that would be judged on other images than the baseline, or trained on others."""
    reference = next(arm.recipe for arm in arms if arm.name == baseline)
    for arm in arms:
        for name in _SAME_FOR_ALL:
            if (own := getattr(arm.recipe, name)) != (others := getattr(reference, name)):
                raise ValueError(
                    f"arms.{arm.name}: {name} is {own!r}, but {others!r} for the baseline {baseline!r}, which would "
                    "compare accuracies on other images; set it in [settings], for all arms"
                )


def _arm(name: str, value: object, settings: Mapping[str, Any], seeds: tuple[int, ...]) -> Arm:
    where = f"arms.{name}"
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"arm {name!r} has a bad name; use up to 64 letters, digits and _.+=-, beginning with a letter or digit"
        )
    table = _table(where, value)
    _check_keys(where, table, _ARM_KEYS, required=("recipe",))
    try:
        found = find_recipe(check_value("recipe", table["recipe"], str))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    callbacks = {name: dict(options) for name, options in found.callbacks.items()}
    for callback, options in _table(f"{where}.callbacks", table.get("callbacks", {})).items():
        callbacks.setdefault(callback, {}).update(_table(f"{where}.callbacks.{callback}", options))
    own = _settings(f"{where}.settings", table.get("settings", {}))
    try:
        recipe = replace(
            apply_overrides(found, {**settings, **own}),
            callbacks=callbacks,
            description=check_value("description", table.get("description", found.description), str),
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return Arm(name, recipe, _seeds(f"{where}.seeds", table["seeds"]) if "seeds" in table else seeds)


def _settings(where: str, value: object) -> Mapping[str, Any]:
    """Settings of recipes, but for what a study says elsewhere."""
    table = _table(where, value)
    elsewhere = {"seed": "write seeds = [...]", "callbacks": "write [arms.NAME.callbacks.CALLBACK]"}
    for key in table:
        if key in elsewhere:
            raise ValueError(f"{where} must not set {key}; {elsewhere[key]}")
    names = [f.name for f in fields(Recipe) if f.name not in (*elsewhere, "name", "description")]
    _check_keys(where, table, names)
    return table


def _seeds(where: str, value: object) -> tuple[int, ...]:
    seeds: list[int] = check_value(where, value, list[int])
    if any(isinstance(seed, bool) for seed in seeds) or not all(0 <= seed < 2**31 for seed in seeds):
        raise ValueError(f"{where} must be integers in 0..{2**31 - 1}, got {value}")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"{where} must be one or more, all different, got {value}")
    return tuple(seeds)


def _table(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a table, got {value!r}")
    return value


def _check_keys(where: str, table: Mapping[str, Any], known: Sequence[str], required: Sequence[str] = ()) -> None:
    if unknown := [key for key in table if key not in known]:
        raise ValueError(f"{where} has an unknown key {unknown[0]!r}; the keys are {', '.join(known)}")
    if missing := [key for key in required if key not in table]:
        raise ValueError(f"{where} lacks the key {missing[0]!r}")
