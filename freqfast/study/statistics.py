"""Means over seeds and differences of arms, with intervals that include the chance of seeds and of images."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes a second to import, and this is what it calls

GROUPS = 50


@dataclass(frozen=True)
class Sample:
    """One measure of an arm's networks.

    Attributes:
        values: The measure by seed.
        groups: The measure by groups of images, by seed, for the networks for which it is known; see
            `freqfast.study.statistics.image_groups`.

    Examples:
        >>> Sample({0: 0.75, 1: 0.5}).mean
        0.625
    """

    values: Mapping[int, float]
    groups: Mapping[int, Sequence[float]] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return math.fsum(self.values.values()) / len(self.values)


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: The mean.
        half_width: Half of its interval, so that the interval is ``mean ± half_width``; None for one seed.
        n: Number of seeds that it is computed from; of a difference, those of the arm.
        counts_images: Whether the interval also includes the sampling of the images, and not only the chance of seeds.

    Examples:
        >>> Estimate(mean=0.15, half_width=0.016, n=3).n
        3
    """

    mean: float
    half_width: float | None
    n: int
    counts_images: bool = False


def image_groups(scores: np.ndarray) -> tuple[float, ...]:
    """Accuracy by groups of images, which is enough to estimate the sampling error of the images.

    The images are dealt out to 50 groups in turn (fewer images: one each). Their order must be random or by class;
    where classes take turns, the groups differ by class and the error comes out too large. Wolter (1985, Introduction
    to Variance Estimation) describes such random groups.

    Args:
        scores: ``(N,)``, one number per image: whether the network was right, or how often over several corruptions.

    Returns:
        The mean of each group, rounded to 5 digits.

    Examples:
        >>> image_groups(np.array([1.0, 0.0, 0.6]))
        (1.0, 0.0, 0.6)
    """
    return tuple(round(float(scores[i::GROUPS].mean()), 5) for i in range(min(GROUPS, len(scores))))


def estimate(sample: Sample, arms: Iterable[Sample] = (), confidence: float = 0.95) -> Estimate | None:
    """Mean over seeds with its confidence interval.

    The interval combines two independent parts. The part of the *seeds* is Student's interval, from the sample's own
    standard deviation, or from that pooled over arms if this makes it wider: when the deviation of two or three seeds
    is small, that is often luck, but some arms do deviate more than others. The part of the *images* is that of a
    crossed design, in which every network sees the same images: the variance of the images' means over the seeds, minus
    what chance between networks adds to it. It is included if all seeds have `groups`. As for any interval from a
    deviation, it is 0 where every image is right.

    Args:
        sample: The measure by seed.
        arms: The measure of all arms, including the sample's, over which the deviation is pooled; without them only the
            sample's own is used.
        confidence: How often such an interval holds the truth, in (0, 1). For `k` of them that are to hold it all at
            once in 95 % of cases, ``1 - 0.05 / k`` is enough (Bonferroni).

    Returns:
        None if there are no values; an estimate without an interval if there is one value.

    Raises:
        ValueError: If the confidence does not lie between 0 and 1.

    Examples:
        >>> ours, other = Sample({0: 0.84, 1: 0.86, 2: 0.85}), Sample({0: 0.80, 1: 0.88, 2: 0.84})
        >>> found = estimate(ours)
        >>> round(found.mean, 3), round(found.half_width, 3)
        (0.85, 0.025)
        >>> round(estimate(ours, [ours, other]).half_width, 3)  # a larger deviation, with more degrees of freedom
        0.047
    """
    return _estimate([sample], arms, confidence)


def difference(
    sample: Sample, baseline: Sample, arms: Iterable[Sample] = (), confidence: float = 0.95
) -> Estimate | None:
    """Difference of an arm's mean over seeds to a baseline's, with its interval; see `estimate`.

    The part of the seeds is Welch's interval, from the standard deviations of both, or the one from the pooled
    deviation if this is wider: networks of the same seed count as independent. The part of the images comes from the
    difference image by image, which removes how hard each image is.

    Args:
        sample: A measure by seed.
        baseline: The same measure of the baseline, whose seeds may be others, and more.
        arms: The measure of all arms, including these two, over which the deviation is pooled.
        confidence: See `estimate`.

    Returns:
        None if one of the two has no values; an estimate without an interval if one of them has a single value.

    Raises:
        ValueError: If the confidence does not lie between 0 and 1.

    Examples:
        >>> difference(Sample({0: 0.75}), Sample({0: 0.5, 1: 0.25}))
        Estimate(mean=0.375, half_width=None, n=1, counts_images=False)
    """
    return _estimate([sample, baseline], arms, confidence)


def _estimate(terms: Sequence[Sample], arms: Iterable[Sample], confidence: float) -> Estimate | None:
    """The mean of a sample, or the first one's minus the second one's, which deviate independently of each other."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    if not all(term.values for term in terms):
        return None
    n, mean = len(terms[0].values), terms[0].mean - sum(term.mean for term in terms[1:])
    if min(len(term.values) for term in terms) < 2:
        return Estimate(mean, None, n)
    seeds, images = _seeds_half_width(terms, arms, confidence), _images_half_width(terms, confidence)
    return Estimate(mean, math.hypot(seeds, images or 0), n, images is not None)


def _seeds_half_width(terms: Sequence[Sample], arms: Iterable[Sample], confidence: float) -> float:
    """Half of the interval by the chance of the seeds: Welch's, or the pooled deviation's if that is wider."""
    own = _half_width([(variance / (freedom + 1), freedom) for variance, freedom in map(_deviation, terms)], confidence)
    several = [_deviation(arm) for arm in arms if len(arm.values) > 1]
    if not several:
        return own
    freedom = sum(freedom for _, freedom in several)
    pooled = math.fsum(variance * freedom for variance, freedom in several) / freedom
    return max(own, _half_width([(pooled * math.fsum(1 / len(term.values) for term in terms), freedom)], confidence))


def _deviation(arm: Sample) -> tuple[float, int]:
    """The variance between an arm's seeds, and its degrees of freedom."""
    values = list(arm.values.values())
    return float(np.var(values, ddof=1)), len(values) - 1


def _half_width(parts: Sequence[tuple[float, int]], confidence: float) -> float:
    """Half of the interval for a sum of independent variances, each given with its degrees of freedom.

    Those of the sum are Satterthwaite's.
    """
    variance = math.fsum(part for part, _ in parts)
    if not variance:
        return 0.0
    freedom = 1 / math.fsum((part / variance) ** 2 / own for part, own in parts)
    return float(stdtrit(freedom, (1 + confidence) / 2)) * math.sqrt(variance)


def _images_half_width(terms: Sequence[Sample], confidence: float) -> float | None:
    """Half of the interval by the chance of the images, seeds held fixed; None if it cannot be told."""
    groups = [[term.groups.get(seed, ()) for seed in term.values] for term in terms]
    lengths = {len(one) for own in groups for one in own}
    if len(lengths) > 1 or (size := lengths.pop()) < 2:
        return None
    means, noise = np.zeros(size), 0.0
    for sign, own in zip((1, -1), groups, strict=False):
        scores = np.array(own)
        mean = scores.mean(axis=0)
        interaction = scores - scores.mean(axis=1, keepdims=True) - mean + scores.mean()
        means += sign * mean
        noise += (interaction**2).sum() / ((len(scores) - 1) * (size - 1)) / len(scores)
    variance = max(0.0, means.var(ddof=1) - noise) / size
    return _half_width([(variance, size - 1)], confidence)
