"""The result of an evaluation: outcomes of every cell, the figures computed from them, and their file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, GetPydanticSchema, PlainSerializer

from freqfast import __version__
from freqfast.corruptions import C_BAR, CORRUPTIONS, FAMILIES, HEADLINES, MAIN, MEANS, SEVERITIES
from freqfast.files import write_text
from freqfast.records import as_html, read_record, record_to_json
from freqfast.robustness.cells import CLEAN, Key, by_name, check_key, key_text
from freqfast.robustness.metrics import mean_interval
from freqfast.robustness.outcomes import Outcomes
from freqfast.robustness.provenance import Provenance

MAX_BYTES = 2**26
"""The largest result file that is read: the outcomes of some five million images in 76 cells."""

_Nested = dict[str, dict[int, Outcomes]]


def _by_key(nested: _Nested) -> dict[Key, Outcomes]:
    return {check_key((name, severity)): cell for name, cells in nested.items() for severity, cell in cells.items()}


_CellOutcomes = Annotated[
    Mapping[Key, Outcomes],  # in a file by corruption and then by severity
    GetPydanticSchema(lambda _, handler: handler(Annotated[_Nested, AfterValidator(_by_key)])),
    PlainSerializer(by_name, return_type=_Nested),
]


@dataclass(frozen=True, repr=False)
class CorruptionResult:
    """Outcomes of one model by cell, and figures computed from them; accuracies are fractions.

    Its file is JSON: ``{"schema", "freqfast": version, "provenance", "outcomes": {corruption: {severity: {"images",
    "correct": base64 of packed bits, "bins", "images_crc32"}}}}``; see `Provenance` and `Outcomes`.

    Attributes:
        outcomes: By corruption and severity; those on uncorrupted images under `CLEAN`.
        provenance: Which model was evaluated on which images.
        freqfast: The version of freqfast that made it.

    Examples:
        >>> right = Outcomes.measure(np.array([0, 1]), np.array([0.9, 0.6]), labels=np.array([0, 0]))
        >>> CorruptionResult({("fog", 1): right}).accuracy
        {'fog': {1: 0.5}}
    """

    schema: Literal["freqfast-evaluation-1"] = field(default="freqfast-evaluation-1", kw_only=True, repr=False)
    freqfast: str = field(default=__version__, kw_only=True, repr=False)
    provenance: Provenance | None = field(default=None, kw_only=True)
    outcomes: _CellOutcomes

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {100 * value:.2f} %" for name, value, _ in self._measures())
        return f"CorruptionResult({told or 'nothing measured'}; {len(self.outcomes)} cells of {self.images:,} images)"

    def _repr_html_(self) -> str:
        rows = [("", "accuracy (%)", "95 % interval")]
        for name, value, interval in self._measures():
            span = "" if interval is None else " to ".join(f"{100 * end:.2f}" for end in interval)
            rows.append((name, f"{100 * value:.2f}", span))
        rows += [(name, f"{100 * value:.2f}", "") for name, value in self.by_corruption.items()]
        of = self.provenance
        return as_html(f"{of.model} on {of.source}" if of else "Accuracy", f"{self.images:,} images a cell", rows)

    def _measures(self) -> Iterator[tuple[str, float, tuple[float, float] | None]]:
        """Accuracy on clean images and over corruptions as far as they were measured, with their intervals."""
        if (clean := self.outcomes.get(CLEAN)) is not None:
            yield "clean", clean.accuracy, clean.interval
        means = {name: self.mean(MEANS[name]) for name in HEADLINES}
        for name, value in means.items():
            if value is not None:
                yield name, value, self.interval(MEANS[name])
        if self.accuracy and set(means.values()) == {None}:
            yield "mean of those measured", fmean(self.by_corruption.values()), None

    @property
    def clean(self) -> float | None:
        """Accuracy on uncorrupted images, where it was measured."""
        return self.outcomes[CLEAN].accuracy if CLEAN in self.outcomes else None

    @cached_property
    def accuracy(self) -> dict[str, dict[int, float]]:
        """Accuracy by corruption and severity."""
        return by_name({key: cell.accuracy for key, cell in self._corrupted.items()})

    @cached_property
    def by_corruption(self) -> dict[str, float]:
        """Mean accuracy under each corruption, over the severities that were measured."""
        return {name: fmean(by.values()) for name, by in self.accuracy.items()}

    @property
    def images(self) -> int:
        """Number of images in each cell of corrupted images; of uncorrupted images, if there are no others."""
        return next((cell.images for cell in (self._corrupted or self.outcomes).values()), 0)

    def mean(self, corruptions: Sequence[str] | None = None) -> float | None:
        """Mean accuracy over corruptions and severities; None if it was not measured.

        Args:
            corruptions: Names of corruptions, each of which must have been measured in full; by default all corruptions
                and severities that were measured.
        """
        names = tuple(self.accuracy) if corruptions is None else corruptions
        if not names or (corruptions is not None and not self.is_full(names)):
            return None
        return fmean(self.by_corruption[name] for name in names)

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
        return self.mean(C_BAR)

    @property
    def families(self) -> dict[str, float]:
        """Mean over the main corruptions of each family, for the families that were measured in full."""
        means = {family: self.mean(MEANS[family]) for family in FAMILIES}
        return {family: value for family, value in means.items() if value is not None}

    @property
    def missing(self) -> list[str]:
        """Corruptions of the published archive that were not measured."""
        return [name for name in CORRUPTIONS if name not in self.accuracy]

    def interval(self, corruptions: Sequence[str]) -> tuple[float, float] | None:
        """95 % interval of a mean over corruptions, within [0, 1], with the image as its unit.

        See `freqfast.robustness.metrics.mean_interval`; None if `image_scores` is None or there is a single image.
        """
        scores = self.image_scores(corruptions)
        interval = None if scores is None else mean_interval(scores)
        return None if interval is None else (max(0.0, interval[0]), min(1.0, interval[1]))

    def image_scores(self, corruptions: Sequence[str]) -> np.ndarray | None:
        """Each image's mean correctness over corruptions and severities.

        Returns:
            ``(N,)``; None unless all corruptions were measured in full, on equally many images.
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
        return fmean(errors) if errors else None

    def check_origin(self, where: str | Path, weights_sha256: str, accuracy: Mapping[str, Mapping[int, float]]) -> None:
        """Refuse an evaluation of another model than the run's, by its weights or, without provenance, accuracies.

        Args:
            where: Name of the evaluation in messages, such as its file.
            weights_sha256: Hash of the model's weights, see `freqfast.models.classifier.hash_weights`.
            accuracy: What the run reports, by corruption and severity.
        """
        of = self.provenance
        if (of.weights_sha256 != weights_sha256) if of else (self.accuracy != accuracy):
            raise ValueError(f"{where} is of another model than the run's; make it again or remove it")

    def is_reported(self, clean: float | None, accuracy: Mapping[str, Mapping[int, float]]) -> bool:
        """Whether a run's report has exactly these accuracies, rather than those on other images."""
        return (self.clean, self.accuracy) == (clean, accuracy)

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values.

        ``clean``, ``corrupted`` (mean over all that was measured), the means of `HEADLINES`, ``families``, ``accuracy``
        (by corruption and severity), ``images``, ``missing``; ``intervals`` (95 %) of ``clean``, these means and
        ``accuracy``; ``ece``: ``clean``, ``corrupted`` (mean over the cells) and ``cells``.
        """
        clean = self.outcomes.get(CLEAN)
        figures = {
            "clean": self.clean,
            "corrupted": self.mean(),
            **{name: self.mean(MEANS[name]) for name in HEADLINES},
            "families": self.families,
            "accuracy": self.accuracy,
            "images": self.images,
            "missing": self.missing,
            "intervals": {
                "clean": clean and clean.interval,
                **{name: self.interval(MEANS[name]) for name in HEADLINES},
                "accuracy": by_name({key: cell.interval for key, cell in self._corrupted.items()}),
            },
            "ece": {
                "clean": clean and clean.ece,
                "corrupted": self.mean_ece,
                "cells": by_name({key: cell.ece for key, cell in self._corrupted.items()}),
            },
        }
        values: dict[str, Any] = json.loads(json.dumps(figures))  # text for severities, lists for pairs
        return values

    def save(self, path: str | Path) -> None:
        """Write a file that `load` reads, whole or not at all.

        Raises:
            OSError: If the file cannot be written; a former file of that name stays.
        """
        write_text(path, record_to_json(self) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "CorruptionResult":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is not a result file, or its numbers contradict each other.
        """
        return read_record(path, cls, max_bytes=MAX_BYTES, ignore_unknown=True)

    @classmethod
    def merge(cls, parts: Sequence[tuple[str, "CorruptionResult"]]) -> "CorruptionResult":
        """Put the parts of one evaluation together: the result equals that of the whole, bit for bit.

        Args:
            parts: Results, each with a name for messages, such as its file's.

        Raises:
            ValueError: If the parts are of different models or images, overlap, or miss a cell of the evaluation.
        """
        if not parts:
            raise ValueError("there are no results to merge; name at least one")
        outcomes: dict[Key, Outcomes] = {}
        owner: dict[Key, str] = {}
        first, provenance = parts[0][0], _provenance_of(*parts[0])
        commands = set()
        for name, part in parts:
            own = _provenance_of(name, part)
            commands.add(own.command)
            if differences := provenance.differences(own):
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
        if len(commands) > 1:
            provenance = replace(provenance, command=None)
        return cls({key: outcomes[key] for key in provenance.cells}, provenance=provenance)

    @property
    def _corrupted(self) -> dict[Key, Outcomes]:
        return {key: outcomes for key, outcomes in self.outcomes.items() if key != CLEAN}


def _provenance_of(name: str, part: CorruptionResult) -> Provenance:
    if part.provenance is None:
        raise ValueError(f"{name} does not say what it is an evaluation of, so it cannot be merged")
    return part.provenance


def _some(keys: Sequence[Key]) -> str:
    """The first few cells by name."""
    shown = ", ".join(map(key_text, keys[:3]))
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3} more"
