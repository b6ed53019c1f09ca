"""A finished run of a study."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from freqfast.records import Fraction, plain
from freqfast.runs.environment import Environment
from freqfast.runs.recipe import Recipe
from freqfast.runs.report import RunReport
from freqfast.study.definition import PlannedRun

# Of a report: what two runs of the same recipe may differ in, and what follows from how much was measured.
_NOT_COMPARED = ("recipe", "version", "seconds", "corrupted", "missing")


def _as_recipe(value: Any) -> Recipe:
    return value if isinstance(value, Recipe) else Recipe.from_values(value)


@dataclass(frozen=True)
class ResultRow(PlannedRun):
    """A finished run of a study with its results.

    Attributes:
        arm: Name of its arm.
        recipe: The recipe of the run.
        report: The run's report, without intervals and calibration; ``bar`` in it is the accuracy on CIFAR-10-C-bar by
            corruption and severity, if that was measured.
        environment: Where it ran, without paths and the command.
        groups: For each measure, the accuracy by groups of images (`freqfast.study.statistics.image_groups`), from
            which the sampling error of the images is estimated; files of version 0.1 have none.

    Examples:
        >>> from freqfast.study import read_results
        >>> row = read_results("recipes/studies/longer.results.json")[0]
        >>> row.name, round(row.measures()["mean15"], 3)
        ('baseline/seed-0', 0.68)
    """

    recipe: Annotated[Recipe, PlainValidator(_as_recipe), PlainSerializer(plain)]  # in a file of any version
    report: RunReport
    environment: Environment
    groups: Mapping[str, tuple[Fraction, ...]] = field(default_factory=dict)

    @property
    def data(self) -> str:
        """SHA-256 of the images that it was trained and evaluated on, in their order."""
        return self.environment.data.sha256

    @property
    def hardware(self) -> tuple[Any, ...]:
        """The hardware that seconds depend on: runs can be compared in time only if this is the same."""
        return tuple(getattr(self.environment, key) for key in ("processor", "platform", "gpu", "device", "threads"))

    @property
    def seconds_per_epoch(self) -> float:
        """Seconds of training per epoch."""
        return self.report.seconds.fit / self.recipe.epochs

    def measures(self) -> dict[str, float]:
        """The accuracies that were measured, fractions by name: clean, the means, the families of corruptions."""
        from freqfast.corruptions import MEANS

        report = self.report
        found = {"clean": report.clean, "mean15": report.mean15, "mean7": self._mean(MEANS["mean7"])}
        found |= {"mean19": report.mean19, "mean_bar": report.mean_bar, **report.families}
        return {name: value for name, value in found.items() if value is not None}

    def _mean(self, corruptions: Sequence[str]) -> float | None:
        """Mean accuracy over corruptions; None if one was not measured."""
        cells = [value for name in corruptions for value in self.report.accuracy.get(name, {}).values()]  # 5 severities
        return math.fsum(cells) / len(cells) if len(cells) == 5 * len(corruptions) else None

    def same_numbers(self, other: "ResultRow") -> bool:
        """Whether another row reports the same values, except seconds, for everything that both measured."""
        ours, theirs = ({k: v for k, v in plain(row.report).items() if k not in _NOT_COMPARED} for row in (self, other))
        return _agree(ours, theirs)


def _agree(a: object, b: object) -> bool:
    """Whether two values of reports are equal, tables in what both have; None is not measured."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return all(_agree(a[key], b[key]) for key in a.keys() & b.keys())
    return a is None or b is None or a == b
