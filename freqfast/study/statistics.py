"""Means over seeds and differences of arms, with intervals that include the chance of seeds and of images."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes a second to import, and this is what it calls

CONFIDENCE = 0.95
GROUPS = 50


@dataclass(frozen=True)
class Sample:
    """One measure of an arm's networks.

    Attributes:
        values: The measure by seed.
        groups: The measure by groups of images, by seed, for the networks for which it is known; see `image_groups`.

    Examples:
        >>> (Sample({0: 0.75, 1: 0.5}) - Sample({0: 0.5, 2: 0.1})).values
        {0: 0.25}
    """

    values: Mapping[int, float]
    groups: Mapping[int, Sequence[float]] = field(default_factory=dict)

    def __sub__(self, other: "Sample") -> "Sample":
        """The differences for the seeds that both have."""
        return Sample(
            {seed: self.values[seed] - other.values[seed] for seed in sorted(self.values.keys() & other.values.keys())},
            {
                seed: list(np.subtract(self.groups[seed], other.groups[seed]))
                for seed in sorted(self.groups.keys() & other.groups.keys())
                if len(self.groups[seed]) == len(other.groups[seed])
            },
        )


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: The mean.
        half_width: Half of its 95 % interval, so that the interval is ``mean ± half_width``; None for one seed.
        n: Number of seeds that it is computed from.
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

    The images are dealt out to 50 groups in turn (fewer images: one each), so that images sorted by class are spread
    evenly. Wolter (1985, Introduction to Variance Estimation) describes such random groups.

    Args:
        scores: ``(N,)``, one number per image: whether the network was right, or how often over several corruptions.

    Returns:
        The mean of each group, rounded to 5 digits.

    Examples:
        >>> image_groups(np.array([1.0, 0.0, 0.6]))
        (1.0, 0.0, 0.6)
    """
    return tuple(round(float(scores[i::GROUPS].mean()), 5) for i in range(min(GROUPS, len(scores))))


def estimate(sample: Sample, arms: Iterable[Sample] | None = None) -> Estimate | None:
    """Mean over seeds with its 95 % interval.

    The interval combines two independent parts. The part of the *seeds* is Student's interval, from the standard
    deviation pooled over arms, or from the sample's own if that is larger: if the deviation of two or three seeds is
    below the pooled one, that is luck, but some arms do deviate more than others. The part of the *images* is that of a
    crossed design, in which every network sees the same images: the variance of the images' means over the seeds, minus
    what chance between networks adds to it. It is included if all seeds have `groups`.

    Args:
        sample: The measure by seed.
        arms: The measure of all arms, including the sample's, over which the deviation is pooled; by default only the
            sample's own is used.

    Returns:
        None if there are no values; an estimate without an interval if there is one value.

    Raises:
        ValueError: If none of the arms has the sample's values.

    Examples:
        >>> ours, other = Sample({0: 0.84, 1: 0.86, 2: 0.85}), Sample({0: 0.80, 1: 0.84, 2: 0.82})
        >>> found = estimate(ours)
        >>> round(found.mean, 3), round(found.half_width, 3)
        (0.85, 0.025)
        >>> round(estimate(ours, [ours, other]).half_width, 3)  # a larger deviation, with more degrees of freedom
        0.029
    """
    return _estimate(sample, [sample], arms)


def paired_difference(sample: Sample, baseline: Sample, arms: Iterable[Sample] | None = None) -> Estimate | None:
    """Mean difference to a baseline over the seeds that both have, with its interval; see `estimate`.

    The part of the seeds adds the variances that `estimate` finds for the two. The part of the images comes from the
    differences image by image, which removes how hard each image is.

    Args:
        sample: A measure by seed.
        baseline: The same measure of the baseline.
        arms: The measure of all arms, including these two, which may have more seeds there; by default each of the two
            has its own deviation, as in Welch's test.

    Returns:
        None if the two have no seed in common.

    Raises:
        ValueError: If none of the arms has the values of one of the two.

    Examples:
        >>> paired_difference(Sample({0: 0.75, 1: 0.5}), Sample({0: 0.5, 2: 0.1}))
        Estimate(mean=0.25, half_width=None, n=1, counts_images=False)
    """
    return _estimate(sample - baseline, [sample, baseline], arms)


def _estimate(measure: Sample, terms: Sequence[Sample], arms: Iterable[Sample] | None) -> Estimate | None:
    """The mean of a measure that is a term, or the difference of two, which deviate independently of each other."""
    values = list(measure.values.values())
    n, mean = len(values), math.fsum(values) / max(1, len(values))
    if n < 2:
        return Estimate(mean, None, 1) if n else None
    seeds = _seeds_half_width(terms, arms, n)
    images = _images_half_width([measure.groups.get(seed, ()) for seed in measure.values])
    return Estimate(mean, math.hypot(seeds, images or 0), n, images is not None)


def _seeds_half_width(terms: Sequence[Sample], arms: Iterable[Sample] | None, n: int) -> float:
    """Half of the 95 % interval by the chance of n seeds, with Satterthwaite's degrees of freedom.

    The variance is a sum of the arms' own, each weighted: what a term takes from the pool is shared by all arms. So an
    arm that deviates much, and is in the pool too, counts once.
    """
    several = [arm for arm in (terms if arms is None else arms) if len(arm.values) > 1]
    variances = np.array([np.var(list(arm.values.values()), ddof=1) for arm in several])
    freedom = np.array([len(arm.values) - 1 for arm in several])
    weights = np.zeros(len(several))
    pooled = freedom / freedom.sum()
    for term in terms:
        of = next((i for i, arm in enumerate(several) if term.values.items() <= arm.values.items()), None)
        if of is None:
            raise ValueError(f"arms must hold each arm that is estimated, and none has {dict(term.values)}")
        is_larger = variances[of] > (1 + 1e-9) * (pooled @ variances)  # and not by rounding
        weights += np.eye(len(several))[of] if arms is None or is_larger else pooled
    parts = weights * variances / n
    if not (variance := float(parts.sum())):
        return 0.0
    return _quantile(1 / float(((parts / variance) ** 2 / freedom).sum())) * math.sqrt(variance)


def _images_half_width(groups: Sequence[Sequence[float]]) -> float | None:
    """Half of the 95 % interval by the chance of the images, seeds held fixed; None if it cannot be told."""
    lengths = {len(one) for one in groups}
    if len(lengths) > 1 or (size := lengths.pop()) < 2:
        return None
    scores = np.array(groups)
    means = scores.mean(axis=0)
    interaction = scores - scores.mean(axis=1, keepdims=True) - means + scores.mean()
    noise = (interaction**2).sum() / ((len(scores) - 1) * (size - 1)) / len(scores)
    variance = max(0.0, means.var(ddof=1) - noise) / size
    return _quantile(size - 1) * math.sqrt(variance)


def _quantile(freedom: float) -> float:
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
