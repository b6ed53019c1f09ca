"""Accuracy under corruption of a model on images in memory, in one call."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from freqfast.corruptions import available
from freqfast.data.images import ImageData, Images
from freqfast.models.classifier import Classifier
from freqfast.models.network import Network, Preprocessing
from freqfast.progress import Progress
from freqfast.robustness.evaluation import evaluate_source
from freqfast.robustness.result import CorruptionResult
from freqfast.robustness.sources import corrupted_source

AnyImages: TypeAlias = np.ndarray | Tensor | Images | ImageData | Iterable[Any]


def evaluate_images(
    model: nn.Module,
    images: AnyImages,
    labels: ArrayLike | Tensor | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    corruptions: Sequence[str] | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    precision: str = "auto",
    progress: Progress | None = None,
) -> CorruptionResult:
    """Accuracy of a model on images, as they are and under corruption.

    Args:
        model: Maps normalised images ``(N, 3, H, W)`` to logits; it is not changed.
        images: uint8 ``(N, H, W, 3)`` or ``(N, 3, H, W)``, array or tensor, with `labels`; or `Images`; or an
            `ImageData`, whose test images are used; or a DataLoader of images and labels. Float images from a
            DataLoader are taken as normalised by `mean` and `std` already.
        labels: ``(N,)`` integers, with an array of images only.
        mean: Channel means of the model's normalisation, for pixels in [0, 1]; by default those of an `ImageData`.
        std: Channel standard deviations, likewise.
        corruptions: Names, see `freqfast.corruptions.corrupt`; by default the 19 of CIFAR-10-C and ImageNet-C and those
            of other packages, as far as they can run here. Each is measured at all five severities.
        seed: Seed of the corruptions.
        device: Where to run; by default where the model is.
        precision: See `freqfast.compute.precision.resolve_precision`.
        progress: Called after each batch; by default a bar in a notebook.

    Returns:
        The result: ``clean``, ``mean15``, ``mean()`` over all that was measured, ``accuracy`` by corruption and
        severity, and outcomes by image, with which `freqfast.robustness.compare` pairs two results.

    Raises:
        TypeError: If the model is not a module, or images or labels have the wrong type.
        ValueError: If a corruption is unknown, a shape does not fit, the normalisation is missing or is not the
            loader's, or the model cannot take the images.
        FileNotFoundError: If ``frost`` is asked for and its photographs are missing.

    Examples:
        >>> brightest_colour = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> images = np.full((2, 16, 16, 3), (10, 30, 20), np.uint8)
        >>> result = evaluate_images(
        ...     brightest_colour, images, labels=[1, 2], mean=(0, 0, 0), std=(1, 1, 1), corruptions=["brightness"]
        ... )
        >>> result.clean, result.mean()
        (0.5, 0.5)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    name, classes = "images", None
    if isinstance(images, ImageData):
        name, classes = images.name, images.classes
        mean, std = images.mean if mean is None else mean, images.std if std is None else std
    if mean is None or std is None:
        raise ValueError("pass mean and std, the model's normalisation: three numbers each for pixels in [0, 1]")
    mean, std = (tuple(map(float, np.atleast_1d(value))) for value in (mean, std))
    network = Network(type(model).__name__, model, Preprocessing(mean, std))
    sample = _image_set(images, labels, mean, std)
    if not len(sample):
        raise ValueError("there are no images; pass at least one")
    classifier = Classifier(network, device, precision)
    names = available() if corruptions is None else corruptions
    source = corrupted_source(sample, names, seed, name=name, classes=classes, progress=progress)
    [result] = evaluate_source([classifier], source, progress=progress)
    return result


def _image_set(images: AnyImages, labels: Any, mean: Sequence[float], std: Sequence[float]) -> Images:
    is_array = isinstance(images, (np.ndarray, Tensor))
    if is_array != (labels is not None):
        raise TypeError(f"labels go with an array of images, got {type(images).__name__} and {type(labels).__name__}")
    if isinstance(images, ImageData):
        return images.test
    if isinstance(images, Images):
        return images
    if is_array:
        return Images(_levels(images), _integers(labels))
    if not isinstance(images, Iterable):
        got = type(images).__name__
        raise TypeError(f"images must be an array, Images, ImageData or a DataLoader, got {got}")
    batches = []
    for batch in images:
        if not isinstance(batch, Sequence) or len(batch) < 2:
            raise TypeError(f"the DataLoader must give images and labels, got a {type(batch).__name__}")
        batches.append((_levels(batch[0], mean, std), _integers(batch[1])))
    if not batches:
        raise ValueError("the DataLoader gives no images")
    pixels, integers = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    found = Images(pixels, integers)
    are_floats = _array(batch[0]).dtype.kind == "f"
    if are_floats and any(mean) and len(found) and not (found.pixels < 255 * np.array(mean) - 1).any():
        raise ValueError("no value from the DataLoader is below 0, so it does not normalise by mean and std; let it")
    return found


def _levels(images: Any, mean: Sequence[float] = (), std: Sequence[float] = ()) -> np.ndarray:
    """Images as levels ``(N, H, W, 3)``; floats with their normalisation undone, where it is given."""
    pixels = _array(images)
    shape = pixels.shape
    if pixels.ndim == 4 and shape[1] == 3 != shape[3]:
        pixels = pixels.transpose(0, 2, 3, 1)
    if pixels.dtype.kind == "f" and mean:
        if pixels.ndim != 4 or pixels.shape[3] != 3:
            raise ValueError(f"the DataLoader must give images (n, 3, H, W), got floats of shape {shape}")
        levels = 255 * (pixels * std + mean)
        if levels.size and not (levels.min() >= -1 and levels.max() <= 256):  # as of NaN too
            raise ValueError(
                f"the DataLoader does not give pixels normalised by mean and std: undoing that gives pixels from "
                f"{levels.min() / 255:.3g} to {levels.max() / 255:.3g} in place of 0 to 1; correct it, or pass the "
                "mean and std that it uses"
            )
        pixels = levels.round().clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def _integers(labels: Any) -> np.ndarray:
    array = _array(labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got {array.dtype}")
    return array.astype(np.int64)


def _array(values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    return np.asarray(values)
