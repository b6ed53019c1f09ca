"""Band ablation: accuracy when the first layer's filters of a band, or a band of all its responses, are removed."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from freqfast.analysis.filtering import accuracy, filtered_images, radial_frequencies
from freqfast.analysis.results import Ablation
from freqfast.models.classifier import Classifier
from freqfast.progress import Progress
from freqfast.spectral.bands import Bands, BandsLike, band_shares, classify_filters
from freqfast.spectral.modulation import effective_weight
from freqfast.spectral.surgery import find_conv

__all__ = ["ablate_bands", "without_filters"]

CONTROLS = 5
"""How many random choices of filters the control averages."""


def without_filters(
    classifier: Classifier, filters: Sequence[int] | np.ndarray, layer: str | None = None
) -> Classifier:
    """A copy of a classifier some of whose convolution's filters are zero, with their biases: they respond nowhere.

    What follows is left as it was trained; in particular BatchNorm keeps its statistics.

    Args:
        classifier: The model; it is not changed.
        filters: Indices of the filters to remove.
        layer: Name of the convolution; the first spatial one by default.
    """

    @torch.no_grad()
    def silence(model: nn.Module) -> None:
        _, conv = find_conv(model, layer)
        rows = torch.as_tensor(np.asarray(filters, dtype=np.int64), device=conv.weight.device)
        conv.weight[rows] = 0
        if conv.bias is not None:
            conv.bias[rows] = 0

    return classifier.edited(silence)


def ablate_bands(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    bands: BandsLike = None,
    layer: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ablation:
    """Accuracy without each band's filters, and without each band in the response of every filter.

    Two removals for each band:

    - its *filters*: those that belong to the band respond with zero everywhere (see `without_filters`). The control
      removes as many filters chosen at random, the mean over five draws: bands differ in how many filters they have.
    - its *response*: the band's frequencies are taken out of the images, all but the mean. A convolution is linear and
      shift-invariant, so this equals taking them out of the response of every filter, up to the border, where padding
      is no part of the image. Unlike a projection of the small kernels it removes the band exactly. Behind a
      `SpectrumEqualizer` the image is equalized after the removal, which raises what is left next to the band.

    Nothing is trained or recalibrated afterwards: BatchNorm keeps the statistics of the whole model.

    Args:
        classifier: The model.
        images: uint8 ``(N, H, W, 3)``.
        labels: ``(N,)``.
        bands: The bands; two of equal area by default. See `Bands.of` for the short forms.
        layer: Name of the convolution whose filters are removed; the first spatial one by default.
        seed: Seed of the random choices.
        progress: Called as ``progress(done, total, message)`` after each accuracy.

    Raises:
        ValueError: If the model has no such convolution or the bands do not fit.
    """
    bands = Bands.of(bands)
    name, conv = find_conv(classifier.model, layer)
    classes = classify_filters(band_shares(effective_weight(conv).float().cpu(), bands)).numpy()
    members = [np.flatnonzero(classes == b) for b in range(len(bands))]
    rng = np.random.default_rng(seed)
    total, done = len(bands) * (2 + CONTROLS) + 1, 0

    def measure(model: Classifier, pixels: np.ndarray) -> float:
        nonlocal done
        found = accuracy(model, pixels, labels)
        done += 1
        if progress:
            progress(done, total, "band ablation")
        return found

    clean = measure(classifier, images)
    filters = [measure(without_filters(classifier, rows, layer), images) for rows in members]
    control = [
        np.mean(
            [
                measure(without_filters(classifier, rng.choice(len(classes), len(rows), replace=False), layer), images)
                for _ in range(CONTROLS)
            ]
        )
        for rows in members
    ]
    rho = radial_frequencies(*images.shape[1:3])
    upper = (*bands.edges[1:-1], np.inf)
    stops = [(rho < low) | (rho >= high) for low, high in zip(bands.edges, upper, strict=False)]
    response = [measure(classifier, pixels) for pixels in filtered_images(images, stops)]
    return Ablation(
        bands=bands,
        layer=name,
        counts=np.array([len(rows) for rows in members]),
        filters=np.array(filters),
        control=np.array(control),
        response=np.array(response),
        clean=clean,
        images=len(images),
        seed=seed,
    )
