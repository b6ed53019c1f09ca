"""Recipes: everything that defines a run, as one frozen record, and the overriding of its values by dotted keys."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import Field

from freqfast.files import read_file
from freqfast.plugins import find_plugins
from freqfast.records import MAX_BYTES, Amount, check_fields, plain, record_from, toml_values

Positive = Annotated[int, Field(ge=1, lt=2**31)]
Count = Annotated[int, Field(ge=0, lt=2**31)]

_MOVED = {"width": 64, "kernel_size": 3}
"""Keys of version 0.1 that are options of the model "resnet18" now, with their defaults."""


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a run. A recipe module has one or more.

    Training is SGD with Nesterov momentum under fastai's one-cycle schedule.

    Args:
        description: What the run is for, one line.
        data: Name of the data: "cifar10", "photos", "folder" (images of any size in ``train/<class>`` and
            ``val/<class>``, which stay in their files), or an entry point of the group ``freqfast.data``.
        model: Name of the model: "resnet18", an entry point of the group ``freqfast.models``, ``timm:NAME`` or
            ``torchvision:NAME``.
        model_options: The model's arguments, such as ``{"width": 16, "kernel_size": 5}`` for "resnet18". For timm's and
            torchvision's models also ``pretrained = true``, to start from the library's own weights, or ``weights``,
            the file of a state dict.
        image_size: Height and width in pixels to which images of "folder" are scaled and cropped; 0 for other data.
        epochs: Epochs of training.
        batch_size: Samples per step.
        lr: Peak learning rate.
        pct_start: Share of the training during which the learning rate rises.
        momentum: Nesterov momentum.
        weight_decay: L2 penalty of torch's SGD, on every parameter.
        precision: "auto", "bfloat16" or "float32"; see `freqfast.callbacks.AutoPrecision`.
        seed: Seed of initialisation, order, augmentation and perturbation.
        test_images: Number of test images, or of images held out, used for each corruption at the end of the run; 0 for
            all.
        holdout: Number of training images to hold out and evaluate on instead of the test images, with corruptions of
            another seed, to choose between recipes; 0 for none.
        callbacks: Keyword arguments by callback name, an entry point of the group ``freqfast.callbacks``; kept as TOML
            would give them back, tuples as lists.
        name: The name under which the recipe was found.

    Raises:
        ValueError: If a value has the wrong type or is out of range. Names (data, model, precision, callbacks) are
            looked up when a run starts.

    Examples:
        >>> recipe = Recipe("half low", callbacks={"frequency_proportion": {"proportions": {"low": 0.5, "high": 0.5}}})
        >>> recipe.epochs, recipe.lr
        (8, 0.4)
        >>> Recipe("too short", epochs=0)
        Traceback (most recent call last):
        ValueError: epochs must be greater than or equal to 1, got 0
    """

    description: str
    data: str = "cifar10"
    model: str = "resnet18"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    image_size: Count = 0
    epochs: Positive = 8
    batch_size: Positive = 256
    lr: Amount = 0.4
    pct_start: Annotated[float, Field(gt=0, lt=1)] = 0.25
    momentum: Amount = 0.9
    weight_decay: Amount = 5e-4
    precision: str = "auto"
    seed: Count = 0
    test_images: Count = 1000
    holdout: Count = 0
    callbacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        """Check types and ranges, so that a wrong value fails before anything runs, and keep what TOML gives back."""
        check_fields(self)
        try:
            values = toml_values(self.to_toml().encode(), "the recipe")
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"the recipe cannot be written as TOML: {error}; leave such a value out") from None
        for name in ("model_options", "callbacks"):
            object.__setattr__(self, name, values[name])

    def to_toml(self) -> str:
        """The recipe as TOML text, which `from_toml` reads back."""
        return tomli_w.dumps(plain(self))

    @classmethod
    def from_toml(cls, text: str | bytes, where: str = "the recipe") -> "Recipe":
        """A recipe from TOML text, also from that of version 0.1.

        Args:
            text: The text.
            where: What messages call it, such as the file's name.

        Raises:
            ValueError: If the text is not TOML, a key is missing or unknown, or a value does not fit.
        """
        content = text.encode() if isinstance(text, str) else text
        return cls.from_values(toml_values(content, where), where)

    @classmethod
    def from_values(cls, values: Mapping[str, Any], where: str = "the recipe") -> "Recipe":
        """A recipe from a table of its fields, also of version 0.1.

        Raises:
            ValueError: If a key is missing or unknown, or a value does not fit.
        """
        if isinstance(values, Mapping) and "model_options" not in values:
            moved = {key: values[key] for key in _MOVED if key in values and values[key] != _MOVED[key]}
            values = {key: value for key, value in values.items() if key not in _MOVED} | {"model_options": moved}
        return record_from(values, cls, where)

    @classmethod
    def read(cls, path: str | Path) -> "Recipe":
        """A recipe from a TOML file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: As `from_toml`.
        """
        return cls.from_toml(read_file(path, MAX_BYTES), str(path))


def differing_fields(a: Recipe, b: Recipe) -> list[str]:
    """Names of the fields in which two recipes differ, except name and description: none if both define the same run.

    Examples:
        >>> differing_fields(Recipe("one", name="a"), Recipe("another", epochs=3))
        ['epochs']
    """
    one, other = _settings(a), _settings(b)
    for values in (one, other):
        values["callbacks"] = list(values["callbacks"].items())  # they may change a batch in their order
    return [name for name in one if one[name] != other[name]]


def _settings(recipe: Recipe) -> dict[str, Any]:
    """The values that define a run, by field, with the default options of "resnet18" spelt out."""
    values = {name: value for name, value in plain(recipe).items() if name not in ("name", "description")}
    defaults = _MOVED if recipe.model == "resnet18" else {}
    return values | {"model_options": {**defaults, **values["model_options"]}}


def dotted_settings(recipe: Recipe) -> dict[str, Any]:
    """What a recipe sets, by the dotted keys that `apply_overrides` takes; the name of a callback has the value True.

    Examples:
        >>> recipe = Recipe("half low", callbacks={"frequency_proportion": {"proportions": {"low": 0.5, "high": 0.5}}})
        >>> settings = dotted_settings(recipe)
        >>> settings["model.width"], settings["frequency_proportion"], settings["frequency_proportion.proportions.low"]
        (64, True, 0.5)
    """
    values = _settings(recipe)
    options, callbacks = values.pop("model_options"), values.pop("callbacks")
    nested = [("model", options), *callbacks.items()]
    found = values | dict.fromkeys(callbacks, True)
    while nested:
        place, table = nested.pop(0)
        for key, value in table.items():
            if isinstance(value, dict):
                nested.append((f"{place}.{key}", value))
            else:
                found[f"{place}.{key}"] = value
    return found


def apply_overrides(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """A recipe with some values replaced.

    Args:
        recipe: Where to start.
        settings: Values by dotted key: a field (``epochs``, or ``callbacks`` for all callbacks), an option of the model
            (``model.width``), or an argument of a callback that the recipe has (``frequency_proportion.purity``).

    Returns:
        A new recipe. A new ``model`` starts without the options of the old one. Options of the model and arguments of
        callbacks are checked when a run builds them.

    Raises:
        ValueError: If a key names none of these, or a value has the wrong type.

    Examples:
        >>> small = apply_overrides(Recipe("small"), {"epochs": 1, "model.width": 16})
        >>> small.epochs, small.model_options
        (1, {'width': 16})
    """
    names = [f.name for f in fields(recipe) if f.name != "name"]
    values = deepcopy({name: getattr(recipe, name) for name in names})
    if settings.get("model", recipe.model) != recipe.model:
        values["model_options"] = {}
    for key, value in settings.items():
        head, *inside = key.split(".")
        callback, *arguments = key.removeprefix("callbacks.").split(".")
        if key in names:
            path = [key]
        elif head == "model" and all(inside):
            path = ["model_options", *inside]
        elif callback in recipe.callbacks and arguments and all(arguments):
            path = ["callbacks", callback, *arguments]
        else:
            known = [*sorted(names), "model.OPTION", *(f"{name}.ARGUMENT" for name in recipe.callbacks)]
            added = callback in find_plugins("callbacks")
            hint = "; a study file, or a recipe of your own, can add callbacks" if added else ""
            raise ValueError(f"unknown key {key!r}; this recipe has {', '.join(known)}{hint}")
        _set(values, path, deepcopy(value), key)
    return replace(recipe, **values)


def _set(table: dict[str, Any], path: list[str], value: Any, key: str) -> None:
    """Set a value at a path inside a table."""
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ValueError(f"{key!r} looks inside {part!r}, which is {table!r} and no table")
    table[path[-1]] = value
