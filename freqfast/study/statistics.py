"""Means over seeds with their intervals, and differences of arms by seed."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes a second to import, and this is what it calls

__all__ = ["CONFIDENCE", "Estimate", "estimate", "paired_difference"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: The mean.
        half_width: Half of its 95 % interval, so that the interval is ``mean ± half_width``; None from one value.
        n: How many values it comes from.

    Examples:
        >>> Estimate(mean=0.15, half_width=0.016, n=3).n
        3
    """

    mean: float
    half_width: float | None
    n: int


def estimate(values: Iterable[float]) -> Estimate | None:
    """Mean of some values with Student's t interval, which takes them as independent and normal.

    Args:
        values: The values.

    Returns:
        None if there are no values.

    Examples:
        >>> found = estimate([0.84, 0.86, 0.85])
        >>> round(found.mean, 3), round(found.half_width, 3)
        (0.85, 0.025)
    """
    sample = np.asarray(list(values), dtype=np.float64)
    n = sample.size
    if n == 0:
        return None
    half = None
    if n > 1:
        half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2) * sample.std(ddof=1) / math.sqrt(n))
    return Estimate(float(sample.mean()), half, n)


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> Estimate | None:
    """Mean difference to a baseline over the seeds that both have, with its t interval.

    Pairing takes out what a seed does to both; seeds of one side only do not count.

    Args:
        values: A measure by seed.
        baseline: The same of the baseline.

    Returns:
        None if they have no seed in common.

    Examples:
        >>> paired_difference({0: 0.75, 1: 0.5}, {0: 0.5, 2: 0.1})
        Estimate(mean=0.25, half_width=None, n=1)
    """
    return estimate(values[seed] - baseline[seed] for seed in sorted(values.keys() & baseline.keys()))
