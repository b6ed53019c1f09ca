"""Evaluate networks on cells of images."""

import hashlib
from collections.abc import Sequence
from functools import partial

import numpy as np

from freqfast.data.images import list_classes
from freqfast.models.classifier import Classifier
from freqfast.progress import Progress, notebook_progress
from freqfast.robustness.alexnet import is_imagenet
from freqfast.robustness.cells import CLEAN, CellSource, key_text
from freqfast.robustness.judge import judge_all
from freqfast.robustness.provenance import Provenance
from freqfast.robustness.result import CorruptionResult


def evaluate_source(
    classifiers: Sequence[Classifier],
    source: CellSource,
    shard: tuple[int, int] = (1, 1),
    progress: Progress | None = None,
    *,
    command: str | None = None,
) -> list[CorruptionResult]:
    """Evaluate models on a source of images; each image is read once for all models.

    Shard ``i`` of ``n`` has every n-th cell, from the i-th on. Cells stay whole, so batches and results are the same as
    in a whole evaluation, bit for bit.

    Args:
        classifiers: The models; all of them use the first one's batch size.
        source: The images.
        shard: Which part of the cells to evaluate.
        progress: Called after each batch, with numbers of images.
        command: The shell command of the evaluation, for the provenance.

    Returns:
        A result for each model, with its provenance.

    Raises:
        ValueError: If a model does not fit the images or their classes, or there is no such shard.

    Examples:
        >>> from freqfast.models import Network, Preprocessing
        >>> from torch import nn
        >>> model = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())  # finds the brightest colour
        >>> network = Network("brightest", model, Preprocessing((0.5,) * 3, (0.25,) * 3))
        >>> classifier = Classifier(network, precision="float32")
        >>> images = np.full((2, 8, 8, 3), (10, 30, 20), np.uint8)
        >>> source = CellSource("green", ("fog",), (1,), np.array([1, 2]), read=lambda *key: (images, None))
        >>> evaluate_source([classifier], source)[0].accuracy
        {'fog': {1: 0.5}}
    """
    number, shards = shard
    if not 1 <= number <= shards <= len(source.keys):
        raise ValueError(
            f"there is no shard {number}/{shards}: i/n must have 1 <= i <= n, and n at most the number of cells, "
            f"{len(source.keys)}"
        )
    images, _ = source.cell(source.keys[0])
    probe = np.asarray(images.pixels[:2])
    labels = np.concatenate([source.labels, source.clean.labels]) if source.clean else source.labels
    for classifier in classifiers:
        check_fit(classifier, probe, labels, source.name, source.classes)
    imagenet = is_imagenet(source.classes, *probe.shape[1:3]) and source.table in (None, "imagenet")
    keys = source.keys[number - 1 :: shards]
    progress = progress or notebook_progress() or (lambda done, total, message: None)
    sizes = [len(source.clean) if key == CLEAN and source.clean else len(source.labels) for key in keys]
    cells = []
    for i, key in enumerate(keys):
        step = partial(_step, progress, sum(sizes[:i]), sum(sizes), key_text(key))
        step(0)
        try:
            cells.append(judge_all(classifiers, *source.cell(key), step))
        except ValueError as error:
            raise ValueError(f"{error} (on {key_text(key)})") from error
    return [
        CorruptionResult(
            dict(zip(keys, outcomes, strict=True)), provenance=_provenance(classifier, source, command, imagenet)
        )
        for classifier, outcomes in zip(classifiers, zip(*cells, strict=True), strict=True)
    ]


def _step(progress: Progress, before: int, total: int, message: str, done: int) -> None:
    progress(before + done, total, message)


def check_fit(
    classifier: Classifier, images: np.ndarray, labels: np.ndarray, name: str, classes: Sequence[str] | None
) -> None:
    """Try a model on a few images, uint8 ``(n, H, W, 3)``, before hours are spent; a ValueError says what does not fit.

    The labels are those of all images that it is to be evaluated on, the classes their names, where known.
    """
    trained = classifier.classes
    if trained is not None and classes is not None and trained != tuple(classes):
        raise ValueError(
            f"{classifier.name} was trained on the classes {list_classes(trained, classes)}, but those of {name} are "
            f"{list_classes(classes, trained)}; name data of its own classes"
        )
    found = classifier.logits(np.array(images)).shape[1]
    if classes is not None and len(classes) != found:
        mend = "; name all classes of the network, in the order of its logits" if found > len(classes) else ""
        raise ValueError(f"{classifier.name} gives {found} logits, but {name} has {len(classes)} classes{mend}")
    if labels.min() < 0 or labels.max() >= found:
        raise ValueError(
            f"{classifier.name} gives {found} logits, but the labels run from {labels.min()} to {labels.max()}"
        )


def labels_hash(labels: np.ndarray) -> str:
    """SHA-256 of labels, see `Provenance`."""
    return hashlib.sha256(labels.astype("<i8").data).hexdigest()


def _provenance(classifier: Classifier, source: CellSource, command: str | None, imagenet: bool) -> Provenance:
    return Provenance(
        model=classifier.name,
        weights_sha256=classifier.weights_sha256,
        mean=classifier.mean,
        std=classifier.std,
        precision=classifier.precision,
        source=source.name,
        source_sha256=source.sha256,
        seed=source.seed,
        image_range=(0, len(source.labels)),
        labels_sha256=labels_hash(source.labels),
        cells=tuple(source.keys),
        command=command,
        imagenet=imagenet,
        outputs=classifier.outputs,
    )
