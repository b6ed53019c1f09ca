"""The study file: which recipes are compared, under which settings and seeds."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from freqfast.records import read_record
from freqfast.runs.recipe import Recipe, apply_overrides, differing_fields
from freqfast.runs.registry import load_recipe

_SAME_FOR_ALL = ("data", "image_size", "holdout", "test_images")
_ELSEWHERE = {
    "seed": "write seeds = [...]",
    "callbacks": "write [arms.NAME.callbacks.CALLBACK]",
    "description": 'write description = "..." in [arms.NAME]',
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]{0,63}", re.ASCII)  # a folder's name on every system


@dataclass(frozen=True)
class PlannedRun:
    """One arm with one seed, the seed of its recipe."""

    arm: str
    recipe: Recipe

    @property
    def seed(self) -> int:
        """The seed."""
        return self.recipe.seed

    @property
    def name(self) -> str:
        """Its name in messages, such as ``low/seed-0``; also its folder below the study's ``runs``."""
        return f"{self.arm}/seed-{self.seed}"

    def difference(self, recipe: Recipe) -> str | None:
        """How a recipe differs from this run's, except in name and description; None if it does not."""
        changes = [
            f"{name} {getattr(recipe, name)!r}, not {getattr(self.recipe, name)!r}"
            for name in differing_fields(self.recipe, recipe)
        ]
        return f"was made with another recipe ({'; '.join(changes)})" if changes else None


@dataclass(frozen=True)
class Arm:
    """One of the recipes that a study compares.

    Attributes:
        name: Its name in the study, also that of its folder.
        recipe: The recipe with the study's and the arm's settings; its own seed is not used.
        seeds: The seeds to run it with.

    Examples:
        >>> arm = Arm("low", Recipe("low filters"), seeds=(0, 1))
        >>> [run.name for run in arm.runs]
        ['low/seed-0', 'low/seed-1']
    """

    name: str
    recipe: Recipe
    seeds: tuple[int, ...]

    @property
    def runs(self) -> list[PlannedRun]:
        """Its runs, in the order of the seeds."""
        return [PlannedRun(self.name, replace(self.recipe, seed=seed)) for seed in sorted(self.seeds)]


@dataclass(frozen=True)
class Study:
    """A comparison of arms over seeds.

    Attributes:
        title: What the study is called.
        description: The question that it asks.
        baseline: Name of the arm that the others are compared to.
        arms: The arms, in the order of the file.
        target: Differences to the baseline to aim at, fractions by "clean" and "mean15"; may be empty.
        c_bar: Whether runs are also evaluated on CIFAR-10-C-bar, whose corruptions no choice is based on.

    Raises:
        ValueError: If the baseline is no arm, or the arms are not trained and judged on the same images.

    Examples:
        >>> arms = tuple(Arm(name, Recipe(name), (0, 1)) for name in ("baseline", "low"))
        >>> study = Study("Low filters", "Do they help?", "baseline", arms)
        >>> [run.name for run in study.runs(seeds=[1])]
        ['baseline/seed-1', 'low/seed-1']
    """

    title: str
    description: str
    baseline: str
    arms: tuple[Arm, ...]
    target: Mapping[str, float] = field(default_factory=dict)
    c_bar: bool = False

    def __post_init__(self) -> None:
        """Refuse a baseline that is no arm, and arms that are not trained and judged on the same images."""
        if not self.arms:
            return
        reference = next((arm.recipe for arm in self.arms if arm.name == self.baseline), None)
        if reference is None:
            names = ", ".join(arm.name for arm in self.arms)
            raise ValueError(f"baseline {self.baseline!r} is no arm; the arms are {names}")
        for arm in self.arms:
            for name in _SAME_FOR_ALL:
                own, others = getattr(arm.recipe, name), getattr(reference, name)
                if own != others:
                    raise ValueError(
                        f"arms.{arm.name}: {name} is {own!r}, but {others!r} for the baseline {self.baseline!r}, which "
                        "would compare accuracies on other images; set it in [settings], for all arms"
                    )

    def runs(self, arms: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[PlannedRun]:
        """The runs of the study, seed by seed, so that all arms can be compared early.

        Args:
            arms: Names of the only arms wanted; all if empty.
            seeds: The only seeds wanted; all if empty.

        Raises:
            ValueError: If the study has no such arm, or none of the arms has such a seed.
        """
        names = [arm.name for arm in self.arms]
        for name in arms:
            if name not in names:
                raise ValueError(f"the study has no arm {name!r}; its arms are {', '.join(names)}")
        found = [run for arm in self.arms if not arms or arm.name in arms for run in arm.runs]
        known = sorted({run.seed for run in found})
        for seed in seeds:
            if seed not in known:
                raise ValueError(f"no arm of the study has seed {seed}; the seeds are {', '.join(map(str, known))}")
        return sorted((run for run in found if not seeds or run.seed in seeds), key=lambda run: run.seed)


def _all_different(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError(f"must all be different, got {list(values)}")
    return values


def _folder_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a name has up to 64 letters, digits and _.+=-, and begins with a letter or digit")
    return name


Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1), AfterValidator(_all_different)
]
ArmName = Annotated[str, AfterValidator(_folder_name)]
Difference = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class _Target:
    clean: Difference
    mean15: Difference


@dataclass(frozen=True, kw_only=True)
class _ArmTable:
    recipe: str
    description: str | None = None
    seeds: Seeds | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    callbacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _StudyFile:
    title: str
    description: str = ""
    seeds: Seeds
    baseline: str
    bar: bool = False
    target: _Target | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    arms: Annotated[Mapping[ArmName, _ArmTable], Field(min_length=1)]


def load_study(path: str | Path, modules: Collection[str] = ()) -> Study:
    """Read a study file.

    A study file is TOML::

        title = "Low filters"
        description = "Does an all-low first layer help?"
        seeds = [0, 1, 2]
        baseline = "baseline"
        bar = true  # optional: evaluate on CIFAR-10-C-bar too
        target = { clean = -0.005, mean15 = 0.13 }  # optional, drawn in the figure

        [settings]  # values of the recipe for all arms, by the keys of `freqfast.runs.recipe.apply_overrides`
        "model.width" = 16
        holdout = 2000  # choose on training images held out; for a final table leave it out
        test_images = 0  # all of them under each corruption

        [arms.baseline]
        recipe = "resnet18_cifar10.baseline"  # or "module:recipe", if the caller lets `module` be imported

        [arms.low]
        recipe = "resnet18_cifar10.baseline"
        description = "all filters low"
        seeds = [0]  # optional, in place of the study's
        settings = { epochs = 12 }  # optional, over the study's
        [arms.low.callbacks.frequency_proportion]  # joins the recipe's callbacks, or replaces arguments of one
        proportions = { low = 1.0 }

    Options of the model and arguments of callbacks are checked when a run builds them.

    Args:
        path: The file.
        modules: Modules whose recipes the file may name as ``module:recipe``. They are imported, which runs their code;
            no other code is run for a file's sake.

    Returns:
        The study, its arms with all settings.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not TOML, a key or a name is unknown, or a value does not fit; the message names it.

    Examples:
        >>> load_study("absent.toml")
        Traceback (most recent call last):
        FileNotFoundError: absent.toml does not exist; name a study file (.toml)
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} does not exist; name a study file (.toml)")
    if Path(path).suffix != ".toml":
        raise ValueError(f"{path} is no study file; its name must end in .toml")
    file = read_record(path, _StudyFile)
    try:
        arms = tuple(_arm(name, table, file, modules) for name, table in file.arms.items())
        _check_different(arms)
        target = vars(file.target) if file.target else {}
        return Study(file.title, file.description, file.baseline, arms, target, file.bar)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _arm(name: str, table: _ArmTable, file: _StudyFile, modules: Collection[str]) -> Arm:
    settings = {**file.settings, **table.settings}
    try:
        for key, hint in _ELSEWHERE.items():
            if key in settings:
                raise ValueError(f"settings must not set {key}; {hint}")
        found = _find_recipe(table.recipe, modules)
        callbacks = {callback: dict(options) for callback, options in found.callbacks.items()}
        for callback, options in table.callbacks.items():
            callbacks.setdefault(callback, {}).update(options)
        description = found.description if table.description is None else table.description
        recipe = apply_overrides(replace(found, description=description, callbacks=callbacks), settings)
    except ValueError as error:
        raise ValueError(f"arms.{name}: {error}") from None
    return Arm(name, recipe, file.seeds if table.seeds is None else table.seeds)


def _find_recipe(name: str, modules: Collection[str]) -> Recipe:
    module, colon, _ = name.partition(":")
    if colon and module not in modules:
        raise ValueError(
            f"recipe {name!r} is code of the module {module!r}; to let it be imported, name it by --module (modules)"
        )
    return load_recipe(name)


def _check_different(arms: Sequence[Arm]) -> None:
    """Refuse arms that are the same, or have the same folder on some systems."""
    for one, other in combinations(arms, 2):
        if one.name.casefold() == other.name.casefold():
            raise ValueError(f"arms {one.name!r} and {other.name!r} differ in case only, so do their folders")
        if {"seed"}.issuperset(differing_fields(one.recipe, other.recipe)):  # a recipe's own seed is not used
            raise ValueError(f"arms {one.name!r} and {other.name!r} define the same run; leave one out")
