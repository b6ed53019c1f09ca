"""Two models on the same images: paired tests, and corruption errors relative to the baseline's."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np

from freqfast.corruptions import FAMILIES, HEADLINES, MAIN, MEANS, SEVERITIES
from freqfast.records import as_html
from freqfast.robustness.cells import CLEAN, Key, by_name, key_text
from freqfast.robustness.metrics import corruption_error, mcnemar, mean_interval
from freqfast.robustness.outcomes import Outcomes
from freqfast.robustness.result import CorruptionResult


@dataclass(frozen=True)
class PairedCell:
    """The outcomes of two models on the images of one cell.

    Attributes:
        difference: The model's accuracy minus the baseline's.
        only_model: Number of images that only the model classified correctly.
        only_baseline: Number of images that only the baseline classified correctly.
        p: Two-sided p-value of the exact McNemar test.
    """

    difference: float
    only_model: int
    only_baseline: int
    p: float


@dataclass(frozen=True)
class Difference:
    """An accuracy, or a mean of accuracies, minus the baseline's on the same images.

    Attributes:
        value: The difference.
        interval: Its 95 % interval, with the image as the unit; None for a single image.
    """

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Comparison:
    """A comparison of a model with a baseline on the same images; see `compare`.

    Attributes:
        baseline: Name of the baseline.
        cells: The cells that both have, including `CLEAN` if its images were the same.
        differences: Differences by name: ``clean`` and those means of `HEADLINES` that were measured in full for both;
            and ``corrupted``, over all cells of corrupted images that both have, unless these are just the cells of one
            of the means.
        by_corruption: Differences by corruption, over the severities that both have.
        families: Differences by family, over those of its main corruptions that both have in full; the name says which
            others it is without.
        images: Number of images in each cell of corrupted images.
        mce: Mean corruption error over the 15 main corruptions, 1 being the baseline's (Hendrycks and Dietterich, 2019,
            arXiv:1903.12261); None unless both were measured in full.
        relative_mce: The same for the errors beyond the clean error, however many clean images were measured; None also
            without clean accuracies, or if a corruption costs the baseline nothing.
        other_clean: Whether the two clean accuracies come from different images, or from the same images in another
            order.

    Examples:
        >>> comparison = Comparison("baseline", {}, {"clean": Difference(0.5, None)}, None, None, other_clean=False)
        >>> comparison.to_dict()["differences"]
        {'clean': {'difference': 0.5, 'interval': None}}
    """

    baseline: str
    cells: Mapping[Key, PairedCell] = field(repr=False)
    differences: Mapping[str, Difference]
    mce: float | None
    relative_mce: float | None
    other_clean: bool
    by_corruption: Mapping[str, Difference] = field(default_factory=dict, repr=False)
    images: int = 0
    families: Mapping[str, Difference] = field(default_factory=dict, repr=False)

    def _repr_html_(self) -> str:
        rows = [("", "difference (points)", "95 % interval")]
        for name, found in self.differences.items():
            span = "" if found.interval is None else " to ".join(f"{100 * end:+.2f}" for end in found.interval)
            rows.append((name, f"{100 * found.value:+.2f}", span))
        return as_html(f"Against {self.baseline}", rows)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values: cells by corruption and severity, and ``clean`` separately."""
        cells = {key: asdict(cell) for key, cell in self.cells.items()}
        clean = cells.pop(CLEAN, None)
        values: dict[str, Any] = {
            "baseline": self.baseline,
            "mce": self.mce,
            "relative_mce": self.relative_mce,
            "differences": _plain(self.differences),
            "by_corruption": _plain(self.by_corruption),
            "families": _plain(self.families),
            "images": self.images,
            "clean": clean,
            "other_clean": self.other_clean,
            "cells": by_name(cells),
        }
        return json.loads(json.dumps(values))  # type: ignore[no-any-return]


def _plain(differences: Mapping[str, Difference]) -> dict[str, Any]:
    return {name: {"difference": found.value, "interval": found.interval} for name, found in differences.items()}


def compare(result: CorruptionResult, baseline: CorruptionResult, name: str = "the baseline") -> Comparison:
    """Compare a model with a baseline on the cells that both were measured on.

    The uncorrupted images may differ: a run is measured on all test images clean, and on fewer under corruption.

    Args:
        result: Results of the model.
        baseline: Results of the baseline.
        name: What to call the baseline.

    Raises:
        ValueError: If the corrupted images of a cell were not the same, or no cell of corrupted images is in both.

    Examples:
        >>> confidence, labels = np.array([0.9, 0.6, 0.8]), np.array([1, 0, 0])
        >>> ours, theirs = (Outcomes.measure(np.array(found), confidence, labels) for found in ([1, 0, 0], [0, 0, 1]))
        >>> found = compare(CorruptionResult({("fog", 1): ours}), CorruptionResult({("fog", 1): theirs}))
        >>> found.cells["fog", 1].only_model, found.cells["fog", 1].p
        (2, 0.5)
    """
    common = [key for key in result.outcomes if key in baseline.outcomes]
    if not set(common) - {CLEAN}:
        raise ValueError(f"{name} was measured on none of these corruptions, so there is nothing to compare")
    same = _same_cells(result, baseline)
    for key in common:
        if key != CLEAN and key not in same:
            ours, theirs = result.outcomes[key], baseline.outcomes[key]
            raise ValueError(
                f"{name} was measured on other images of {key_text(key)} ({theirs.images}, checksum "
                f"{theirs.images_crc32:08x}) than the model ({ours.images}, checksum {ours.images_crc32:08x}); "
                "evaluate both on the same source, seed and limit"
            )
    corrupted = [key for key in same if key != CLEAN]
    mce = relative_mce = None
    if result.is_full(MAIN) and baseline.is_full(MAIN):
        errors = [(_errors(result, name), _errors(baseline, name)) for name in MAIN]
        mce = _mean_if_known([corruption_error(mine, others) for mine, others in errors])
        if CLEAN in common:
            clean, others_clean = _error(result, CLEAN), _error(baseline, CLEAN)
            relative = [corruption_error(mine, others, clean, others_clean) for mine, others in errors]
            relative_mce = _mean_if_known(relative)
    return Comparison(
        name,
        {key: _paired(result.outcomes[key], baseline.outcomes[key]) for key in same},
        paired_differences(result, baseline),
        mce,
        relative_mce,
        CLEAN in common and CLEAN not in same,
        _over(
            result,
            baseline,
            {n: [(n, severity) for severity in by] for n, by in by_name(dict.fromkeys(corrupted)).items()},
        ),
        result.images,
        _over(result, baseline, _families(same)),
    )


def paired_differences(
    result: CorruptionResult, baseline: CorruptionResult, names: Iterable[str] = HEADLINES
) -> dict[str, Difference]:
    """The differences of a `Comparison`: means over the cells that both results have on the same images."""
    same = _same_cells(result, baseline)
    corrupted = [key for key in same if key != CLEAN]
    means: dict[str, list[Key]] = {"clean": [CLEAN]}
    means |= {name: list(product(MEANS[name], SEVERITIES)) for name in names}
    means = {name: keys for name, keys in means.items() if set(keys) <= set(same)}
    if not any(set(keys) == set(corrupted) for keys in means.values()):
        means["corrupted"] = corrupted
    return _over(result, baseline, means)


def _families(keys: Collection[Key]) -> dict[str, list[Key]]:
    """The cells of each family's main corruptions, as far as they are there at every severity."""
    found = {}
    for family in FAMILIES:
        names = [name for name in MEANS[family] if all((name, severity) in keys for severity in SEVERITIES)]
        if names:
            without = ", ".join(name.replace("_", " ") for name in MEANS[family] if name not in names)
            found[f"{family} without {without}" if without else family] = list(product(names, SEVERITIES))
    return found


def _over(
    result: CorruptionResult, baseline: CorruptionResult, means: Mapping[str, Sequence[Key]]
) -> dict[str, Difference]:
    """Differences of means over cells, each of which has equally many images in all of its cells."""
    found = {}
    for name, keys in means.items():
        if len({result.outcomes[key].images for key in keys}) == 1:
            ours, theirs = (np.sum([each.outcomes[key].correct for key in keys], axis=0) for each in (result, baseline))
            change = (ours - theirs) / len(keys)
            found[name] = Difference(float(change.mean()), mean_interval(change))
    return found


def _same_cells(result: CorruptionResult, baseline: CorruptionResult) -> list[Key]:
    """What both were measured on, by the number and the checksum of its images."""
    pairs = ((key, ours, baseline.outcomes.get(key)) for key, ours in result.outcomes.items())
    return [key for key, a, b in pairs if b and (a.images, a.images_crc32) == (b.images, b.images_crc32)]


def _paired(ours: Outcomes, theirs: Outcomes) -> PairedCell:
    only_model, only_baseline, p = mcnemar(ours.correct, theirs.correct)
    return PairedCell((ours.right - theirs.right) / ours.images, only_model, only_baseline, p)


def _mean_if_known(errors: Sequence[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return fmean(known) if len(known) == len(errors) else None


def _errors(result: CorruptionResult, name: str) -> list[Fraction]:
    return [_error(result, (name, severity)) for severity in SEVERITIES]


def _error(result: CorruptionResult, key: Key) -> Fraction:
    outcomes = result.outcomes[key]
    return Fraction(outcomes.images - outcomes.right, outcomes.images)
