"""Frequency reliance: accuracy on images that keep only a part of their spectrum."""

from collections.abc import Sequence

import numpy as np

from freqfast.analysis.filtering import accuracy, filtered_images, radial_frequencies
from freqfast.analysis.results import Reliance
from freqfast.models.classifier import Classifier
from freqfast.progress import Progress
from freqfast.spectral.spectrum import MAX_FREQUENCY

__all__ = ["frequency_reliance"]

CUTOFFS_CPP = tuple(round(0.05 * i, 2) for i in range(15))
"""Cut-offs in cycles/pixel: 0, 0.05, ... 0.7; the highest radial frequency is 0.7071."""


def frequency_reliance(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    cutoffs_cpp: Sequence[float] = CUTOFFS_CPP,
    progress: Progress | None = None,
) -> Reliance:
    """Accuracy on low-, high- and band-pass filtered images, by cut-off.

    At cut-off c the low-pass keeps ``rho < c``, the high-pass ``rho >= c``; the band-pass keeps ``c <= rho < next c``,
    the last one all from its cut-off on. The mean of each channel stays in every image, also in the high-passed ones,
    so that the curves tell of structure rather than of a shifted brightness. Filters are ideal (sharp in frequency).

    Args:
        classifier: The model.
        images: uint8 ``(N, H, W, 3)``.
        labels: ``(N,)``.
        cutoffs_cpp: Cut-offs in cycles/pixel, increasing from 0 or more to below sqrt(0.5).
        progress: Called as ``progress(done, total, message)`` after each filter.

    Raises:
        ValueError: If the cut-offs do not increase or leave this range.
    """
    cutoffs = np.asarray(cutoffs_cpp, dtype=float)
    if cutoffs.ndim != 1 or not len(cutoffs) or not (np.diff(cutoffs, prepend=-1e-9, append=MAX_FREQUENCY) > 0).all():
        raise ValueError(
            f"cut-offs must increase from 0 or more to below sqrt(0.5) = 0.7071 cycles/pixel, got {list(cutoffs_cpp)}"
        )
    rho = radial_frequencies(*images.shape[1:3])
    masks = [
        *(rho < c for c in cutoffs),
        *(rho >= c for c in cutoffs),
        *((rho >= c) & (rho < upper) for c, upper in zip(cutoffs, (*cutoffs[1:], np.inf), strict=True)),
    ]
    found = []
    for filtered in filtered_images(images, masks):
        found.append(accuracy(classifier, filtered, labels))
        if progress:
            progress(len(found), len(masks), "frequency reliance")
    low, high, band = np.split(np.array(found), 3)
    return Reliance(
        cutoffs=cutoffs, low=low, high=high, band=band, clean=accuracy(classifier, images, labels), images=len(images)
    )
