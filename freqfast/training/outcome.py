"""What a trained Learner leaves in its run directory: model, spectra, and last the report."""

import time
from collections.abc import Sequence
from dataclasses import replace

from fastai.learner import Learner

from freqfast._version import __version__
from freqfast.corruptions import available
from freqfast.data import ImageData
from freqfast.models.classifier import Classifier
from freqfast.models.file import write_model
from freqfast.progress import Progress
from freqfast.records import record_from, write_record
from freqfast.robustness import CellSource, CorruptionResult, corrupted_source, evaluate_cells
from freqfast.runs.directory import RunDirectory
from freqfast.runs.recipe import Recipe
from freqfast.runs.report import RunReport
from freqfast.spectra import measure_spectra
from freqfast.spectra.h5 import write_spectra
from freqfast.spectral.bands import frequency_proportion
from freqfast.spectral.modulation import effective_weight
from freqfast.spectral.surgery import find_conv
from freqfast.training.learner import model_spec

__all__ = ["filter_proportion", "source_of_run", "write_outcome"]


def filter_proportion(learn: Learner) -> list[float]:
    """The frequency proportion of the recorded layer as it stands, by band."""
    recorder = learn.spectrum_recorder
    _, conv = find_conv(learn.model, recorder.layer)
    return frequency_proportion(effective_weight(conv), recorder.bands).tolist()


def write_outcome(
    learn: Learner,
    recipe: Recipe,
    data: ImageData,
    directory: RunDirectory,
    before: list[float],
    seconds: float,
    progress: Progress | None = None,
) -> None:
    """Write ``model.safetensors``, ``spectra.h5`` and, after the evaluation, ``evaluation.json`` and ``report.json``.

    Args:
        learn: The trained Learner.
        recipe: Its recipe.
        data: Its data; the test images are evaluated on.
        directory: The run directory.
        before: The frequency proportion before training.
        seconds: What the training took.
        progress: Called as ``progress(done, total, message)``.
    """
    started = time.monotonic()
    recorder, enforced = learn.spectrum_recorder, getattr(learn, "frequency_proportion", None)
    target = None if enforced is None else dict(enforced.proportions)
    write_model(directory.model, learn.model, model_spec(recipe, data), data.classes, data.mean, data.std)
    spectra = measure_spectra(
        learn.model,
        layer=recorder.layer,
        bands=recorder.bands,
        n=recorder.points,
        target=target,
        history=recorder.history(),
        provenance={"recipe": recipe.name, "seed": recipe.seed, "epochs": recipe.epochs, "freqfast": __version__},
    )
    write_spectra(directory.spectra, spectra)
    result = _evaluate(recipe, learn, data, progress)
    result.save(directory.evaluation)
    proportion = {
        "before": before,
        "after": filter_proportion(learn),
        "target": None if target is None else [target.get(name, 0.0) for name in recorder.bands.names],
    }
    values = {
        "schema": 1,
        "version": __version__,
        "recipe": recipe.name,
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "precision": learn.auto_precision.precision,  # as chosen for the training
        **result.to_dict(),
        "bands": list(recorder.bands.names),
        "proportion": proportion,
        "seconds": {"fit": seconds, "evaluate": time.monotonic() - started},
    }
    report = record_from(values, RunReport)
    write_record(directory.report, report)


def source_of_run(recipe: Recipe, data: ImageData, corruptions: Sequence[str]) -> CellSource:
    """What runs of a recipe are evaluated on: all test images clean, and the sample that the recipe says corrupted.

    Args:
        recipe: The recipe.
        data: Its data; the test images are evaluated on, those held out under a seed of their own.
        corruptions: Names, see `freqfast.corruptions`.
    """
    sample = data.test.head(recipe.test_images or None)
    source = corrupted_source(sample, corruptions, seed=1 if recipe.holdout else 0)
    return replace(source, clean=data.test)


def _evaluate(recipe: Recipe, learn: Learner, data: ImageData, progress: Progress | None) -> CorruptionResult:
    """Clean accuracy on all test images (or those held out) and accuracy under every corruption available here.

    The corruptions' seed is the same for every run, so that runs are compared on the same images.
    """
    classifier = Classifier(learn.model, data.mean, data.std, precision=learn.auto_precision.precision)
    source = source_of_run(recipe, data, available())
    return evaluate_cells(classifier, source.cells(), len(source.keys), progress)
