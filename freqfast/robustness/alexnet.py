"""Corruption errors of ImageNet networks relative to AlexNet's, as papers on ImageNet-C report them."""

import re
from collections.abc import Sequence
from statistics import fmean

from freqfast.corruptions import MAIN
from freqfast.robustness.result import CorruptionResult

_LARGE = 112  # pixels; ImageNet's names of classes are Tiny-ImageNet's too, whose images have 64
_CLASSES = 1000

ALEXNET_ERROR = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""AlexNet's error on ImageNet-C by corruption, mean over severities; published with AugMix (Hendrycks et al., 2020)."""

ALEXNET_CLEAN_ERROR = 0.435
"""Its error on ImageNet's validation set (Hendrycks and Dietterich, 2019, arXiv:1903.12261)."""


def is_imagenet(classes: Sequence[str] | None, height: int, width: int) -> bool:
    """Whether images have ImageNet's classes, named by their WordNet numbers, and its size in pixels.

    All thousand classes are required: AlexNet's errors are for these, and a choice among fewer is easier.

    Examples:
        >>> classes = [f"n{number:08}" for number in range(1000)]
        >>> is_imagenet(classes, 224, 224), is_imagenet(classes[:100], 224, 224), is_imagenet(classes, 64, 64)
        (True, False, False)
    """
    if classes is None or len(classes) != _CLASSES or min(height, width) < _LARGE:
        return False
    return all(re.fullmatch(r"n\d{8}", name) for name in classes)


def alexnet_mce(result: CorruptionResult) -> tuple[float | None, float | None]:
    """Mean corruption error (mCE) and relative mCE, with AlexNet as baseline (Hendrycks and Dietterich, 2019).

    Args:
        result: Outcomes on ImageNet-C, or on ImageNet's validation images corrupted with its parameters.

    Returns:
        The mean over the 15 main corruptions of the error divided by AlexNet's, and the same for the errors beyond the
        clean error. Each is None if the corruptions, or for the second also the uncorrupted images, were not measured
        in full.

    Examples:
        >>> alexnet_mce(CorruptionResult({}))
        (None, None)
    """
    if not result.is_full(MAIN):
        return None, None
    errors = {name: 1 - result.by_corruption[name] for name in MAIN}
    mce = fmean(errors[name] / ALEXNET_ERROR[name] for name in MAIN)
    if result.clean is None:
        return mce, None
    clean = 1 - result.clean
    return mce, fmean((errors[name] - clean) / (ALEXNET_ERROR[name] - ALEXNET_CLEAN_ERROR) for name in MAIN)
