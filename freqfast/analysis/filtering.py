"""Images without some of their radial frequencies, and a classifier's accuracy on such images."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from freqfast.models.classifier import Classifier
from freqfast.progress import Progress, Share, notebook_progress

Job = TypeVar("Job")


def image_filter(images: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function that keeps only the frequencies of a mask, and always the mean, in images ``(N, H, W, 3)``.

    The mask ``(H, W // 2 + 1)`` is on the half grid of `freqfast.spectral.spectrum.radial_frequencies`. Pixels are not
    clamped, since that would bring removed frequencies back.
    """
    size = images.shape[1:3]
    spectrum = scipy.fft.rfft2(np.asarray(images, np.float32), axes=(1, 2))

    def keep(frequencies: np.ndarray) -> np.ndarray:
        mask = np.array(frequencies, dtype=np.float32)
        mask[0, 0] = 1
        return scipy.fft.irfft2(spectrum * mask[None, :, :, None], s=size, axes=(1, 2))

    return keep


def accuracy(classifier: Classifier, images: np.ndarray, labels: ArrayLike) -> float:
    """Share of the images that are classified correctly; `images` are pixels from 0 to 255, integers or floats."""
    labels = np.asarray(labels)
    if not len(images) or labels.shape != (len(images),):
        raise ValueError(f"each image needs one label, got labels of shape {labels.shape} for {len(images)} images")
    return float((classifier.predict(images) == labels).mean())


def measure_jobs(
    measure: Callable[[Job], float], jobs: Sequence[Job], share: Share, progress: Progress | None, message: str
) -> np.ndarray:
    """What a function returns for each job, ``(J,)``; `share` does the work, and progress is reported job by job."""
    progress = progress or notebook_progress()
    found: list[float] = []
    for value in share(measure, jobs):
        found.append(value)
        if progress:
            progress(len(found), len(jobs), message)
    return np.array(found)
