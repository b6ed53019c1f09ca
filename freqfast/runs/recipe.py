"""Recipes: a run's whole definition as one frozen value, found by name and overridden by dotted keys."""

import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import tomli_w
import typeguard

from freqfast.plugins import find_plugins, import_object, load_plugin

__all__ = ["Recipe", "apply_overrides", "check_value", "differing_fields", "find_recipe", "list_recipes", "load_recipe"]

_RANGES = {  # both ends included
    "width": (
        8,
        1024,
    ),  # less corrupts memory, see freqfast.models.resnet; 1024 make a model of 11 GB: a slip of the pen
    "kernel_size": (1, 31),
    "epochs": (1, 2**31 - 1),
    "batch_size": (1, 2**31 - 1),
    "seed": (0, 2**31 - 1),
    "test_images": (0, 2**31 - 1),
    "holdout": (0, 2**31 - 1),
}


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a run; a recipe module fills one in.

    Training is SGD with Nesterov momentum under fastai's one-cycle schedule.

    Args:
        description: What the run is for, one line.
        data: Name of the data: "cifar10" or "photos".
        model: Name of the model, a key of `freqfast.models.resnet.MODELS`.
        width: Filters of the first layer, at least 8.
        kernel_size: Size of the first layer's kernels.
        epochs: Epochs of training.
        batch_size: Samples per step.
        lr: Peak learning rate.
        pct_start: Share of the training in which the learning rate rises.
        momentum: Nesterov momentum.
        weight_decay: L2 penalty of torch's SGD, on every parameter.
        precision: "auto", "bfloat16" or "float32"; see `freqfast.callbacks.AutoPrecision`.
        seed: Seed of initialisation, order, augmentation and perturbation.
        test_images: Test images, or images held out, used for each corruption at the end of the run; 0 for all.
        holdout: Training images to hold out and to evaluate on in place of the test images, under corruptions of
            another seed; for choosing between recipes. 0 for none.
        callbacks: Keyword arguments by callback name, an entry point of the group ``freqfast.callbacks``; kept as TOML
            gives them back, tuples as lists.
        name: The name under which the recipe was found.

    Raises:
        ValueError: If a value has the wrong type or is out of range. Names (data, model, precision, callbacks) are
            looked up when a run starts.
    """

    description: str
    data: str = "cifar10"
    model: str = "resnet18"
    width: int = 64
    kernel_size: int = 3
    epochs: int = 8
    batch_size: int = 256
    lr: float = 0.4
    pct_start: float = 0.25
    momentum: float = 0.9
    weight_decay: float = 5e-4
    precision: str = "auto"
    seed: int = 0
    test_images: int = 1000
    holdout: int = 0
    callbacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        """Check types and ranges, so that a wrong value fails before anything runs."""
        for f in fields(self):
            object.__setattr__(self, f.name, check_value(f.name, getattr(self, f.name), f.type))
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie in {low}..{high}, got {getattr(self, name)}")
        for name in ("lr", "momentum", "weight_decay"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and not negative, got {getattr(self, name)}")
        if not 0 < self.pct_start < 1:
            raise ValueError(f"pct_start must lie between 0 and 1, got {self.pct_start}")
        try:
            text = self.to_toml()
            text.encode()
            callbacks = tomllib.loads(text)["callbacks"]
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"the recipe cannot be written as TOML: {error}; leave such a value out") from None
        object.__setattr__(self, "callbacks", callbacks)

    def to_toml(self) -> str:
        """The recipe as TOML text, which `from_toml` reads back."""
        return tomli_w.dumps(asdict(self))

    @classmethod
    def from_toml(cls, text: str) -> "Recipe":
        """A recipe from TOML text.

        Raises:
            ValueError: If the text is not TOML, a key is unknown, or a value does not fit.
        """
        try:
            table = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # also numbers too long and tables too deep to read
            raise ValueError(f"the recipe is not valid TOML: {error}") from None
        if unknown := sorted(set(table) - {f.name for f in fields(cls)}):
            raise ValueError(f"unknown recipe key {unknown[0]!r}; the keys are {_keys()}")
        if "description" not in table:
            raise ValueError('the recipe has no description; add the line description = "..."')
        return cls(**table)


def _keys() -> str:
    return ", ".join(f.name for f in fields(Recipe))


def check_value(name: str, value: Any, annotation: Any) -> Any:
    """A value that fits a type annotation; an integer passes as a float, nothing else is converted.

    Raises:
        ValueError: If it does not fit.
    """
    kind = getattr(annotation, "__name__", None) if isinstance(annotation, type) else str(annotation)
    if isinstance(value, bool) and annotation in (int, float):
        raise ValueError(f"{name} must be of type {kind}, got {value!r}")
    try:
        typeguard.check_type(value, annotation, collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS)
    except typeguard.TypeCheckError:
        raise ValueError(f"{name} must be of type {kind}, got {value!r}") from None
    try:
        return float(value) if annotation is float else value
    except OverflowError:
        raise ValueError(f"{name} must be of type float, got an integer too large for one") from None


def differing_fields(a: Recipe, b: Recipe) -> list[str]:
    """Names of the fields in which two recipes differ, those aside that only tell what they are for.

    Args:
        a: A recipe.
        b: Another.

    Returns:
        Empty where both define the same run, whatever they are called.
    """
    names = [f.name for f in fields(Recipe) if f.name not in ("name", "description")]
    return [name for name in names if getattr(a, name) != getattr(b, name)]


def apply_overrides(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """A recipe with some values replaced.

    Args:
        recipe: Where to start.
        settings: Values by dotted key: a field (``width``) or a callback's argument (``frequency_proportion.purity``).

    Returns:
        A new recipe; the arguments of callbacks are checked when the run builds them.

    Raises:
        ValueError: If a key names neither a field nor a callback of the recipe, or a value has the wrong type.
    """
    names = {f.name for f in fields(recipe)} - {"callbacks", "name"}
    changes: dict[str, Any] = {}
    callbacks = {name: dict(options) for name, options in recipe.callbacks.items()}
    for key, value in settings.items():
        head, _, rest = key.removeprefix("callbacks.").partition(".")
        if key in names:
            changes[key] = value
        elif rest and head in callbacks:
            table = callbacks[head]
            *path, last = rest.split(".")
            for part in path:
                if not isinstance(inner := table.get(part, {}), Mapping):
                    raise ValueError(f"{key!r} looks inside {part!r}, which is {inner!r} and no table")
                table[part] = table = dict(inner)
            table[last] = value
        else:
            known = [*sorted(names), *(f"{name}.ARGUMENT" for name in callbacks)]
            added = head in find_plugins("callbacks")
            hint = "; a study file, or a recipe of your own, can add callbacks" if added else ""
            raise ValueError(f"unknown key {key!r}; this recipe has {', '.join(known)}{hint}")
    return replace(recipe, **changes, callbacks=callbacks)


def _recipes_of(point: EntryPoint) -> dict[str, Recipe]:
    """Recipes that an entry point offers: itself, or every recipe in its module as ``entry.attribute``."""
    found, name = load_plugin("recipes", point), point.name
    if isinstance(found, Recipe):
        return {name: replace(found, name=name)}
    if isinstance(found, ModuleType):
        public = {f"{name}.{attr}": value for attr, value in vars(found).items() if not attr.startswith("_")}
        return {key: replace(value, name=key) for key, value in public.items() if isinstance(value, Recipe)}
    raise ValueError(
        f"entry point {name!r} of group freqfast.recipes is a {type(found).__name__}, not a Recipe or module"
    )


def _all_recipes() -> tuple[dict[str, Recipe], list[str]]:
    """All recipes by name, and why some entry points offer none."""
    recipes: dict[str, Recipe] = {}
    problems = []
    for point in find_plugins("recipes").values():
        try:
            recipes |= _recipes_of(point)
        except ValueError as error:
            problems.append(str(error))
    return recipes, problems


def list_recipes() -> dict[str, Recipe]:
    """All recipes by name, from the entry points ``freqfast.recipes``.

    Warns of each entry point that cannot be imported or is no recipe.

    Raises:
        ValueError: If the installed packages' metadata cannot be read.
    """
    recipes, problems = _all_recipes()
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    return recipes


def find_recipe(name: str) -> Recipe:
    """The registered recipe of this name. Other entry points than its own are not imported.

    Raises:
        ValueError: If there is none, the message lists those that exist; or if its entry point cannot be imported or is
            no recipe.
    """
    points = find_plugins("recipes")
    for entry in (name, name.rpartition(".")[0]):
        if entry in points and name in (recipes := _recipes_of(points[entry])):
            return recipes[name]
    names = list(_all_recipes()[0])
    close = [other for other in names if other.endswith(f".{name}")] or get_close_matches(name, names)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise ValueError(f"unknown recipe {name!r}; the recipes are {', '.join(names)}{hint}")


def load_recipe(spec: str) -> Recipe:
    """A recipe that a user names: a registered one, or ``package.module:recipe``.

    The latter is imported and so runs code, by design: never for a name that comes from a file.

    Raises:
        ValueError: As `find_recipe`; or if the module cannot be imported or has no such recipe.
    """
    if ":" not in spec:
        return find_recipe(spec)
    found = import_object(spec)
    if not isinstance(found, Recipe):
        raise ValueError(f"{spec} is a {type(found).__name__}, not a Recipe")
    return replace(found, name=spec)
