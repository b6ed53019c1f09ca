"""Recipe to Learner."""

import inspect
import typing
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import fastai.callback.schedule  # noqa: F401 (gives Learner its fit_one_cycle)
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from fastai.torch_core import set_seed

from freqfast.callbacks import AutoPrecision, FrequencyProportion, SpectrumRecorder
from freqfast.data import ImageData
from freqfast.data.dataloaders import dataloaders
from freqfast.models.resnet import build_model
from freqfast.plugins import find_plugins, load_plugin
from freqfast.records import check_value
from freqfast.runs.recipe import Recipe
from freqfast.spectral.surgery import find_conv
from freqfast.training.loop import ResumableLearner

__all__ = ["build_callbacks", "build_learner", "fit_recipe", "model_spec"]


def build_callbacks(recipe: Recipe) -> list[Callback]:
    """The callbacks that a recipe names, built with its arguments, from the entry points ``freqfast.callbacks``.

    Raises:
        ValueError: If a callback or an argument is unknown, or a value has the wrong type or range.
    """
    points = find_plugins("callbacks")
    callbacks = []
    for name, options in recipe.callbacks.items():
        if name not in points:
            raise ValueError(f"unknown callback {name!r}; the callbacks are {', '.join(sorted(points))}")
        kind = _load_callback(points[name])
        hints = _type_hints(kind)
        parameters = inspect.signature(kind).parameters
        for key in options:
            if key not in parameters:
                raise ValueError(f"{name} has no argument {key!r}; its arguments are {', '.join(parameters)}")
        values = {key: check_value(f"{name}.{key}", value, hints.get(key, Any)) for key, value in options.items()}
        try:
            callbacks.append(kind(**values))
        except Exception as error:
            raise ValueError(f"{name}: {error or type(error).__name__}") from None
    return callbacks


def _type_hints(kind: type[Callback]) -> dict[str, Any]:
    """What a callback's arguments may be; nothing where its annotations are for type checkers alone."""
    try:
        return typing.get_type_hints(kind.__init__)
    except Exception:  # such as of a name that is imported under TYPE_CHECKING
        return {}


def _load_callback(point: EntryPoint) -> type[Callback]:
    kind = load_plugin("callbacks", point)
    if not (isinstance(kind, type) and issubclass(kind, Callback)):
        raise ValueError(f"callback entry point {point.name!r} ({point.value}) is no class of fastai callbacks")
    return kind


def model_spec(recipe: Recipe, data: ImageData) -> dict[str, Any]:
    """Name and options of the recipe's model, for `freqfast.models.resnet.build_model` and for checkpoints."""
    return {
        "name": recipe.model,
        "classes": len(data.classes),
        **recipe.model_options,
    }


def build_learner(
    recipe: Recipe, data: ImageData, device: torch.device | str | None = None, path: str | Path = "."
) -> ResumableLearner:
    """A Learner as the recipe defines it, seeded, with the recipe's callbacks, a precision and a spectrum recorder.

    Args:
        recipe: The recipe.
        data: Its data, see `freqfast.data.load_data`.
        device: Where to train; fastai's default device if None.
        path: The Learner's folder.

    Raises:
        ValueError: If a callback does not fit the model.
    """
    callbacks = build_callbacks(recipe)
    set_seed(recipe.seed)
    model = build_model(**model_spec(recipe, data))
    enforced = next((cb for cb in callbacks if isinstance(cb, FrequencyProportion)), None)
    recorder = next((cb for cb in callbacks if isinstance(cb, SpectrumRecorder)), None)
    if recorder is None:
        callbacks.append(
            SpectrumRecorder() if enforced is None else SpectrumRecorder(enforced.bands, layer=enforced.layer)
        )
    elif enforced is not None and not (
        recorder.bands == enforced.bands and find_conv(model, recorder.layer) == find_conv(model, enforced.layer)
    ):
        raise ValueError(
            "spectrum_recorder and frequency_proportion differ in bands or layer, so a run could not tell what it "
            "enforced; give both the same, or leave spectrum_recorder out"
        )
    return ResumableLearner(
        dataloaders(data, recipe.batch_size, device=device),
        model,
        loss_func=CrossEntropyLossFlat(),
        opt_func=partial(OptimWrapper, opt=torch.optim.SGD, momentum=recipe.momentum, nesterov=recipe.momentum > 0),
        metrics=accuracy,
        cbs=[AutoPrecision(recipe.precision), *callbacks],
        path=path,
    )


def fit_recipe(learn: Learner, recipe: Recipe) -> None:
    """Train a Learner by the recipe's schedule."""
    learn.fit_one_cycle(
        recipe.epochs,
        lr_max=recipe.lr,
        pct_start=recipe.pct_start,
        moms=(recipe.momentum,) * 3,
        wd=recipe.weight_decay,
    )
