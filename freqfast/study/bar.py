"""A study's guard: its runs on corruptions that no choice was made by, those of CIFAR-10-C-bar."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqfast._version import __version__
from freqfast.files import write_text
from freqfast.progress import Progress

if TYPE_CHECKING:
    from freqfast.runs.run import Run

__all__ = ["evaluate_bar", "lacks_bar", "read_bar"]

_NAME = "bar.json"


def lacks_bar(folder: Path) -> bool:
    """Whether a run directory lacks the evaluation on CIFAR-10-C-bar."""
    return not (folder / _NAME).exists()


def evaluate_bar(
    run: "Run",
    data_path: str | Path | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Evaluate a finished run on CIFAR-10-C-bar, on the images of its report, and leave ``bar.json`` in its directory.

    The file holds ``mean_bar``, ``accuracy`` by corruption and severity (fractions), ``images``, ``seconds`` and
    ``version``.

    Args:
        run: The run.
        data_path: Where its data is; by default where it was.
        device: Where to evaluate; by default where it was trained.
        progress: Called as ``progress(done, total, message)``.

    Raises:
        ValueError: If the data is not the run's.
    """
    from freqfast.corruptions import BAR
    from freqfast.data import load_data
    from freqfast.data.images import data_hash
    from freqfast.models.classifier import Classifier
    from freqfast.robustness import evaluate_cells
    from freqfast.training.outcome import source_of_run

    started = time.monotonic()
    data = load_data(run.recipe.data, data_path or run.environment.data.path, progress)
    if data_hash(data) != run.environment.data.sha256:
        raise ValueError(f"{run.path} was trained on other data than this; name its own")
    classifier = Classifier(
        run.model,
        run.stored.mean,
        run.stored.std,
        device or run.environment.device,
        run.report.precision,
        name=str(run.path),
    )
    source = replace(source_of_run(run.recipe, data.hold_out(run.recipe.holdout), BAR), clean=None)
    found = evaluate_cells(classifier, source.cells(), len(source.keys), progress)
    content = {key: value for key, value in found.to_dict().items() if key in ("mean_bar", "accuracy", "images")}
    content |= {"seconds": time.monotonic() - started, "version": __version__}
    write_text(run.path / _NAME, json.dumps(content, indent=2) + "\n")


def read_bar(folder: Path) -> dict[str, Any]:
    """What a report says more for the evaluation that `evaluate_bar` left; nothing if it did not.

    Raises:
        ValueError: If the file is damaged.
    """
    path = folder / _NAME
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        mean, accuracy = float(content["mean_bar"]), dict(content["accuracy"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); remove it and call again") from None
    if not math.isfinite(mean):
        raise ValueError(f"{path} is damaged (mean_bar {mean}); remove it and call again")
    return {"mean_bar": mean, "bar": accuracy}
