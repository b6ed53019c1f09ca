"""Images without some of their radial frequencies, and a classifier's accuracy on such images."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from freqfast.data.images import Images
from freqfast.models.classifier import Classifier
from freqfast.progress import Progress, notebook_progress
from freqfast.robustness.cells import Change
from freqfast.robustness.judge import judge

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


def accuracy(classifier: Classifier, images: np.ndarray, labels: ArrayLike, change: Change | None = None) -> float:
    """Share of the images, uint8 ``(N, H, W, 3)``, that are classified correctly, see `freqfast.robustness.judge`."""
    return judge(classifier, Images(images, np.asarray(labels, np.int64)), change).accuracy


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
