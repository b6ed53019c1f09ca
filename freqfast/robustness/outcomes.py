"""Which images of a cell a model classified correctly, in integers, so that results merge exactly in any order."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import Base64Bytes, Field

from freqfast.robustness.metrics import expected_calibration_error, wilson_interval

Count = Annotated[int, Field(ge=0, lt=2**63)]

BINS = 15
"""Equal-width bins of confidence, as many as Guo et al. (2017, arXiv:1706.04599) use."""

CONFIDENCE_UNIT = 2**24
"""Confidences are counted in units of one over this, the resolution of float32 near 1."""


@dataclass(frozen=True)
class Outcomes:
    """Which images a model classified correctly, and how confident it was.

    Attributes:
        images: Number of images, ``N``.
        correct_bits: One bit per image, 1 if it is right; the first image is the highest bit of the first byte.
        bins: For each of the 15 bins ``(m/15, (m + 1)/15]`` of confidence: the number of its images, how many of them
            are right, and the sum of their confidences in units of 2**-24.
        images_crc32: Checksum of the images' bytes, followed by their labels: equal if the images are.

    Examples:
        >>> found = Outcomes.measure(np.array([0, 1, 1]), np.array([0.9, 0.6, 0.8]), labels=np.array([0, 1, 0]))
        >>> found.right, found.correct
        (2, array([ True,  True, False]))
    """

    images: Count
    correct_bits: Annotated[Base64Bytes, Field(alias="correct")]
    bins: Annotated[tuple[tuple[Count, Count, Count], ...], Field(min_length=BINS, max_length=BINS)]
    images_crc32: Count

    def __post_init__(self) -> None:
        """Refuse numbers that contradict each other."""
        counts = np.array(self.bins, dtype=np.int64)
        inside, right, confidence = counts.T
        edges = np.arange(BINS + 1) * CONFIDENCE_UNIT
        if (counts > self.images * CONFIDENCE_UNIT).any():  # before products that would wrap
            raise ValueError(f"a bin's counts are larger than those of {self.images} images can be")
        if (confidence * BINS < inside * edges[:-1]).any() or (confidence * BINS > inside * edges[1:]).any():
            raise ValueError("a bin's confidences do not lie in it")
        if len(self.correct_bits) != -(-self.images // 8) or self.images < 1 or inside.sum() != self.images:
            raise ValueError(
                f"{self.images} images, but bits for {8 * len(self.correct_bits)} and {inside.sum()} in bins"
            )
        if (right > inside).any() or right.sum() != sum(byte.bit_count() for byte in self.correct_bits):
            raise ValueError(f"the bins count {right.sum()} right images, the bits say otherwise")

    @classmethod
    def measure(
        cls, classes: np.ndarray, confidence: np.ndarray, labels: np.ndarray, images_crc32: int = 0
    ) -> "Outcomes":
        """Count what a model predicted.

        Args:
            classes: Predicted classes ``(N,)``.
            confidence: Their probabilities ``(N,)``, in (0, 1].
            labels: True classes ``(N,)``.
            images_crc32: See the attribute.
        """
        correct = np.asarray(classes) == np.asarray(labels)
        units = np.rint(np.asarray(confidence, np.float64) * CONFIDENCE_UNIT).astype(np.int64).clip(min=1)
        index = (units * BINS - 1) // CONFIDENCE_UNIT  # integers throughout: no edge is met by rounding
        weights = (None, correct, units)  # float64 adds such integers exactly, up to 2**53
        counts = np.stack([np.bincount(index, w, minlength=BINS).astype(np.int64) for w in weights], axis=1)
        bins = tuple((int(inside), int(right), int(total)) for inside, right, total in counts)
        return cls(len(correct), np.packbits(correct).tobytes(), bins, images_crc32)

    @cached_property
    def correct(self) -> np.ndarray:
        """Whether each image was classified correctly, ``(N,)`` bool."""
        return np.unpackbits(np.frombuffer(self.correct_bits, np.uint8), count=self.images).astype(bool)

    @property
    def right(self) -> int:
        """Number of images classified correctly."""
        return sum(right for _, right, _ in self.bins)

    @property
    def accuracy(self) -> float:
        """Fraction of images classified correctly."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.right, self.images)

    @property
    def ece(self) -> float:
        """Expected calibration error, a fraction; see `freqfast.robustness.metrics.expected_calibration_error`."""
        return expected_calibration_error(self.bins, CONFIDENCE_UNIT)
