"""The Learner that a recipe defines."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import fastai.callback.schedule  # noqa: F401 (gives Learner its fit_one_cycle)
import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from fastai.torch_core import set_seed
from torch import Tensor

from freqfast.callbacks import AutoPrecision, EpochLog, FitProgress, FrequencyProportion, SpectrumRecorder
from freqfast.compute.ranks import ALONE, Ranks
from freqfast.data import ImageData
from freqfast.data.dataloaders import dataloaders
from freqfast.models.classifier import Classifier
from freqfast.models.file import of_run
from freqfast.models.network import Network
from freqfast.models.start import build_start, try_model
from freqfast.plugins import find_plugins, load_plugin
from freqfast.progress import Log, Progress
from freqfast.records import check_value
from freqfast.robustness.evaluation import check_fit
from freqfast.runs.recipe import Recipe
from freqfast.spectral.bands import frequency_proportion
from freqfast.spectral.equalization import remove_equalization
from freqfast.spectral.modulation import effective_weight
from freqfast.spectral.surgery import find_conv
from freqfast.training.loop import DivergenceWatch, ResumableLearner


def build_callbacks(recipe: Recipe) -> list[Callback]:
    """The callbacks that a recipe names, built with its arguments, from the entry points ``freqfast.callbacks``.

    Args:
        recipe: The recipe.

    Raises:
        ValueError: If a callback or an argument is unknown, or a value has the wrong type or range.

    Examples:
        >>> build_callbacks(Recipe("noise", callbacks={"gaussian_noise": {"share": 0.5}}))
        [GaussianNoise]
    """
    points = find_plugins("callbacks")
    callbacks: list[Callback] = []
    for name, options in recipe.callbacks.items():
        if name not in points:
            raise ValueError(f"unknown callback {name!r}; the callbacks are {', '.join(points)}")
        kind = load_plugin("callbacks", points[name])
        if not (isinstance(kind, type) and issubclass(kind, Callback)):
            raise ValueError(f"callback entry point {name!r} ({points[name].value}) is no class of fastai callbacks")
        callbacks.append(_build_callback(name, kind, options))
    return callbacks


def _build_callback(name: str, kind: type[Callback], options: Mapping[str, Any]) -> Callback:
    """Make a callback; a ValueError names an unknown argument or a wrong value, or says what the class raises."""
    parameters = inspect.signature(kind).parameters
    try:
        hints = get_type_hints(kind.__init__)
    except Exception:  # such as of a name that is imported for type checkers alone
        hints = {}
    for key in options:
        if key not in parameters:
            raise ValueError(f"{name} has no argument {key!r}; its arguments are {', '.join(parameters)}")
    values = {key: check_value(f"{name}.{key}", value, hints.get(key, Any)) for key, value in options.items()}
    try:
        return kind(**values)
    except Exception as error:
        raise ValueError(f"{name}: {str(error) or type(error).__name__}") from None


def try_settings(recipe: Recipe) -> None:
    """Build a recipe's model and callbacks without data, so that wrong settings are refused before data is loaded."""
    callbacks = build_callbacks(recipe)
    model = try_model(recipe.model, recipe.model_options)
    Learner(DataLoaders([], []), model, loss_func=CrossEntropyLossFlat(), cbs=callbacks)


def _start(recipe: Recipe, data: ImageData) -> Network:
    """The recipe's network with the weights that training starts from, normalised as these want, else by the data."""
    start = build_start(recipe.model, recipe.model_options, data.classes)
    stated = start.preprocessing
    mean, std = stated.mean or data.mean, stated.std or data.std
    return replace(start, preprocessing=of_run(mean, std, recipe.image_size))


def build_learner(
    recipe: Recipe,
    data: ImageData,
    device: torch.device | str | None = None,
    path: str | Path = ".",
    start: Network | None = None,
) -> ResumableLearner:
    """Build the Learner that a recipe defines: seeded, with its callbacks, a precision and a spectrum recorder.

    With `start`, there is no recorder unless the recipe names one, since the first layer may be of any kind.

    Args:
        recipe: The recipe.
        data: Its data, see `freqfast.data.load_data`.
        device: Where to train; a CUDA GPU if there is one, else the CPU, if None.
        path: The Learner's folder.
        start: A trained network to train further, with its own preprocessing; by default the recipe's model with the
            weights that the recipe starts from.

    Raises:
        ValueError: If the model does not accept the images or give one logit for each class, has further outputs in
            training, or does not fit a callback or the weights that the recipe starts from.
        FileNotFoundError: If the file of these weights is missing.

    Examples:
        >>> from freqfast.data import load_data
        >>> recipe = Recipe("small", data="photos", model_options={"width": 16}, precision="float32")
        >>> learn = build_learner(recipe, load_data("photos"), "cpu")
        >>> [cb for cb in learn.cbs if cb.name in ("auto_precision", "spectrum_recorder")]
        [AutoPrecision, SpectrumRecorder]
    """
    callbacks = build_callbacks(recipe)
    set_seed(recipe.seed)
    is_new = start is None
    start = start or _start(recipe, data)
    _rehearse(start, data)
    model = start.module
    enforced = next((cb for cb in callbacks if isinstance(cb, FrequencyProportion)), None)
    recorder = next((cb for cb in callbacks if isinstance(cb, SpectrumRecorder)), None)
    if recorder is None:
        if is_new:
            callbacks.append(
                SpectrumRecorder() if enforced is None else SpectrumRecorder(enforced.bands, layer=enforced.layer)
            )
    elif enforced is not None and (
        recorder.bands != enforced.bands or find_conv(model, recorder.layer) != find_conv(model, enforced.layer)
    ):
        raise ValueError(
            "spectrum_recorder and frequency_proportion differ in bands or layer, so a run could not tell what it "
            "enforced; give both the same, or leave spectrum_recorder out"
        )
    learn = ResumableLearner(
        dataloaders(data, recipe.batch_size, device, start.preprocessing),
        model,
        loss_func=CrossEntropyLossFlat(),
        opt_func=partial(OptimWrapper, opt=torch.optim.SGD, momentum=recipe.momentum, nesterov=recipe.momentum > 0),
        metrics=accuracy,
        cbs=[AutoPrecision(recipe.precision), *callbacks],
        path=path,
    )
    learn.network = start
    return learn


def _rehearse(network: Network, data: ImageData) -> None:
    """Try a network on two images in use, and in training, in which it may give more; it and random numbers stay."""
    tried = Classifier(network, "cpu", "float32")
    images = np.array(data.train.pixels[:2])
    check_fit(tried, images, data.train.labels, data.name, data.classes)
    with torch.random.fork_rng(devices=()), torch.no_grad():
        # Without equalizers, which take in the batch of every rank: others may not be here, or wait elsewhere.
        given = remove_equalization(tried.model).train()(tried.normalise(torch.from_numpy(images)))
    if not isinstance(given, Tensor):
        raise ValueError(
            f"{network.name} gives {type(given).__name__} in training, not one tensor of logits; build it without "
            "auxiliary outputs (of torchvision's, aux_logits = false, but not with pretrained weights)"
        )


def fit_recipe(learn: Learner, recipe: Recipe) -> None:
    """Train a Learner by the recipe's schedule: fastai's one cycle.

    Args:
        learn: A Learner that `build_learner` made from the recipe.
        recipe: The recipe.

    Examples:
        >>> from freqfast.data import load_data
        >>> photos = load_data("photos")
        >>> data = ImageData("ten photos", photos.classes, photos.train[:10], photos.test[:4])
        >>> recipe = Recipe("ten images", model_options={"width": 8}, epochs=1, batch_size=5)
        >>> learn = build_learner(recipe, data, "cpu")
        >>> with learn.no_bar(), learn.no_logging():
        ...     fit_recipe(learn, recipe)
        >>> len(learn.recorder.losses)
        2
    """
    learn.fit_one_cycle(
        recipe.epochs,
        lr_max=recipe.lr,
        pct_start=recipe.pct_start,
        moms=(recipe.momentum,) * 3,
        wd=recipe.weight_decay,
    )


def fit_watched(
    learn: Learner, recipe: Recipe, progress: Progress | None, log: Log | None, ranks: Ranks = ALONE
) -> None:
    """Train as `fit_recipe` does, report on it, and raise a FloatingPointError if the training diverges."""
    watch = DivergenceWatch(ranks)
    extra: list[Callback] = [watch]
    if progress is not None:
        extra.append(FitProgress(progress))
    if log is not None:
        extra.append(EpochLog(log))
    if ranks.count > 1:
        from freqfast.training.ranks import RankTrainer

        extra.append(RankTrainer(ranks, learn.dls.device))
    with learn.no_bar(), learn.no_logging(), learn.added_cbs(extra):
        fit_recipe(learn, recipe)
    if watch.found is not None:
        raise FloatingPointError(watch.found)


def filter_proportion(learn: Learner) -> list[float]:
    """The current frequency proportion of the recorded layer, by band."""
    recorder = learn.spectrum_recorder
    return frequency_proportion(effective_weight(recorder.conv), recorder.bands).tolist()
