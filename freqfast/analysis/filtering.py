"""Images without some of their radial frequencies, and a classifier's accuracy on such images."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from freqfast.models.classifier import Classifier, batches
from freqfast.progress import Progress, notebook_progress

Job = TypeVar("Job")


def filtered(images: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Images ``(N, H, W, 3)`` with only the frequencies of a mask, and always the mean, float32.

    The mask ``(H, W // 2 + 1)`` is on the half grid of `freqfast.spectral.spectrum.radial_frequencies`. Pixels are not
    clamped, since that would bring removed frequencies back.
    """
    mask = np.array(frequencies, dtype=np.float32)
    mask[0, 0] = 1
    spectrum = scipy.fft.rfft2(np.asarray(images, np.float32), axes=(1, 2))
    kept: np.ndarray = scipy.fft.irfft2(spectrum * mask[None, :, :, None], s=images.shape[1:3], axes=(1, 2))
    return kept


def accuracy(
    classifier: Classifier,
    images: np.ndarray,
    labels: ArrayLike,
    change: Callable[[np.ndarray, slice], np.ndarray] = lambda batch, rows: batch,
) -> float:
    """Share of the images that are classified correctly; `images` are pixels from 0 to 255, integers or floats.

    Each batch is first changed by ``change(batch, rows)``, rows being its place among the images. So only a batch of
    changed images is in memory: as floats, all of them would take many times the memory of 8-bit images.
    """
    labels = np.asarray(labels)
    if not len(images) or labels.shape != (len(images),):
        raise ValueError(f"each image needs one label, got labels of shape {labels.shape} for {len(images)} images")
    right = 0
    for end, batch in batches(images, classifier.batch_size):
        rows = slice(end - len(batch), end)
        right += int((classifier.predict(change(batch, rows)) == labels[rows]).sum())
    return right / len(images)


def measure_jobs(
    measure: Callable[[Job], float], jobs: Sequence[Job], progress: Progress | None, message: str
) -> np.ndarray:
    """What a function returns for each job, ``(J,)``; progress is reported job by job."""
    progress = progress or notebook_progress()
    found: list[float] = []
    for value in map(measure, jobs):
        found.append(value)
        if progress:
            progress(len(found), len(jobs), message)
    return np.array(found)
