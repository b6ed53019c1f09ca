"""Two models on the same images: paired tests, and corruption errors over the baseline's."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from freqfast.corruptions import MAIN, MEANS, SEVERITIES
from freqfast.robustness.keys import CLEAN, Key, key_text
from freqfast.robustness.metrics import corruption_error, mcnemar, mean_interval, relative_corruption_error
from freqfast.robustness.outcomes import Outcomes
from freqfast.robustness.result import CorruptionResult

__all__ = ["Comparison", "Difference", "PairedCell", "compare"]

_MEANS = ("mean15", "mean19", "mean_bar")


@dataclass(frozen=True)
class PairedCell:
    """Two models on the images of one cell.

    Attributes:
        difference: Accuracy less the baseline's.
        only_model: Images that only the model has right.
        only_baseline: Images that only the baseline has right.
        p: Two-sided p-value of the exact McNemar test.
    """

    difference: float
    only_model: int
    only_baseline: int
    p: float


@dataclass(frozen=True)
class Difference:
    """An accuracy, or a mean of accuracies, less the baseline's on the same images.

    Attributes:
        value: The difference.
        interval: Its 95 % interval, with the image as the unit; None of a single image.
    """

    value: float
    interval: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """The difference as JSON values."""
        return {"difference": self.value, "interval": self.interval and list(self.interval)}


@dataclass(frozen=True)
class Comparison:
    """A model beside a baseline on the same images.

    Attributes:
        baseline: What the baseline is called.
        cells: The cells that both have, `CLEAN` among them unless its images were not the same.
        differences: Of what both were measured on in full: ``clean``, ``mean15``, ``mean19``, ``mean_bar``; and
            ``corrupted``, over all cells of corrupted images that both have, where these are not those of one mean.
        mce: Mean corruption error over the 15 main corruptions, 1 being the baseline's (Hendrycks and Dietterich, 2019,
            arXiv:1903.12261); None unless both were measured in full.
        relative_mce: The same of the errors beyond those on the clean images, however many of them were measured; None
            also without clean accuracies, or where a corruption costs the baseline nothing.
        other_clean: Whether the clean accuracies come from other images, or from the same in another order.
    """

    baseline: str
    cells: Mapping[Key, PairedCell]
    differences: Mapping[str, Difference]
    mce: float | None
    relative_mce: float | None
    other_clean: bool

    @property
    def mean15_difference(self) -> float | None:
        """mean15 less the baseline's; None unless both were measured in full."""
        return self.differences["mean15"].value if "mean15" in self.differences else None

    @property
    def mean15_interval(self) -> tuple[float, float] | None:
        """Its 95 % interval."""
        return self.differences["mean15"].interval if "mean15" in self.differences else None

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values; cells by corruption and severity, ``clean`` apart."""
        cells: dict[str, dict[str, Any]] = {}
        for (name, severity), cell in self.cells.items():
            if (name, severity) != CLEAN:
                cells.setdefault(name, {})[str(severity)] = asdict(cell)
        return {
            "baseline": self.baseline,
            "mce": self.mce,
            "relative_mce": self.relative_mce,
            "mean15_difference": self.mean15_difference,
            "mean15_interval": self.mean15_interval and list(self.mean15_interval),
            "differences": {name: found.to_dict() for name, found in self.differences.items()},
            "clean": asdict(self.cells[CLEAN]) if CLEAN in self.cells else None,
            "other_clean": self.other_clean,
            "cells": cells,
        }


def compare(report: CorruptionResult, baseline: CorruptionResult, name: str = "the baseline") -> Comparison:
    """Compare a model with a baseline on the cells that both were measured on.

    The uncorrupted images may be others: a run is measured on all of them clean, and on fewer under corruption.

    Args:
        report: Results of the model.
        baseline: Results of the baseline.
        name: What to call it.

    Raises:
        ValueError: If the corrupted images of a cell were not the same, or no such cell is common.
    """
    common = [key for key in report.outcomes if key in baseline.outcomes]
    if not set(common) - {CLEAN}:
        raise ValueError(f"{name} was measured on none of these corruptions, so there is nothing to compare")
    same = [key for key in common if _images(report.outcomes[key]) == _images(baseline.outcomes[key])]
    for key in common:
        if key not in same and key != CLEAN:
            ours, theirs = report.outcomes[key], baseline.outcomes[key]
            raise ValueError(
                f"{name} was measured on other images of {key_text(key)} ({theirs.images}, checksum "
                f"{theirs.images_crc32:08x}) than the model ({ours.images}, checksum {ours.images_crc32:08x}); "
                "evaluate both on the same source, seed and limit"
            )
    return Comparison(
        name,
        {key: _paired(report.outcomes[key], baseline.outcomes[key]) for key in same},
        _differences(report, baseline, same),
        _mce(report, baseline),
        _relative_mce(report, baseline),
        CLEAN in common and CLEAN not in same,
    )


def _images(outcomes: Outcomes) -> tuple[int, int]:
    return outcomes.images, outcomes.images_crc32


def _differences(report: CorruptionResult, baseline: CorruptionResult, same: Sequence[Key]) -> dict[str, Difference]:
    """Differences over the cells of each mean, as far as all of them are among those of the same images."""
    corrupted = [key for key in same if key != CLEAN]
    means: dict[str, list[Key]] = {"clean": [CLEAN]}
    means |= {name: list(product(MEANS[name], SEVERITIES)) for name in _MEANS}
    means = {name: keys for name, keys in means.items() if set(keys) <= set(same)}
    if not any(set(keys) == set(corrupted) for keys in means.values()):
        means["corrupted"] = corrupted
    found = {}
    for name, keys in means.items():
        if len({report.outcomes[key].images for key in keys}) == 1:
            change = np.sum([_change(report.outcomes[key], baseline.outcomes[key]) for key in keys], axis=0) / len(keys)
            found[name] = Difference(float(change.mean()), mean_interval(change))
    return found


def _change(ours: Outcomes, theirs: Outcomes) -> np.ndarray:
    """What an image's outcome differs by, -1, 0 or 1: ``(N,)``."""
    change: np.ndarray = ours.correct.astype(np.int64) - theirs.correct
    return change


def _paired(ours: Outcomes, theirs: Outcomes) -> PairedCell:
    only_model, only_baseline, p = mcnemar(ours.correct, theirs.correct)
    return PairedCell((ours.right - theirs.right) / ours.images, only_model, only_baseline, p)


def _mce(report: CorruptionResult, baseline: CorruptionResult) -> float | None:
    if not (report.is_full(MAIN) and baseline.is_full(MAIN)):
        return None
    return _mean([corruption_error(_errors(report, name), _errors(baseline, name)) for name in MAIN])


def _relative_mce(report: CorruptionResult, baseline: CorruptionResult) -> float | None:
    if not (report.is_full(MAIN) and baseline.is_full(MAIN)) or report.clean is None or baseline.clean is None:
        return None
    ours, theirs = _error(report, CLEAN), _error(baseline, CLEAN)
    return _mean(
        [relative_corruption_error(_errors(report, name), ours, _errors(baseline, name), theirs) for name in MAIN]
    )


def _errors(report: CorruptionResult, name: str) -> list[Fraction]:
    return [_error(report, (name, severity)) for severity in SEVERITIES]


def _error(report: CorruptionResult, key: Key) -> Fraction:
    outcomes = report.outcomes[key]
    return Fraction(outcomes.images - outcomes.right, outcomes.images)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None
