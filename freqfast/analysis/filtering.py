"""Images without some of their radial frequencies, and a classifier's accuracy on such images."""

from collections.abc import Callable

import numpy as np
import scipy.fft

from freqfast.models.classifier import Classifier

__all__ = ["accuracy", "image_filter"]


def image_filter(images: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What gives images ``(N, H, W, 3)`` with those frequencies alone that are kept of them; their mean stays in all.

    These are a mask ``(H, W // 2 + 1)`` over `freqfast.spectral.spectrum.radial_frequencies`. The result is not
    clamped, which would put frequencies back that were taken out.
    """
    size = images.shape[1:3]
    spectrum = scipy.fft.rfft2(np.asarray(images, np.float32), axes=(1, 2))

    def keep(frequencies: np.ndarray) -> np.ndarray:
        mask = np.array(frequencies, dtype=np.float32)
        mask[0, 0] = 1
        filtered: np.ndarray = scipy.fft.irfft2(spectrum * mask[None, :, :, None], s=size, axes=(1, 2))
        return filtered

    return keep


def accuracy(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of the images that are classified correctly; `images` are pixels from 0 to 255, whole or not."""
    return float((classifier.predict(images) == labels).mean())
