"""Frequency reliance: accuracy on images that keep only a part of their spectrum."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from freqfast.analysis.definition import Analysis, Fractions, ImageResult, Table, check_shapes
from freqfast.analysis.filtering import accuracy, filtered, measure_jobs
from freqfast.models.classifier import Classifier
from freqfast.progress import Progress
from freqfast.records import Floats, Fraction
from freqfast.spectral.bands import Bands
from freqfast.spectral.spectrum import MAX_FREQUENCY, radial_frequencies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CUTOFFS_CPP = tuple(round(0.05 * i, 2) for i in range(15))
"""Cut-offs in cycles/pixel: 0, 0.05, ... 0.7; the highest radial frequency is 0.7071."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reliance(ImageResult):
    """Accuracy on images that keep a part of their spectrum, and always their mean.

    Attributes:
        cutoffs: Cut-offs c in cycles/pixel, ``(C,)``, increasing from 0 or more to below sqrt(0.5).
        low: Accuracy where ``rho < c`` is kept, ``(C,)``.
        high: Accuracy where ``rho >= c`` is kept, ``(C,)``.
        band: Accuracy where ``c <= rho < next c`` is kept, ``(C,)``; for the last cut-off, all from it on.
        clean: Accuracy on whole images.

    Examples:
        >>> found = Reliance(cutoffs=[0, 0.3], low=[0.1, 0.2], high=[0.9, 0.3], band=[0.4, 0.3], clean=0.9, images=7)
        >>> found.high
        array([0.9, 0.3])
    """

    analysis: Literal["reliance"] = "reliance"
    cutoffs: Floats
    low: Fractions
    high: Fractions
    band: Fractions
    clean: Fraction

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        _check_cutoffs(self.cutoffs)
        check_shapes(self, self.cutoffs.shape, "low", "high", "band")


def _check_cutoffs(cutoffs: np.ndarray) -> None:
    if cutoffs.ndim != 1 or not len(cutoffs) or not (np.diff(cutoffs, prepend=-1e-9, append=MAX_FREQUENCY) > 0).all():
        raise ValueError(
            f"cut-offs must increase from 0 or more to below sqrt(0.5) = 0.7071 cycles/pixel, got {cutoffs.tolist()}"
        )


def frequency_reliance(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    cutoffs_cpp: Sequence[float] = CUTOFFS_CPP,
    progress: Progress | None = None,
) -> Reliance:
    """Accuracy on low-, high- and band-pass filtered images, by cut-off.

    At cut-off c the low-pass keeps ``rho < c``, the high-pass ``rho >= c``; the band-pass keeps ``c <= rho < next c``,
    the last one keeps all from its cut-off on. Filters are sharp in frequency, and the mean of each channel stays in
    every image, so that the curves show the effect of structure rather than of a changed brightness.

    Args:
        classifier: The model.
        images: uint8 ``(N, H, W, 3)``.
        labels: ``(N,)``.
        cutoffs_cpp: Cut-offs in cycles/pixel, increasing from 0 or more to below sqrt(0.5).
        progress: Called as ``progress(done, total, message)``; by default a bar in a notebook.

    Returns:
        The accuracies by cut-off.

    Raises:
        ValueError: If the cut-offs do not increase or leave this range.

    Examples:
        >>> from freqfast.models import Network, Preprocessing
        >>> from torch import nn
        >>> mean_colour = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # sees the lowest frequency only
        >>> network = Network("mine", mean_colour, Preprocessing((0.5,) * 3, (0.25,) * 3))
        >>> classifier = Classifier(network, precision="float32")
        >>> images = 200 * np.eye(3, dtype=np.uint8)[:, None, None, :].repeat(4, 1).repeat(4, 2)  # red, green, blue
        >>> frequency_reliance(classifier, images, np.arange(3), (0.0, 0.3)).high
        array([1., 1.])
    """
    cutoffs = np.asarray(cutoffs_cpp, dtype=float)
    _check_cutoffs(cutoffs)
    rho = radial_frequencies(*images.shape[1:3], half=True)
    limits = cutoffs - 1e-12  # what lies at a cut-off is above it, also where rounded below it
    masks = [
        *(rho < c for c in limits),
        *(rho >= c for c in limits),
        *((rho >= c) & (rho < upper) for c, upper in zip(limits, (*limits[1:], np.inf), strict=True)),
    ]

    def measure(mask: np.ndarray) -> float:
        return accuracy(classifier, images, labels, lambda batch, _: filtered(batch, mask))

    low, high, band = np.split(measure_jobs(measure, masks, progress, "frequency reliance"), 3)
    return Reliance(
        cutoffs=cutoffs, low=low, high=high, band=band, clean=accuracy(classifier, images, labels), images=len(images)
    )


def draw_reliance(found: Mapping[str, Reliance], bands: Bands | None = None) -> "Figure":
    """Accuracy by cut-off under a low-pass, a high-pass and a band-pass, one above the other."""
    from freqfast.analysis.colours import run_style
    from freqfast.analysis.panels import COLUMN, dress, panels, runs_below, shade_bands

    figure, grid = panels(3, 1, COLUMN, 5.6, sharex=True, sharey=True)
    views = {
        "low": "Low-pass: frequencies below the cut-off kept",
        "high": "High-pass: frequencies from the cut-off on kept",
        "band": "Band-pass: one step kept, drawn at its middle",
    }
    for axes, (name, title) in zip(grid[:, 0], views.items(), strict=True):
        shade_bands(axes, Bands.of(bands), names=name == "low")
        for i, (label, one) in enumerate(found.items()):
            x = one.cutoffs if name != "band" else (one.cutoffs + np.append(one.cutoffs[1:], MAX_FREQUENCY)) / 2
            style = run_style(i)
            axes.axhline(100 * one.clean, color=style["color"], linewidth=0.6)
            axes.plot(x, 100 * getattr(one, name), **style, markersize=3, linewidth=1.2, label=label)
        dress(axes, title, "", "accuracy (%)")
        axes.set_ylim(0, 100)
    grid[-1, 0].set_xlabel("radial frequency (cycles/pixel)", fontsize=8)
    runs_below(figure, list(found))
    return figure


def _describe(label: str, found: Reliance) -> str:
    half = int(np.argmin(np.abs(found.cutoffs - 0.25)))
    return (
        f"{label}: below {found.cutoffs[half]:.2f} cycles/pixel {100 * found.low[half]:.1f} %, above "
        f"{100 * found.high[half]:.1f} %, whole {100 * found.clean:.1f} %"
    )


def _summarise(found: Reliance) -> list[str | Table]:
    by_cutoff = zip(found.cutoffs, found.low, found.high, found.band, strict=True)
    table = Table(
        "accuracy in percent by cut-off in cycles/pixel",
        ("cut-off", "low-pass", "high-pass", "band-pass"),
        [(f"{cutoff:.2f}", *(f"{100 * value:.2f}" for value in values)) for cutoff, *values in by_cutoff],
    )
    return [table, f"on whole images: {100 * found.clean:.2f} %"]


RELIANCE = Analysis(
    run=frequency_reliance,
    result=Reliance,
    figure=draw_reliance,
    title="Frequency reliance",
    caption="Accuracy on images that keep a part of their spectrum, and always their mean; thin: on whole images.",
    describe=_describe,
    summarise=_summarise,
    precision="float32",
)
