"""Recipe to Learner to run directory."""

import importlib.metadata
import inspect
import json
import os
import platform
import shutil
import tempfile
import time
import typing
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fastai.callback.schedule  # noqa: F401 (gives Learner its fit_one_cycle)
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.progress import CSVLogger
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from fastai.torch_core import set_seed

from freqfast._version import __version__
from freqfast.bands import frequency_proportion
from freqfast.callbacks import AutoPrecision, FitProgress, FrequencyProportion, SpectrumRecorder
from freqfast.corruptions import SEVERITIES, available
from freqfast.data import ImageData, load_data
from freqfast.data.loaders import dataloaders
from freqfast.files import write_text
from freqfast.models import build_model
from freqfast.modulation import effective_weight
from freqfast.precision import resolve_precision
from freqfast.recipe import Recipe, check_value
from freqfast.robustness import Classifier, corrupted_cells, evaluate_cells, evaluate_images
from freqfast.run import SCHEMA, Run, load_run, save_checkpoint
from freqfast.spectra import measure_spectra
from freqfast.spectra_h5 import write_spectra
from freqfast.surgery import find_conv

__all__ = ["build_callbacks", "build_learner", "fit_recipe", "run_recipe"]

Progress = Callable[[int, int, str], None]


def build_callbacks(recipe: Recipe) -> list[Callback]:
    """The callbacks that a recipe names, built with its arguments, from the entry points ``freqfast.callbacks``.

    Raises:
        ValueError: If a callback or an argument is unknown, or a value has the wrong type or range.
    """
    points = {point.name: point for point in importlib.metadata.entry_points(group="freqfast.callbacks")}
    callbacks = []
    for name, options in recipe.callbacks.items():
        if name not in points:
            raise ValueError(f"unknown callback {name!r}; the callbacks are {', '.join(sorted(points))}")
        kind = _load_callback(points[name])
        hints = typing.get_type_hints(kind.__init__)
        parameters = inspect.signature(kind).parameters
        for key, value in options.items():
            if key not in parameters:
                raise ValueError(f"{name} has no argument {key!r}; its arguments are {', '.join(parameters)}")
            check_value(f"{name}.{key}", value, hints.get(key, Any))
        try:
            callbacks.append(kind(**options))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from None
    return callbacks


def _load_callback(point: importlib.metadata.EntryPoint) -> type[Callback]:
    try:
        kind = point.load()
    except Exception as error:
        raise ValueError(f"callback entry point {point.name!r} ({point.value}) cannot be imported: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Callback)):
        raise ValueError(f"callback entry point {point.name!r} ({point.value}) is no class of fastai callbacks")
    return kind


def model_spec(recipe: Recipe, data: ImageData) -> dict[str, Any]:
    """Name and options of the recipe's model, for `freqfast.models.build_model` and for checkpoints."""
    return {
        "name": recipe.model,
        "classes": len(data.classes),
        "width": recipe.width,
        "kernel_size": recipe.kernel_size,
    }


def build_learner(
    recipe: Recipe, data: ImageData, device: torch.device | str | None = None, path: str | Path = "."
) -> Learner:
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
    if not any(isinstance(cb, SpectrumRecorder) for cb in callbacks):
        enforced = next((cb for cb in callbacks if isinstance(cb, FrequencyProportion)), None)
        callbacks.append(
            SpectrumRecorder() if enforced is None else SpectrumRecorder(enforced.bands, layer=enforced.layer)
        )
    return Learner(
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


def run_recipe(
    recipe: Recipe,
    out: str | Path,
    data_path: str | Path | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train, evaluate and export a recipe into a new run directory; see `freqfast.run` for what it holds.

    Everything that the recipe and the data can get wrong is checked before the directory appears.

    Args:
        recipe: What to run.
        out: The run directory, which must not exist.
        data_path: Where the data is; see `freqfast.data.load_data`.
        device: Where to train; fastai's default device if None.
        progress: Called as ``progress(done, total, message)``.

    Raises:
        FileExistsError: If `out` exists.
        ValueError: If the recipe or the data does not fit, or the training diverges.
    """
    out = Path(out)
    if out.exists():
        raise FileExistsError(f"{out} exists already; choose another --out or remove it")
    data = load_data(recipe.data, data_path, progress=progress)
    if recipe.holdout:
        data = data.hold_out(recipe.holdout)
    learn = build_learner(recipe, data, device, path=out)
    recorder = learn.spectrum_recorder
    before = _proportion(learn, recorder)
    _create_run(out, recipe, learn)

    started = time.perf_counter()
    watch = _DivergenceWatch()
    extra = [CSVLogger("metrics.csv"), watch, *_progress_callback(progress)]
    with learn.no_bar(), learn.no_logging(), learn.added_cbs(extra):
        fit_recipe(learn, recipe)
    fitted = time.perf_counter()
    if watch.diverged_in is not None:
        raise ValueError(
            f"the training diverged in epoch {watch.diverged_in}, its loss is not finite; lower lr ({recipe.lr:g}). "
            f"{out} stays unfinished"
        )

    save_checkpoint(out / "model.safetensors", learn.model, model_spec(recipe, data), data.classes, data.mean, data.std)
    enforced = getattr(learn, "frequency_proportion", None)
    target = None if enforced is None else dict(enforced.proportions)
    spectra = measure_spectra(
        learn.model,
        layer=recorder.layer,
        bands=recorder.bands,
        target=target,
        history=recorder.history(),
        provenance={"recipe": recipe.name, "seed": recipe.seed, "epochs": recipe.epochs, "freqfast": __version__},
    )
    write_spectra(out / "spectra.h5", spectra)

    report = _evaluate(recipe, learn, data, progress)
    report |= {
        "bands": list(recorder.bands.names),
        "proportion": {
            "before": before,
            "after": _proportion(learn, recorder),
            "target": target and [target.get(name, 0.0) for name in recorder.bands.names],
        },
        "seconds": {"fit": fitted - started, "evaluate": time.perf_counter() - fitted},
    }
    write_text(out / "report.json", json.dumps(report, indent=2) + "\n")
    return load_run(out)


class _DivergenceWatch(Callback):
    """Ends a fit at the first loss that is not finite, before it can reach the weights."""

    order = -10  # before whatever acts on the loss
    diverged_in: int | None = None

    def after_loss(self) -> None:
        if not self.learn.loss.isfinite().all():
            self.diverged_in = self.learn.epoch + 1
            raise CancelFitException


def _progress_callback(progress: Progress | None) -> list[Callback]:
    return [] if progress is None else [FitProgress(progress)]


def _proportion(learn: Learner, recorder: SpectrumRecorder) -> list[float]:
    """The frequency proportion of the recorded layer as it stands."""
    _, conv = find_conv(learn.model, recorder.layer)
    return frequency_proportion(effective_weight(conv), recorder.bands).tolist()


def _create_run(out: Path, recipe: Recipe, learn: Learner) -> None:
    """Make the run directory appear with the recipe and the environment already inside."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        write_text(temporary / "recipe.toml", recipe.to_toml())
        device = torch.device(learn.dls.device or "cpu")
        write_text(temporary / "environment.json", json.dumps(_environment(recipe, device), indent=2) + "\n")
        temporary.chmod(0o755)
        os.rename(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _environment(recipe: Recipe, device: torch.device) -> dict[str, Any]:
    """What a rerun needs to know of the machine."""
    packages = ("fastai", "h5py", "numpy", "scipy", "torch", "torchvision")
    return {
        "freqfast": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "precision": resolve_precision(recipe.precision, device),
        "packages": {name: importlib.metadata.version(name) for name in packages},
    }


def _evaluate(recipe: Recipe, learn: Learner, data: ImageData, progress: Progress | None) -> dict[str, Any]:
    """Clean accuracy on all test images (or those held out) and accuracy under every corruption available here.

    The corruptions' seed is the same for every run, so that runs are compared on the same images.
    """
    classifier = Classifier(learn.model, data.mean, data.std, precision=recipe.precision)
    clean = float(evaluate_images(classifier, data.test.images, data.test.labels).mean())
    sample = data.test.head(recipe.test_images or len(data.test))
    names = available()
    cells = corrupted_cells(sample.images, sample.labels, names, seed=1 if recipe.holdout else 0)
    result = evaluate_cells(classifier, cells, len(names) * len(SEVERITIES), clean, progress)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "recipe": recipe.name,
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "precision": resolve_precision(recipe.precision, classifier.device),
        **result.to_dict(),
    }
