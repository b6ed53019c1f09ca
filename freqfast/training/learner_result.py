"""The result of a Learner's evaluation under corruption."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from freqfast.analysis.panels import NotebookFigure
from freqfast.corruptions import MAIN
from freqfast.records import as_html
from freqfast.robustness import CLEAN, Comparison, CorruptionResult, compare
from freqfast.robustness.cells import Key

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class LearnerResult:
    """A Learner's loss and metrics on its validation set, uncorrupted and under each corruption.

    Attributes:
        metrics: Values by name, ``"loss"`` first, for each corruption and severity; those on uncorrupted images under
            `CLEAN`.
        by_image: Which images were classified correctly, if each has one label; it gives accuracies, means and their
            intervals.

    Examples:
        >>> found = LearnerResult({("clean", 0): {"loss": 0.1}, ("fog", 1): {"loss": 0.4}, ("fog", 5): {"loss": 0.8}})
        >>> found.to_frame()["loss"].loc["fog"].tolist()
        [0.4, 0.8]
        >>> round(found.mean("loss"), 2)
        0.6
    """

    metrics: Mapping[Key, Mapping[str, Any]] = field(repr=False)
    by_image: CorruptionResult | None = field(default=None, kw_only=True)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the loss and the metrics."""
        return tuple(next(iter(self.metrics.values())))

    def mean(self, name: str, corruptions: Sequence[str] | None = None) -> Any:
        """Mean of the loss or of a metric over corruptions and severities.

        Args:
            name: "loss", or the metric's name.
            corruptions: Names of corruptions; by default all that were measured.

        Raises:
            ValueError: If one of the corruptions was not measured, none was measured, or there is no such metric.
        """
        self._check_name(name)
        measured = dict.fromkeys(key[0] for key in self.metrics if key != CLEAN)
        names = list(measured if corruptions is None else corruptions)
        if lacking := [corruption for corruption in names if corruption not in measured]:
            raise ValueError(f"{lacking[0]!r} was not measured; there are {', '.join(measured) or 'no corruptions'}")
        values = [values[name] for key, values in self.metrics.items() if key[0] in names]
        if not values:
            raise ValueError("no corruption was measured or named, so there is no mean")
        return np.mean(values, axis=0).tolist()

    def compare(self, baseline: "LearnerResult", name: str = "the baseline") -> Comparison:
        """Compare image by image with another Learner on the same validation set; see `freqfast.robustness.compare`.

        Args:
            baseline: The other Learner's result.
            name: What to call the other Learner.

        Raises:
            ValueError: If the images were not the same, or have more than one label each.
        """
        if self.by_image is None or baseline.by_image is None:
            what = "images without one label and a logit for each class"
            raise ValueError(f"{what} are not judged; compare the metrics of to_frame()")
        return compare(self.by_image, baseline.by_image, name)

    def to_frame(self) -> "pandas.DataFrame":
        """The loss and the metrics as a table, indexed by corruption and severity."""
        import pandas as pd

        index = pd.MultiIndex.from_tuples(self.metrics, names=("corruption", "severity"))
        return pd.DataFrame(list(self.metrics.values()), index=index)

    def plot(self, name: str | None = None) -> NotebookFigure:
        """Draw a metric by corruption and severity.

        Args:
            name: "loss", or the metric's name; by default the first metric.

        Raises:
            ValueError: If no corruption was measured, there is no such metric, or it gives several numbers.
        """
        name = self.names[min(1, len(self.names) - 1)] if name is None else name
        self._check_name(name)
        if self.metrics.keys() == {CLEAN}:
            raise ValueError("no corruption was measured, so there is nothing to draw")
        if np.ndim(self.metrics[CLEAN][name]):
            raise ValueError(f"{name} gives several numbers, and a figure shows one; to_frame() has them")
        table = self.to_frame()[name].drop(CLEAN[0], level=0).unstack()
        table = table.reindex(list(dict.fromkeys(key[0] for key in self.metrics if key != CLEAN)))
        figure = NotebookFigure(figsize=(6, 1 + 0.3 * len(table)), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(table.to_numpy(float), aspect="auto", cmap="viridis")
        axes.set_xticks(range(table.shape[1]), table.columns)
        axes.set_yticks(range(len(table)), [label.replace("_", " ") for label in table.index])
        axes.set_xlabel("severity")
        axes.set_title(f"{name}; uncorrupted {self.metrics[CLEAN][name]:.4g}")
        figure.colorbar(image, label=name)
        return figure

    def _check_name(self, name: str) -> None:
        if name not in self.names:
            raise ValueError(f"{name!r} was not measured; there are {', '.join(self.names)}")

    def _repr_html_(self) -> str:
        """The means as a table, for notebooks."""
        rows = {"uncorrupted": self.metrics[CLEAN]}
        corrupted = {key[0] for key in self.metrics if key != CLEAN}
        if corrupted:
            rows[f"mean over {len(corrupted)} corruptions"] = {name: self.mean(name) for name in self.names}
        if set(MAIN) < corrupted:
            rows["mean over the 15 main corruptions"] = {name: self.mean(name, MAIN) for name in self.names}
        table = [(label, *(_short(values[name]) for name in self.names)) for label, values in rows.items()]
        return as_html("Loss and metrics", [("", *self.names), *table])


def _short(value: Any) -> str:
    """A metric's value, which may be an array, such as one number for each class."""
    return np.array2string(np.asarray(value), formatter={"all": "{:.4g}".format})
