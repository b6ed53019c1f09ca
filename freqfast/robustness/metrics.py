"""The arithmetic of robustness: intervals, calibration, corruption errors and paired tests, as pure functions."""

import math
from collections.abc import Sequence
from fractions import Fraction
from statistics import NormalDist

import numpy as np

_Z = NormalDist().inv_cdf(0.975)  # of a two-sided interval of 95 %


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson, 1927), which is valid also near 0 and 1 and for few images.

    Args:
        right: Number of successes, in ``0..total``.
        total: Number of trials, at least 1.
    """
    if not 0 <= right <= total or total < 1:
        raise ValueError(f"right must lie in 0..total and total be positive, got {right} of {total}")
    centre = (right + _Z * _Z / 2) / (total + _Z * _Z)
    half = _Z / (total + _Z * _Z) * math.sqrt(right * (total - right) / total + _Z * _Z / 4)
    return (0.0 if right == 0 else centre - half), (1.0 if right == total else centre + half)


def mean_interval(scores: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of a mean over images, by the central limit theorem.

    The unit is the image. All cells show the same images, so the outcomes of one image are correlated, and a mean over
    75 cells of 10,000 images is far from the mean of 750,000 independent trials. The images' own means over the cells
    are independent (or, to compare two models, the differences of these means). Their standard deviation divided by the
    square root of the number of images is the standard error.

    The interval is too narrow if hardly any image differs from the others, and has no width if none does. For two
    models that differ on 1 % of the images of a single cell, always in favour of the same one, 63 % of such intervals
    contain the true value with 100 images, and 95 % with 2,000 (simulated). `mcnemar` is exact in such cases.

    Args:
        scores: ``(N,)``, one number per image: its mean over the cells.

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

    ``sum_b n_b / N * |accuracy_b - confidence_b|``, computed in integers except for one division.

    Args:
        bins: For each bin of confidence: the number of its images, how many of them are right, and the sum of their
            confidences.
        unit: Number of units in these sums that make a confidence of 1.
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

    Error rates are exact: rounded ones could not show that a corruption costs nothing.

    Args:
        errors: Error rates of the model, one per severity.
        baseline: Error rates of the baseline.
        clean: The model's error rate on uncorrupted images, for the relative CE, which counts only the errors beyond
            it.
        baseline_clean: The baseline's, likewise.

    Returns:
        The sum of errors divided by the baseline's; None if the corruption costs the baseline nothing.
    """
    cost = sum(error - baseline_clean for error in baseline)
    return float(sum(error - clean for error in errors) / cost) if cost > 0 else None


def mcnemar(correct: np.ndarray, baseline: np.ndarray) -> tuple[int, int, float]:
    """Exact McNemar test (1947) of two models on the same images.

    Args:
        correct: Whether the model is right, bool ``(N,)``.
        baseline: Whether the baseline is.

    Returns:
        The number of images that only the model has right, the number that only the baseline has right, and the
        two-sided p-value of the binomial test that both are equally likely. The p-value is for one cell: among many
        cells, some are small by chance.
    """
    from scipy.stats import binomtest  # half a second that only a comparison needs

    ours, theirs = int((correct & ~baseline).sum()), int((baseline & ~correct).sum())
    return ours, theirs, float(binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0
