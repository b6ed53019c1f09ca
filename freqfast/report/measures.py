"""The accuracies of runs with their intervals, and the differences from the first run."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from freqfast.corruptions import C_BAR, FAMILIES, IMAGENET_C_BAR, MEANS
from freqfast.robustness import CLEAN, CorruptionResult
from freqfast.robustness.comparison import paired_differences

MEASURES = ("clean", *(name for name in MEANS if not name.startswith("mean_bar")))
"""Names of the accuracies that are compared: ``clean``, and all means except those of C-bar."""

ALL = "corrupted"
"""Name of the mean over all corruptions that were measured, which is compared where these are the same."""


class Measured(NamedTuple):
    """A fraction, or a difference of two, with its 95 % interval where one can be given."""

    value: float
    interval: tuple[float, float] | None


def corruption_families(names: Iterable[str]) -> dict[str, list[str]]:
    """Corruptions by family, in the benchmark's order; "C-bar" and "own", those of other packages, come last."""
    wanted = list(dict.fromkeys(names))
    families = {**FAMILIES, "C-bar": dict.fromkeys((*C_BAR, *IMAGENET_C_BAR))}
    known = {name for members in families.values() for name in members}
    families["own"] = [name for name in wanted if name not in known]
    found = {family: [name for name in members if name in wanted] for family, members in families.items()}
    return {family: members for family, members in found.items() if members}


def measures_of(results: Sequence[CorruptionResult]) -> list[str]:
    """The names of what any of the results has; `ALL` in place of means that none has, if all have the same cells."""
    names = [name for name in MEASURES if any(measure(result, name) for result in results)]
    are_alike = all(result.accuracy and result.outcomes.keys() == results[0].outcomes.keys() for result in results)
    if "mean15" not in names and are_alike:
        names.insert(names.index("clean") + 1 if "clean" in names else 0, ALL)
    return names


def verdict(result: CorruptionResult) -> str:
    """What corruption costs, in a sentence: in points of the clean accuracy, and under which corruptions most.

    Examples:
        >>> import numpy as np
        >>> from freqfast.robustness import Outcomes
        >>> right = {CLEAN: 4, ("fog", 1): 1, ("snow", 1): 2}
        >>> of = {key: Outcomes.measure(np.arange(4) >= n, np.full(4, 0.5), np.zeros(4)) for key, n in right.items()}
        >>> verdict(CorruptionResult(of))
        'loses 62 points under corruption; worst: fog -75, snow -50'
    """
    corrupted, accuracy = result.mean(), result.by_corruption
    worst = sorted(accuracy, key=lambda name: accuracy[name])[:2]
    if result.clean is None:
        told = ", ".join(f"{name.replace('_', ' ')} {100 * accuracy[name]:.0f} %" for name in worst)
        return f"{100 * (corrupted or 0):.0f} % right under corruption; worst: {told}"
    lost = result.clean - (corrupted or 0)
    change = f"loses {100 * lost:.0f} points" if lost >= 0 else f"gains {-100 * lost:.0f} points"
    told = ", ".join(f"{name.replace('_', ' ')} {100 * (accuracy[name] - result.clean):+.0f}" for name in worst)
    return f"{change} under corruption; worst: {told}"


def measure(result: CorruptionResult, name: str) -> Measured | None:
    """``clean``, `ALL` or one of `MEANS` with its 95 % interval; None if it was not measured.

    For clean images it is Wilson's interval; for a mean, its unit is the image.
    """
    if name == "clean":
        clean = result.outcomes.get(CLEAN)
        return None if clean is None else Measured(clean.accuracy, clean.interval)
    names = tuple(result.accuracy) if name == ALL else MEANS[name]
    value = result.mean(None if name == ALL else names)
    return None if value is None else Measured(value, result.interval(names))


def difference(result: CorruptionResult, first: CorruptionResult, name: str) -> tuple[Measured | None, bool]:
    """A run's accuracy minus the first run's, and whether the interval is paired.

    On the same images it is paired: the interval of the mean of the differences image by image. Else the half-widths of
    the two intervals are added in quadrature. The difference is None if either was not measured.
    """
    ours, theirs = measure(result, name), measure(first, name)
    if ours is None or theirs is None:
        return None, False
    change = ours.value - theirs.value
    paired = paired_differences(result, first, () if name == ALL else MEANS).get(name)
    if paired is not None and paired.interval is not None:
        return Measured(change, paired.interval), True
    if ours.interval is None or theirs.interval is None:
        return Measured(change, None), False
    half = math.hypot(*((high - low) / 2 for low, high in (ours.interval, theirs.interval)))
    return Measured(change, (change - half, change + half)), False
