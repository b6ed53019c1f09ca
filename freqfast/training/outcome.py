"""Write the results of a trained run: model, spectra, evaluation and, last, the report."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace

from freqfast import __version__
from freqfast.corruptions import available
from freqfast.data import ImageData
from freqfast.models.classifier import Classifier, hash_weights
from freqfast.models.file import write_model
from freqfast.progress import Progress
from freqfast.records import record_from, write_record
from freqfast.robustness import CellSource, CorruptionResult, corrupted_source, evaluate_source
from freqfast.runs.environment import Environment
from freqfast.runs.recipe import Recipe
from freqfast.runs.report import RunReport
from freqfast.spectra import measure_spectra
from freqfast.spectra.h5 import write_spectra
from freqfast.training.learner import filter_proportion
from freqfast.training.preparation import PreparedRun


def write_outcome(prepared: PreparedRun, seconds: float, progress: Progress) -> None:
    """Write a trained run's model and spectra, evaluate it, and write the evaluation and the report.

    All ranks take part in the evaluation, each with some of the cells; the first one writes. `seconds` is how long the
    training took.
    """
    ranks = prepared.ranks
    if not ranks.is_first:
        _evaluate(prepared, None)
        ranks.wait()
        return
    started = time.monotonic()
    recipe, directory, learn = prepared.recipe, prepared.directory, prepared.learn
    recorder, enforced = learn.spectrum_recorder, getattr(learn, "frequency_proportion", None)
    target = None if enforced is None else dict(enforced.proportions)
    write_model(directory.model, prepared.network)
    spectra = measure_spectra(
        learn.model,
        layer=recorder.layer,
        bands=recorder.bands,
        n=recorder.n,
        target=target,
        history=recorder.history(),
        provenance=_provenance(recipe, prepared.environment),
    )
    write_spectra(directory.spectra, spectra)
    result = _evaluate(prepared, progress)
    result.save(directory.evaluation)
    values = {
        "schema": 1,
        "version": __version__,
        "recipe": recipe.name,
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "precision": prepared.environment.precision,
        **result.to_dict(),
        "bands": list(recorder.bands.names),
        "proportion": {
            "before": prepared.before,
            "after": filter_proportion(learn),
            "target": None if target is None else [target.get(name, 0.0) for name in recorder.bands.names],
        },
        "weights_sha256": hash_weights(learn.model),
        "seconds": {"fit": seconds, "evaluate": time.monotonic() - started},
    }
    write_record(directory.report, record_from(values, RunReport, ignore_unknown=True))
    ranks.wait()


def _provenance(recipe: Recipe, environment: Environment) -> dict[str, str | int]:
    """Where a run's spectra come from, as attributes of their file: tables as JSON."""
    values: dict[str, str | int] = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "model": recipe.model,
        "model_options": json.dumps(recipe.model_options),
        "callbacks": json.dumps(recipe.callbacks),
        "data": environment.data.name,
        "data_sha256": environment.data.sha256,
        "freqfast": __version__,
    }
    if not recipe.name:
        del values["recipe"]
    return values if environment.command is None else values | {"command": environment.command}


def source_of_run(recipe: Recipe, data: ImageData, corruptions: Sequence[str]) -> CellSource:
    """The images that runs of a recipe are evaluated on: all test images clean, the recipe's ``test_images`` corrupted.

    The corruptions' seed is the same for every run, so that runs are compared on the same images; held-out images have
    a seed of their own.
    """
    sample = data.test[: recipe.test_images or None]
    source = corrupted_source(sample, corruptions, seed=1 if recipe.holdout else 0)
    return replace(source, clean=data.test)


def _evaluate(prepared: PreparedRun, progress: Progress | None) -> CorruptionResult:
    """Clean accuracy on all test images (or those held out) and accuracy under every corruption available here."""
    classifier = Classifier(prepared.network, precision=prepared.environment.precision)
    source = source_of_run(prepared.recipe, prepared.data, available())
    [result] = evaluate_source([classifier], source, progress=progress)
    return replace(result, provenance=None)  # what has one is a later evaluation
