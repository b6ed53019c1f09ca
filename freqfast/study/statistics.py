"""Means over seeds and differences of arms, with intervals that count the chance of seeds and of images."""

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
        groups: The same by groups of the images, by seed, of those networks of which it is known; see `image_groups`.

    Examples:
        >>> (Sample({0: 0.75, 1: 0.5}) - Sample({0: 0.5, 2: 0.1})).values
        {0: 0.25}
    """

    values: Mapping[int, float]
    groups: Mapping[int, Sequence[float]] = field(default_factory=dict)

    def __sub__(self, other: "Sample") -> "Sample":
        """The differences over the seeds that both have."""
        return Sample(
            {seed: self.values[seed] - other.values[seed] for seed in sorted(self.values.keys() & other.values.keys())},
            {
                seed: list(np.subtract(self.groups[seed], other.groups[seed]))
                for seed in sorted(self.groups.keys() & other.groups.keys())
                if len(self.groups[seed]) == len(other.groups[seed])
            },
        )


@dataclass(frozen=True)
class Deviation:
    """A standard deviation between seeds.

    Attributes:
        value: The standard deviation.
        freedom: The degrees of freedom that it was estimated with.
    """

    value: float
    freedom: int


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: The mean.
        half_width: Half of its 95 % interval, so that the interval is ``mean ± half_width``; None from one seed.
        n: How many seeds it comes from.
        counts_images: Whether the interval counts that the images are a sample, and not the chance of seeds alone.

    Examples:
        >>> Estimate(mean=0.15, half_width=0.016, n=3).n
        3
    """

    mean: float
    half_width: float | None
    n: int
    counts_images: bool = False


def image_groups(scores: np.ndarray) -> tuple[float, ...]:
    """Accuracy by groups of images, from which the chance of the images can be told without an entry for each.

    The images are dealt out to 50 groups in turn (fewer images: one each), so that images sorted by class are spread
    evenly. Wolter (1985, Introduction to Variance Estimation) describes such random groups.

    Args:
        scores: ``(N,)``, one number an image: whether the network was right, or how often over several corruptions.

    Returns:
        The mean of each group, rounded to 5 digits.

    Examples:
        >>> image_groups(np.array([1.0, 0.0, 0.6]))
        (1.0, 0.0, 0.6)
    """
    return tuple(round(float(scores[i::GROUPS].mean()), 5) for i in range(min(GROUPS, len(scores))))


def pooled_deviation(samples: Iterable[Sample]) -> Deviation | None:
    """The standard deviation between seeds that several arms share.

    Args:
        samples: The same measure of the arms.

    Returns:
        None if no arm has two seeds.

    Examples:
        >>> pooled_deviation([Sample({0: 0.1, 1: 0.3}), Sample({0: 0.7, 1: 0.7, 2: 0.7}), Sample({0: 0.5})])
        Deviation(value=0.0816..., freedom=3)
    """
    found = [np.array(list(sample.values.values())) for sample in samples if sample.values]
    freedom = sum(len(values) - 1 for values in found)
    if freedom == 0:
        return None
    return Deviation(math.sqrt(sum(((values - values.mean()) ** 2).sum() for values in found) / freedom), freedom)


def estimate(sample: Sample, pooled: Deviation | None = None) -> Estimate | None:
    """Mean over seeds with its 95 % interval.

    The interval adds two parts as independent ones. The *seeds'* is Student's, of the pooled deviation, or of the
    sample's own with its few degrees of freedom where that is larger: a deviation of two or three seeds that is below
    the pooled one is luck, but some arms do deviate more than others. The *images'* is that of a crossed design, in
    which every network sees the same images: the variance of the images' means over the seeds, less what chance between
    networks adds to it. It is counted if all seeds have `groups`.

    Args:
        sample: The measure by seed.
        pooled: The deviation pooled over arms; by default the sample's own.

    Returns:
        None if there are no values; an estimate without interval from one.

    Examples:
        >>> found = estimate(Sample({0: 0.84, 1: 0.86, 2: 0.85}))
        >>> round(found.mean, 3), round(found.half_width, 3)
        (0.85, 0.025)
        >>> round(estimate(Sample({0: 0.84, 1: 0.86, 2: 0.85}), Deviation(0.012, freedom=15)).half_width, 3)
        0.015
    """
    return _estimate(sample, [sample], pooled)


def paired_difference(sample: Sample, baseline: Sample, pooled: Deviation | None = None) -> Estimate | None:
    """Mean difference to a baseline over the seeds that both have, with its interval; see `estimate`.

    The seeds' part is Welch's, of the deviations that `estimate` has for the two; the images' is of the differences
    image by image, which takes out how hard each image is.

    Args:
        sample: A measure by seed.
        baseline: The same of the baseline.
        pooled: The deviation of the measure, pooled over arms; by default each has its own.

    Returns:
        None if they have no seed in common.

    Examples:
        >>> paired_difference(Sample({0: 0.75, 1: 0.5}), Sample({0: 0.5, 2: 0.1}))
        Estimate(mean=0.25, half_width=None, n=1, counts_images=False)
    """
    return _estimate(sample - baseline, [sample, baseline], pooled)


def _estimate(measure: Sample, terms: Sequence[Sample], pooled: Deviation | None) -> Estimate | None:
    """The mean of a measure that is a term, or the difference of two, which deviate independently of each other."""
    values = list(measure.values.values())
    n, mean = len(values), math.fsum(values) / max(1, len(values))
    if n < 2:
        return Estimate(mean, None, 1) if n else None
    deviations = [max(filter(None, (pooled, pooled_deviation([term]))), key=lambda one: one.value) for term in terms]
    parts = [(own.value**2 / n, own.freedom) for own in deviations if own is not pooled]
    if pooled is not None:  # what two terms take from it adds up
        parts.append(((len(terms) - len(parts)) * pooled.value**2 / n, pooled.freedom))
    images = _images_half_width([measure.groups.get(seed, ()) for seed in measure.values])
    return Estimate(mean, math.hypot(_seeds_half_width(parts), images or 0), n, images is not None)


def _seeds_half_width(parts: Sequence[tuple[float, int]]) -> float:
    """Half of the 95 % interval of a mean, of the parts of its variance and their freedom (Welch, Satterthwaite)."""
    if not (variance := sum(part for part, _ in parts)):
        return 0.0
    inverse = sum((part / variance) ** 2 / freedom for part, freedom in parts)
    return _quantile(1 / inverse) * math.sqrt(variance)


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
