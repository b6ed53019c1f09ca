"""The report of a finished run: accuracies, frequency proportions and times, as ``report.json`` holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from freqfast.records import Amount, Fraction

Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Proportions:
    """The frequency proportion of the recorded layer.

    Attributes:
        before: Share of the filters in each band before training.
        after: The same after training.
        target: What training enforced; None if it enforced nothing.
    """

    before: tuple[Fraction, ...]
    after: tuple[Fraction, ...]
    target: tuple[Fraction, ...] | None = None


@dataclass(frozen=True)
class Seconds:
    """How long a run took, in seconds."""

    fit: Amount
    evaluate: Amount


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What a run found. Accuracies are fractions.

    Attributes:
        version: Version of freqfast.
        recipe: Name of the recipe.
        seed: Its seed.
        epochs: Its epochs.
        precision: "bfloat16" or "float32".
        clean: Accuracy on uncorrupted images.
        corrupted: Mean accuracy over all corruptions that were measured.
        mean15: Mean over the 15 main corruptions; None if one was not measured.
        mean19: Mean over the 19 corruptions of CIFAR-10-C; None if one was not measured.
        mean_bar: Mean over the 10 corruptions of CIFAR-10-C-bar; None if one was not measured.
        families: Mean over the main corruptions of each family.
        accuracy: Accuracy by corruption and severity.
        images: Number of images in each of these cells.
        missing: Corruptions of CIFAR-10-C that were not measured.
        intervals: 95 % intervals of ``clean``, the means and ``accuracy``.
        ece: Expected calibration errors: ``clean``, ``corrupted`` and ``cells``.
        bands: Names of the recorded layer's bands.
        proportion: Its frequency proportion.
        seconds: How long the run took.
        bar: Accuracy by corruption and severity of CIFAR-10-C-bar, if a study measured it.
        weights_sha256: Hash of the model's weights, see `freqfast.models.classifier.hash_weights`; None in files of
            version 0.1.

    Raises:
        ValueError: If a value has the wrong type or is out of range, or a proportion does not fit the bands.
    """

    schema: Literal[1] = 1
    version: str = "unknown"
    recipe: str
    seed: Count
    epochs: Count
    precision: str
    clean: Fraction | None = None
    corrupted: Fraction | None = None
    mean15: Fraction | None = None
    mean19: Fraction | None = None
    mean_bar: Fraction | None = None
    families: Mapping[str, Fraction] = field(default_factory=dict)
    accuracy: Mapping[str, Mapping[int, Fraction]]
    images: Count
    missing: tuple[str, ...] = ()
    intervals: Mapping[str, Any] | None = None
    ece: Mapping[str, Any] | None = None
    bands: tuple[str, ...]
    proportion: Proportions
    seconds: Seconds
    bar: Mapping[str, Mapping[int, Fraction]] | None = None
    weights_sha256: str | None = None

    def __post_init__(self) -> None:
        """Check the proportions against the bands."""
        proportion = self.proportion
        for name in ("before", "after", "target"):
            shares = getattr(proportion, name)
            if shares is not None and len(shares) != len(self.bands):
                raise ValueError(f"proportion.{name} must have a share for each of the {len(self.bands)} bands")
