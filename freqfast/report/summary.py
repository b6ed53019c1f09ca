"""What runs measured, with intervals, and their differences from the first run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from freqfast.corruptions import EXTRA, FAMILIES, MAIN
from freqfast.robustness import CLEAN, CorruptionReport
from freqfast.robustness.metrics import mean_interval, wilson_interval

__all__ = ["MEASURES", "Measured", "RunResult", "difference", "measure"]

MEASURES: dict[str, tuple[str, ...]] = {
    "mean15": MAIN,
    "mean19": (*MAIN, *EXTRA),
    **{family: tuple(name for name in names if name in MAIN) for family, names in FAMILIES.items()},
}
"""The corruptions that each mean is over, by its name; ``clean`` is the measure besides."""

CIFAR10_TEST_IMAGES = 10_000


class Measured(NamedTuple):
    """A fraction, or a difference of two, with its 95 % interval where one can be given."""

    value: float
    low: float | None
    high: float | None

    @property
    def half(self) -> float | None:
        """Half of the interval's width."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class RunResult:
    """What a run measured.

    Attributes:
        report: The content of its ``report.json``.
        environment: The content of its ``environment.json``.
        holdout: Training images held out to evaluate on; 0 where the test images were.
        evaluation: Outcomes image by image, where they are in the run; they come first.
    """

    report: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=dict)
    holdout: int = 0
    evaluation: CorruptionReport | None = None

    def value(self, name: str) -> float | None:
        """A measure's accuracy, None where it was not measured."""
        if self.evaluation is not None:
            known = self.evaluation.clean if name == "clean" else self.evaluation.mean(MEASURES[name])
            if known is not None:
                return known
        found = self.report.get(name, self.report.get("families", {}).get(name))
        return None if found is None else float(found)

    def scores(self, name: str) -> np.ndarray | None:
        """Each image's (mean) correctness ``(N,)``, where it is known."""
        if self.evaluation is None:
            return None
        if name == "clean":
            outcomes = self.evaluation.outcomes.get(CLEAN)
            return None if outcomes is None else outcomes.correct.astype(np.float64)
        return self.evaluation.image_scores(MEASURES[name])

    @property
    def accuracy(self) -> dict[str, dict[int, float]]:
        """Accuracy by corruption and severity."""
        if self.evaluation is not None:
            return self.evaluation.accuracy
        stored = self.report.get("accuracy", {})
        return {name: {int(s): float(a) for s, a in sorted(by.items())} for name, by in stored.items()}

    @property
    def fit_seconds(self) -> float | None:
        """What the training took, where it is known."""
        seconds = (self.report.get("seconds") or {}).get("fit")
        return None if seconds is None else float(seconds)

    @property
    def cell_images(self) -> int:
        """Images of each corruption at each severity."""
        return self.evaluation.images if self.evaluation is not None else int(self.report.get("images", 0))

    def images(self, name: str) -> int:
        """The number of images that a measure is known to be over, at least."""
        if name == "clean":
            if self.holdout:
                return self.holdout
            if dict(self.environment.get("data") or {}).get("name") == "cifar10":
                return CIFAR10_TEST_IMAGES
        return self.cell_images


def measure(result: RunResult, name: str) -> Measured | None:
    """A run's accuracy with its 95 % interval.

    Where outcomes are known image by image, the interval of a mean over corruptions takes each image's own mean as the
    unit. Else it is Wilson's interval of a proportion for as many trials as there are images, which is wider than
    needed for such a mean: its cells show the same images, but do not all succeed or fail together.

    Args:
        result: The run's.
        name: ``clean`` or a name in `MEASURES`.

    Returns:
        None where it was not measured.
    """
    value = result.value(name)
    if value is None:
        return None
    scores = result.scores(name)
    if name == "clean" and scores is not None:
        return Measured(value, *wilson_interval(int(scores.sum()), len(scores)))
    interval = mean_interval(scores) if scores is not None else (result.report.get("intervals") or {}).get(name)
    if interval is not None:
        return Measured(value, float(interval[0]), float(interval[1]))
    trials = result.images(name)
    if trials < 1:
        return Measured(value, None, None)
    return Measured(value, *wilson_interval(round(value * trials), trials))


def difference(result: RunResult, first: RunResult, name: str) -> tuple[Measured | None, bool]:
    """A run's accuracy less the first run's, and whether the interval is a paired one.

    Paired where both runs' outcomes are known on the same images: the interval of the mean of the images' own
    differences. Else the two intervals' half-widths add in quadrature, as if the images were others: too wide for
    runs on the same images.
    """
    ours, theirs = measure(result, name), measure(first, name)
    if ours is None or theirs is None:
        return None, False
    change = ours.value - theirs.value
    if (paired := _paired(result, first, name)) is not None:
        low, high = paired
        return Measured(change, low, high), True
    if ours.half is None or theirs.half is None:
        return Measured(change, None, None), False
    half = math.hypot(ours.half, theirs.half)
    return Measured(change, change - half, change + half), False


def _paired(result: RunResult, first: RunResult, name: str) -> tuple[float, float] | None:
    """Interval of the mean difference image by image; None unless both know the same images."""
    ours, theirs = result.scores(name), first.scores(name)
    if ours is None or theirs is None or len(ours) != len(theirs):
        return None
    keys: Sequence[Any] = [CLEAN]
    if name != "clean":
        keys = [key for key in result.evaluation.outcomes if key[0] in MEASURES[name]]  # type: ignore[union-attr]
    same = all(
        (mine := result.evaluation.outcomes.get(key)) is not None  # type: ignore[union-attr]
        and (other := first.evaluation.outcomes.get(key)) is not None  # type: ignore[union-attr]
        and mine.images_crc32 == other.images_crc32
        for key in keys
    )
    return mean_interval(ours - theirs) if same else None
