"""The arithmetic of robustness: intervals, calibration, corruption errors and paired tests, as pure functions."""

import math
from collections.abc import Sequence
from fractions import Fraction
from statistics import NormalDist

import numpy as np

_Z = NormalDist().inv_cdf(0.975)  # of a two-sided interval of 95 %


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson, 1927), sound also near 0 and 1 and for few images.

    Args:
        right: Number of successes, in ``0..total``.
        total: Number of trials, at least 1.
    """
    if not 0 <= right <= total or total < 1:
        raise ValueError(f"right must lie in 0..total and total be positive, got {right} of {total}")
    centre = (right + _Z * _Z / 2) / (total + _Z * _Z)
    half = _Z / (total + _Z * _Z) * math.sqrt(right * (total - right) / total + _Z * _Z / 4)
    return (0.0 if right == 0 else max(0.0, centre - half)), (1.0 if right == total else min(1.0, centre + half))


def mean_interval(scores: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of a mean over images, by the central limit theorem.

    The unit is the image. All cells show the same images, so the outcomes of one image are correlated, and a mean over
    75 cells of 10,000 images is far from the mean of 750,000 independent trials. Independent are the images' own means
    over the cells (or, to compare two models, the differences of these means); their standard deviation over the square
    root of the number of images is the standard error.

    It is too narrow where hardly an image differs from the others, and has no width where none does: of two models that
    differ on 1 % of the images of a single cell, one always the better, 63 % of such intervals hold the truth with 100
    images, 95 % with 2,000 (simulated). `mcnemar` is exact there.

    Args:
        scores: ``(N,)``, one number an image: its mean over the cells.

    Returns:
        The interval, or None for fewer than two images.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) < 2:
        return None
    half = _Z * float(scores.std(ddof=1)) / math.sqrt(len(scores))
    mean = float(scores.mean())
    return mean - half, mean + half


def expected_calibration_error(bins: Sequence[tuple[int, int, int]], unit: int) -> float:
    """Expected calibration error (Guo et al., 2017, arXiv:1706.04599): mean gap between confidence and accuracy.

    ``sum_b n_b / N * |accuracy_b - confidence_b|``, computed in integers up to the one division.

    Args:
        bins: For each bin of confidence: images in it, those that are right, the sum of confidences.
        unit: How many of the sums' units make a confidence of 1.
    """
    total = sum(inside for inside, _, _ in bins)
    return sum(abs(right * unit - confidence) for _, right, confidence in bins) / (total * unit)


def corruption_error(
    errors: Sequence[Fraction],
    baseline: Sequence[Fraction],
    clean: Fraction = Fraction(),
    baseline_clean: Fraction = Fraction(),
) -> float | None:
    """CE of one corruption (Hendrycks and Dietterich, 2019, arXiv:1903.12261); mCE is its mean over 15 corruptions.

    Error rates are exact, since rounded ones could not tell a cost of nothing.

    Args:
        errors: Error rates of the model, one a severity.
        baseline: Those of the baseline.
        clean: The model's error rate on uncorrupted images, for the relative CE: of the errors beyond these.
        baseline_clean: That of the baseline, likewise.

    Returns:
        The sum of errors over the baseline's; None if the corruption costs the baseline nothing.
    """
    cost = sum(error - baseline_clean for error in baseline)
    return float(sum(error - clean for error in errors) / cost) if cost > 0 else None


def mcnemar(correct: np.ndarray, baseline: np.ndarray) -> tuple[int, int, float]:
    """Exact McNemar test (1947) of two models on the same images.

    Args:
        correct: Whether the model is right, bool ``(N,)``.
        baseline: Whether the baseline is.

    Returns:
        Images that only the model has right, images that only the baseline has right, and the two-sided p-value of the
        binomial test that both are equally likely. It is for one cell: among many cells some are small by chance.
    """
    from scipy.stats import binomtest  # half a second that only a comparison needs

    ours, theirs = int((correct & ~baseline).sum()), int((baseline & ~correct).sum())
    return ours, theirs, float(binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0
