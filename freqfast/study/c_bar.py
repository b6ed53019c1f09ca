"""Accuracy of a study's runs on CIFAR-10-C-bar, whose corruptions no choice was based on."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from freqfast import __version__
from freqfast.progress import Progress
from freqfast.records import Fraction, read_record, write_record
from freqfast.runs.directory import RunDirectory
from freqfast.study.statistics import image_groups

if TYPE_CHECKING:
    from freqfast.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class CBarAccuracy:
    """What ``bar.json`` in a run directory holds. Accuracies are fractions.

    Attributes:
        mean_bar: Mean over the corruptions.
        accuracy: By corruption and severity.
        images: Number of images in each of these cells.
        seconds: Seconds that the evaluation took.
        version: Version of freqfast.
        groups: The mean by groups of images, see `freqfast.study.statistics.image_groups`; () in files of version 0.1.
        weights_sha256: Hash of the model's weights, see `freqfast.models.classifier.hash_weights`; None in files of
            version 0.1.
    """

    mean_bar: Fraction
    accuracy: Mapping[str, Mapping[int, Fraction]]
    images: int
    seconds: float
    version: str
    groups: tuple[Fraction, ...] = ()
    weights_sha256: str | None = None


def evaluate_c_bar(
    run: "Run",
    data_path: str | Path | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Evaluate a finished run on CIFAR-10-C-bar, on the images of its report, and write the result to its directory.

    Data and device are by default those of the run.
    """
    from freqfast.corruptions import C_BAR
    from freqfast.models.classifier import Classifier
    from freqfast.robustness import evaluate_source
    from freqfast.runs.run import load_run_data
    from freqfast.training.outcome import source_of_run

    started = time.monotonic()
    data = load_run_data(run.directory, data_path, progress, own=True)
    classifier = Classifier(run.network, device or run.environment.device, run.report.precision)
    source = replace(source_of_run(run.recipe, data.hold_out(run.recipe.holdout), C_BAR), clean=None)
    [result] = evaluate_source([classifier], source, progress=progress)
    mean_bar, scores = result.mean_bar, result.image_scores(C_BAR)
    if mean_bar is None or scores is None:
        raise ValueError(f"not every corruption of CIFAR-10-C-bar could be measured for {run.path}")
    found = CBarAccuracy(
        mean_bar=mean_bar,
        accuracy=result.accuracy,
        images=result.images,
        seconds=time.monotonic() - started,
        version=__version__,
        groups=image_groups(scores),
        weights_sha256=classifier.weights_sha256,
    )
    write_record(run.directory.c_bar, found)


def read_c_bar(directory: RunDirectory) -> CBarAccuracy | None:
    """The result of `evaluate_c_bar` for a run; None if it was not evaluated."""
    try:
        return read_record(directory.c_bar, CBarAccuracy, ignore_unknown=True)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{error}; remove the file and run the study again") from None
