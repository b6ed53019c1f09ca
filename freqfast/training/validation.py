"""Measure a Learner on its own validation set: under corruption, and by the analyses of trained models."""

import zlib
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.data.core import TfmdDL
from fastai.data.transforms import IntToFloatTensor, Normalize
from fastai.learner import Learner
from fastai.torch_basics import ItemTransform
from fastai.torch_core import TensorImage
from fastprogress.fastprogress import progress_bar
from torch import Tensor, nn

from freqfast.analysis import AnalysisResult, find_analysis
from freqfast.corruptions import SEVERITIES, available, corrupt
from freqfast.models.classifier import Classifier
from freqfast.models.network import Network, Preprocessing
from freqfast.robustness import CLEAN, CorruptionResult, Outcomes
from freqfast.robustness.archive.writing import check_request
from freqfast.robustness.cells import Key, key_text
from freqfast.robustness.evaluation import check_fit
from freqfast.robustness.in_memory import evaluate_images
from freqfast.training.learner_result import LearnerResult
from freqfast.training.state import generators_kept


@overload
def evaluate(model: nn.Module, *arguments: Any, **options: Any) -> CorruptionResult: ...
@overload
def evaluate(model: Learner, *arguments: Any, **options: Any) -> LearnerResult: ...
def evaluate(model: nn.Module | Learner, *arguments: Any, **options: Any) -> LearnerResult | CorruptionResult:
    """Accuracy under corruption of a Learner on its own validation set, or of a model on images.

    Args:
        model: A Learner, for `freqfast.training.evaluate_learner`; or a model, for
            `freqfast.robustness.evaluate_images`.
        *arguments: Further arguments of that function: corruptions for a Learner; images and labels for a model.
        **options: Further keyword arguments of that function.

    Returns:
        The result of that function.

    Raises:
        TypeError: If `model` is neither a Learner nor a module.
        ValueError: As that function.

    Examples:
        >>> model, images = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), np.zeros((2, 16, 16, 3), np.uint8)
        >>> evaluate(model, images, [0, 0], mean=(0, 0, 0), std=(1, 1, 1), corruptions=["brightness"]).clean
        1.0
    """
    if isinstance(model, Learner):
        return evaluate_learner(model, *arguments, **options)
    return evaluate_images(model, *arguments, **options)


@generators_kept()
def evaluate_learner(
    learn: Learner,
    corruptions: Sequence[str] | None = None,
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    *,
    limit: int | None = None,
    frost_dir: str | Path | None = None,
) -> LearnerResult:
    """Measure a Learner's loss and metrics on its validation set, uncorrupted and under each corruption.

    The images that are corrupted are the output of the item transforms: pixels from 0 to 255, resized and cropped, but
    not normalised, before the batch transforms. The set is read once for each corruption and severity, with one batch
    in memory at a time. Fastai's bar shows the progress unless the Learner is in `no_bar`.

    Args:
        learn: The Learner. Its model, callbacks and recorded losses stay as they are, and so do random number
            generators.
        corruptions: Names, see `freqfast.corruptions.corrupt`; by default the 19 of CIFAR-10-C and ImageNet-C and those
            of other packages, as far as they can run here.
        severities: From 1 to 5.
        seed: Seed of the corruptions, and of the choice of images.
        limit: Largest number of images, chosen at random; all by default.
        frost_dir: Folder of the frost photographs, see `freqfast.corruptions.corrupt`.

    Returns:
        The loss and the metrics; for images with one label also which images were classified correctly.

    Raises:
        ValueError: If a corruption or severity is unknown, the limit is below 1, the loader does not give pixels from
            0 to 255 before its batch transforms, or the model takes several images per sample.
        FileNotFoundError: If ``frost`` is asked for and its photographs are missing.

    Examples:
        >>> from freqfast.data import load_data
        >>> from freqfast.runs import recipe
        >>> from freqfast.training import build_learner
        >>> small = recipe.Recipe("small", data="photos", model_options={"width": 16}, precision="float32")
        >>> learn = build_learner(small, load_data("photos"), "cpu")
        >>> with learn.no_bar():
        ...     found = evaluate_learner(learn, ["fog"], severities=[1], limit=20)
        >>> found.names, list(found.metrics)
        (('loss', 'accuracy'), [('clean', 0), ('fog', 1)])
    """
    rows = _rows(learn, limit, seed)
    names = _metric_names(learn)
    chosen = available() if corruptions is None else corruptions
    if chosen:
        check_request(chosen, severities, frost_dir)
    keys = [CLEAN, *product(chosen, severities)]
    bars = [learn.progress] if hasattr(learn, "progress") else []
    steps = progress_bar(keys, leave=False) if bars else keys
    recorded, modes = dict(vars(learn.recorder)), [(module, module.training) for module in learn.model.modules()]
    metrics: dict[Key, dict[str, Any]] = {}
    outcomes: dict[Key, Outcomes] = {}
    try:
        for key in steps:
            if hasattr(steps, "comment"):
                steps.comment = key_text(key)
            images, judged = _CorruptedImages(key, rows, seed, frost_dir), _Judgement()
            with learn.removed_cbs(bars):
                values = learn.validate(dl=_valid_loader(learn, rows, [images, *_batch_transforms(learn)]), cbs=judged)
            metrics[key] = dict(zip(names, values, strict=True))
            if judged.found:
                outcomes[key] = judged.outcomes(images.crc32)
    finally:
        vars(learn.recorder).update(recorded)
        for module, training in modes:
            module.training = training
    return LearnerResult(metrics, by_image=CorruptionResult(outcomes) if outcomes else None)


@generators_kept()
def analyse(learn: Learner, name: str, limit: int | None = 200, seed: int = 0, **options: Any) -> AnalysisResult:
    """Run an analysis of trained models on a Learner's model and validation images.

    The images are the output of the batch transforms without their `Normalize`.

    Args:
        learn: The Learner; it stays as it is.
        name: Name of the analysis, such as "heatmap", "reliance", "features" or "quality".
        limit: Largest number of images, chosen at random; None for all. They are held in memory.
        seed: Seed of the choice of images, and of the analysis if it has one.
        **options: Arguments of the analysis' function, such as ``grid`` and ``norm`` of "heatmap".

    Returns:
        The result; ``find_analysis(name).figure({"label": result}, None)`` draws it.

    Raises:
        ValueError: If the analysis is unknown, the images do not have one label each, or the model a logit for each
            class, or pixels are not in [0, 1] without `Normalize`.
        TypeError: If `learn` is not a Learner, or the analysis has no such option.

    Examples:
        >>> from freqfast.data import load_data
        >>> from freqfast.data.dataloaders import dataloaders
        >>> model = nn.Sequential(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> learn = Learner(dataloaders(load_data("photos"), device="cpu"), model)
        >>> analyse(learn, "reliance", limit=20).images
        20
    """
    if not isinstance(learn, Learner):
        raise TypeError(f"learn must be a fastai Learner, whose images are taken, got {type(learn).__name__}")
    analysis = find_analysis(name)
    if not analysis.needs_images:
        return analysis.run(model=learn.model, **options)
    if "seed" in analysis.options:
        options["seed"] = seed
    normalize = next((f for f in _batch_transforms(learn) if isinstance(f, Normalize)), None)
    others = [f for f in _batch_transforms(learn) if f is not normalize]
    images, labels = [], []
    for batch in _valid_loader(learn, _rows(learn, limit, seed), others):
        if len(batch) != 2:
            raise ValueError(f"an image must be one input with one label, got {len(batch)} parts")
        levels = batch[0].as_subclass(Tensor).float()
        if batch[0].dtype != torch.uint8:
            low, high = float(levels.min()), float(levels.max())
            if low < -0.1 or high > 1.1:
                raise ValueError(
                    f"pixels run from {low:.3g} to {high:.3g} instead of 0 to 1 without fastai's Normalize; normalise "
                    "by Normalize.from_stats, which an analysis can undo"
                )
            levels = (255 * levels).round().clamp(0, 255)
        images.append(levels.byte().permute(0, 2, 3, 1).cpu().numpy())
        labels.append(batch[1].cpu().numpy())
    targets = np.concatenate(labels)
    if targets.ndim != 1 or targets.dtype.kind not in "iu":
        raise ValueError(f"images must have one label each, got targets {targets.dtype} of shape {targets.shape}")
    parts = (np.zeros(3), np.ones(3)) if normalize is None else (normalize.mean.cpu(), normalize.std.cpu())
    mean, std = (np.broadcast_to(np.ravel(part), 3) for part in parts)  # one value may stand for all
    network = Network("the model", learn.model, Preprocessing(mean, std))  # type: ignore[arg-type]
    classifier = Classifier(network, learn.dls.device, analysis.precision)
    pixels = np.ascontiguousarray(np.concatenate(images))
    check_fit(classifier, pixels[:2], targets, "the validation set", None)
    options = {"progress": None} | options
    return analysis.run(classifier=classifier, images=pixels, labels=targets, **options)


def _metric_names(learn: Learner) -> list[str]:
    """The loss and the metrics; the second of one name, such as an F1 score of another average, has a 2 after it."""
    names = ["loss", *(metric.name for metric in learn.metrics)]
    earlier = [names[:i].count(name) for i, name in enumerate(names)]
    return [f"{name} ({count + 1})" if count else name for name, count in zip(names, earlier, strict=True)]


def _rows(learn: Learner, limit: int | None, seed: int) -> np.ndarray:
    """Rows of the validation set, in order: all, or so many chosen at random."""
    total = len(learn.dls.valid.dataset)
    if not total:
        raise ValueError("the Learner has no validation images, as one of load_learner; give it DataLoaders as its dls")
    if limit is None or limit >= total:
        return np.arange(total)
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    return np.sort(np.random.default_rng(seed).choice(total, limit, replace=False))


def _batch_transforms(learn: Learner) -> list[Any]:
    loader = learn.dls.valid
    if not isinstance(loader, TfmdDL):
        raise ValueError(
            f"the validation set must be in a fastai TfmdDL, got a {type(loader).__name__}; call evaluate(learn.model, "
            "loader, mean=..., std=...) instead"
        )
    return list(loader.after_batch.fs)


def _valid_loader(learn: Learner, rows: np.ndarray, batch_transforms: list[Any]) -> Any:
    """The loader of the validation set for some rows alone, in order, with other batch transforms."""
    return learn.dls.valid.new(drop_last=False, n=len(rows), get_idxs=rows.tolist, after_batch=batch_transforms)


class _CorruptedImages(ItemTransform):
    """Corrupts the images of each batch in turn, before they become floats; keeps a checksum of them."""

    order = IntToFloatTensor.order - 1

    def __init__(self, key: Key, rows: np.ndarray, seed: int, frost_dir: str | Path | None) -> None:
        super().__init__()
        self.key, self.rows, self.seed, self.frost_dir = key, rows, seed, frost_dir
        self.done, self.crc32 = 0, 0

    def encodes(self, batch: Any) -> Any:
        images = batch[0]
        if not isinstance(images, TensorImage) or images.dtype != torch.uint8:
            kind = getattr(images, "dtype", "")
            raise ValueError(
                f"before its batch transforms the loader gives {type(images).__name__} of {kind}; it must give "
                "TensorImage of uint8, as fastai's ToTensor does, with IntToFloatTensor among the batch transforms"
            )
        if images.shape[1] != 3:
            raise ValueError(
                f"the corruptions are for images in colour, got shape {tuple(images.shape)}; read them by "
                "ImageBlock(), for a network of three channels"
            )
        pixels = images.as_subclass(Tensor)
        if self.key != CLEAN:
            index = self.rows[self.done : self.done + len(pixels)]
            # On the CPU, as arrays are: Apple's GPU has no float64, and elsewhere a rare value may differ.
            pixels = corrupt(pixels.cpu(), *self.key, self.seed, index=index, frost_dir=self.frost_dir)
        self.done += len(pixels)
        self.crc32 = zlib.crc32(pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy(), self.crc32)
        return (TensorImage(pixels.to(images.device)), *batch[1:])


class _Judgement(Callback):
    """Keeps the classes, their probabilities and the labels of images that have one label each."""

    name = "gather_preds"  # by which fastai's trackers and loggers know that nothing trains

    def __init__(self) -> None:
        self.found: list[tuple[Tensor, ...]] = []

    def before_batch(self) -> None:
        if (count := sum(isinstance(x, TensorImage) for x in self.learn.xb)) > 1:
            raise ValueError(
                f"the model takes {count} images at a time, of which the first alone would be corrupted; evaluate a "
                "Learner of one image"
            )

    def after_pred(self) -> None:
        logits, labels = self.learn.pred, self.learn.yb[0] if len(self.learn.yb) == 1 else None
        if not (isinstance(logits, Tensor) and logits.ndim == 2 and isinstance(labels, Tensor)):
            return
        if labels.shape != logits.shape[:1] or labels.is_floating_point() or logits.shape[1] < 2:
            return  # one logit of a binary network tells its class by its sign
        confidence, classes = logits.detach().as_subclass(Tensor).float().softmax(1).max(1)
        self.found.append((classes.cpu(), confidence.cpu(), labels.as_subclass(Tensor).cpu()))

    def outcomes(self, crc32: int) -> Outcomes:
        """What was right; the checksum is that of an evaluation of the same images from an array."""
        classes, confidence, labels = (torch.cat(part).numpy() for part in zip(*self.found, strict=True))
        return Outcomes.measure(classes, confidence, labels, zlib.crc32(labels.astype("<i8").tobytes(), crc32))
