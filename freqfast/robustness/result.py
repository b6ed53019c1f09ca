"""What an evaluation found: outcomes of every cell, and the figures that follow from them."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from freqfast.corruptions import BAR, CORRUPTIONS, FAMILIES, MAIN, MEANS, SEVERITIES
from freqfast.robustness.keys import CLEAN, Key, key_text
from freqfast.robustness.metrics import mean_interval
from freqfast.robustness.outcomes import Outcomes
from freqfast.robustness.provenance import Provenance
from freqfast.robustness.storage import read_outcomes, write_outcomes

__all__ = ["CorruptionResult"]


@dataclass(frozen=True)
class CorruptionResult:
    """Outcomes of one model by cell, and what follows from them; accuracies are fractions.

    Attributes:
        outcomes: By corruption and severity; those on uncorrupted images under `CLEAN`.
        provenance: What was evaluated on what.
    """

    outcomes: Mapping[Key, Outcomes]
    provenance: Provenance | None = None

    @property
    def clean(self) -> float | None:
        """Accuracy on uncorrupted images, where it was measured."""
        return self.outcomes[CLEAN].accuracy if CLEAN in self.outcomes else None

    @cached_property
    def accuracy(self) -> dict[str, dict[int, float]]:
        """Accuracy by corruption and severity."""
        found: dict[str, dict[int, float]] = {}
        for (name, severity), outcomes in self._corrupted.items():
            found.setdefault(name, {})[severity] = outcomes.accuracy
        return found

    @property
    def images(self) -> int:
        """Number of images in each cell."""
        return next((outcomes.images for outcomes in self._corrupted.values()), 0)

    def mean(self, corruptions: Sequence[str] | None = None) -> float | None:
        """Mean accuracy over corruptions and severities; None unless every one of them was measured in full.

        Args:
            corruptions: Names; by default all that were measured.
        """
        names = tuple(self.accuracy) if corruptions is None else corruptions
        if not names or (corruptions is not None and not self.is_full(names)):
            return None
        return _mean([_mean(self.accuracy[name].values()) for name in names])

    def is_full(self, corruptions: Sequence[str]) -> bool:
        """Whether all of these corruptions were measured at every severity."""
        return all(set(self.accuracy.get(name, ())) == set(SEVERITIES) for name in corruptions)

    @property
    def mean15(self) -> float | None:
        """Mean over the 15 main corruptions, the figure that papers call average robustness."""
        return self.mean(MAIN)

    @property
    def mean19(self) -> float | None:
        """Mean over all 19 corruptions of the published archive."""
        return self.mean(CORRUPTIONS)

    @property
    def mean_bar(self) -> float | None:
        """Mean over the corruptions of CIFAR-10-C-bar (Mintun et al., 2021, arXiv:2102.11273)."""
        return self.mean(BAR)

    @property
    def families(self) -> dict[str, float]:
        """Mean over the main corruptions of each family, for the families that were measured in full."""
        means = {family: self.mean(MEANS[family]) for family in FAMILIES}
        return {family: value for family, value in means.items() if value is not None}

    @property
    def missing(self) -> list[str]:
        """Corruptions of the published archive that were not measured."""
        return [name for name in CORRUPTIONS if name not in self.accuracy]

    @property
    def mean15_interval(self) -> tuple[float, float] | None:
        """95 % interval of mean15, see `interval`."""
        return self.interval(MAIN)

    def interval(self, corruptions: Sequence[str]) -> tuple[float, float] | None:
        """95 % interval of a mean over corruptions, within [0, 1], with the image as its unit.

        See `freqfast.robustness.metrics.mean_interval`; None where `image_scores` are, or of a single image.
        """
        scores = self.image_scores(corruptions)
        if scores is None or (interval := mean_interval(scores)) is None:
            return None
        return max(0.0, interval[0]), min(1.0, interval[1])

    def image_scores(self, corruptions: Sequence[str]) -> np.ndarray | None:
        """Each image's mean correctness over corruptions and severities.

        Returns:
            ``(N,)``; None unless all were measured in full, on equally many images.
        """
        if not corruptions or not self.is_full(corruptions):
            return None
        cells = [self.outcomes[name, severity] for name in corruptions for severity in SEVERITIES]
        if len({cell.images for cell in cells}) > 1:
            return None
        scores: np.ndarray = np.sum([cell.correct for cell in cells], axis=0) / len(cells)
        return scores

    @property
    def mean_ece(self) -> float | None:
        """Expected calibration error, mean over all cells of corrupted images."""
        errors = [outcomes.ece for outcomes in self._corrupted.values()]
        return _mean(errors) if errors else None

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values.

        ``clean``, ``corrupted`` (mean over all that was measured), ``mean15``, ``mean19``, ``mean_bar``, ``families``,
        ``accuracy`` (by corruption and severity), ``images``, ``missing``; ``intervals`` (95 %) of ``clean``,
        ``mean15`` and ``accuracy``; ``ece``: ``clean``, ``corrupted`` (mean over the cells) and ``cells``.
        """
        clean = self.outcomes.get(CLEAN)
        return {
            "clean": self.clean,
            "corrupted": self.mean(),
            "mean15": self.mean15,
            "mean19": self.mean19,
            "mean_bar": self.mean_bar,
            "families": self.families,
            "accuracy": self._by_name("accuracy"),
            "images": self.images,
            "missing": self.missing,
            "intervals": {
                "clean": clean and list(clean.interval),
                "mean15": self.mean15_interval and list(self.mean15_interval),
                "accuracy": self._by_name("interval"),
            },
            "ece": {"clean": clean and clean.ece, "corrupted": self.mean_ece, "cells": self._by_name("ece")},
        }

    def save(self, path: str | Path) -> None:
        """Write the outcomes and the provenance to a JSON file, see `freqfast.robustness.storage`; whole or not at all.

        Raises:
            OSError: If the file cannot be written; a former file of that name stays.
        """
        write_outcomes(path, self.outcomes, self.provenance)

    @classmethod
    def load(cls, path: str | Path) -> "CorruptionResult":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no result file, or its numbers contradict each other.
        """
        return cls(*read_outcomes(path))

    @classmethod
    def merge(cls, parts: Sequence[tuple[str, "CorruptionResult"]]) -> "CorruptionResult":
        """Put the parts of one evaluation together: the result equals that of the whole, bit for bit.

        Args:
            parts: Reports, each with a name for messages, such as its file's.

        Raises:
            ValueError: If the parts are of different models or images, overlap, or miss a cell of the evaluation.
        """
        if not parts:
            raise ValueError("there are no results to merge; name at least one")
        outcomes: dict[Key, Outcomes] = {}
        owner: dict[Key, str] = {}
        first, provenance = next((name, part._require_provenance(name)) for name, part in parts)
        for name, part in parts:
            if differences := provenance.differences(part._require_provenance(name)):
                raise ValueError(
                    f"{first} and {name} are not of one evaluation, they differ in {'; '.join(differences)}"
                )
            if twice := [key for key in part.outcomes if key in owner]:
                raise ValueError(
                    f"{owner[twice[0]]} and {name} both hold {_some(twice)}; name the result of each shard once"
                )
            outcomes |= part.outcomes
            owner |= dict.fromkeys(part.outcomes, name)
        if missing := [key for key in provenance.cells if key not in outcomes]:
            raise ValueError(
                f"the results lack {_some(missing)} of the evaluation's {len(provenance.cells)} cells; name those of "
                "the other shards too"
            )
        return cls({key: outcomes[key] for key in provenance.cells}, provenance=provenance)

    def _require_provenance(self, name: str) -> Provenance:
        if self.provenance is None:
            raise ValueError(f"{name} does not say what it is an evaluation of, so it cannot be merged")
        return self.provenance

    @property
    def _corrupted(self) -> dict[Key, Outcomes]:
        return {key: outcomes for key, outcomes in self.outcomes.items() if key != CLEAN}

    def _by_name(self, attribute: str) -> dict[str, dict[str, Any]]:
        """An attribute of the outcomes by corruption and severity, as JSON values."""
        found: dict[str, dict[str, Any]] = {}
        for (name, severity), outcomes in self._corrupted.items():
            value = getattr(outcomes, attribute)
            found.setdefault(name, {})[str(severity)] = list(value) if isinstance(value, tuple) else value
        return found


def _mean(values: Collection[float]) -> float:
    """The mean, whatever the order: fsum rounds once."""
    return math.fsum(values) / len(values)


def _some(keys: Sequence[Key]) -> str:
    """The first few cells by name."""
    shown = ", ".join(map(key_text, keys[:3]))
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3} more"
