"""The accuracies of runs with their intervals, and the differences from the first run."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from freqfast.corruptions import C_BAR, FAMILIES, IMAGENET_C_BAR, MEANS
from freqfast.robustness import CLEAN, CorruptionResult
from freqfast.robustness.comparison import paired_differences

MEASURES = ("clean", *(name for name in MEANS if not name.startswith("mean_bar")))
"""Names of the accuracies that are compared: ``clean``, and all means except those of C-bar."""


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


def measure(result: CorruptionResult, name: str) -> Measured | None:
    """``clean`` or one of `MEANS` with its 95 % interval; None if it was not measured.

    For clean images it is Wilson's interval; for a mean, its unit is the image.
    """
    if name == "clean":
        clean = result.outcomes.get(CLEAN)
        return None if clean is None else Measured(clean.accuracy, clean.interval)
    value = result.mean(MEANS[name])
    return None if value is None else Measured(value, result.interval(MEANS[name]))


def difference(result: CorruptionResult, first: CorruptionResult, name: str) -> tuple[Measured | None, bool]:
    """A run's accuracy minus the first run's, and whether the interval is paired.

    On the same images it is paired: the interval of the mean of the differences image by image. Else the half-widths of
    the two intervals are added in quadrature. The difference is None if either was not measured.
    """
    ours, theirs = measure(result, name), measure(first, name)
    if ours is None or theirs is None:
        return None, False
    change = ours.value - theirs.value
    paired = paired_differences(result, first, MEANS).get(name)
    if paired is not None and paired.interval is not None:
        return Measured(change, paired.interval), True
    if ours.interval is None or theirs.interval is None:
        return Measured(change, None), False
    half = math.hypot(*((high - low) / 2 for low, high in (ours.interval, theirs.interval)))
    return Measured(change, (change - half, change + half)), False
