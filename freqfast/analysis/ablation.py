"""Band ablation: accuracy without the first layer's filters of a band, or without a band in all its responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from freqfast.analysis.definition import Analysis, Fractions, ImageResult, Layer, Seed, Table, check_shapes
from freqfast.analysis.filtering import accuracy, filtered, measure_jobs
from freqfast.models.classifier import Classifier
from freqfast.progress import Progress
from freqfast.records import Fraction, Integers, check_value
from freqfast.spectral.bands import Bands, BandsLike, band_shares, classify_filters
from freqfast.spectral.modulation import effective_weight
from freqfast.spectral.spectrum import radial_frequencies
from freqfast.spectral.surgery import find_conv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONTROLS = 5
"""How many random choices of filters the control averages."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Ablation(ImageResult):
    """Accuracy without a band, by band.

    Attributes:
        bands: The bands.
        layer: Name of the convolution whose filters were removed.
        counts: Filters of each band, ``(B,)``.
        filters: Accuracy without the band's filters, ``(B,)``.
        control: Accuracy without equally many random filters, mean of several draws, ``(B,)``.
        response: Accuracy with the band removed from the images, and so from a first layer's responses, ``(B,)``.
        clean: Accuracy of the whole model.
        seed: Seed of the random choices.

    Examples:
        >>> found = Ablation(
        ...     bands=Bands.equal_area(2), layer="conv1", counts=[3, 1], filters=[0.1, 0.8], control=[0.2, 0.7],
        ...     response=[0.3, 0.6], clean=0.9, images=7,
        ... )
        >>> found.filters - found.control
        array([-0.1,  0.1])
    """

    analysis: Literal["ablation"] = "ablation"
    bands: Bands
    layer: str
    counts: Integers
    filters: Fractions
    control: Fractions
    response: Fractions
    clean: Fraction
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        check_shapes(self, (len(self.bands),), "counts", "filters", "control", "response")
        if self.counts.min() < 0:
            raise ValueError(f"counts must not be negative, got {self.counts.tolist()}")


def without_filters(
    classifier: Classifier, filters: Sequence[int] | np.ndarray, layer: str | None = None
) -> Classifier:
    """A copy of a classifier in which the filters of these indices, or of a mask, and their biases are zero."""

    @torch.no_grad()
    def silence(model: nn.Module) -> None:
        _, conv = find_conv(model, layer)
        chosen = np.zeros(conv.out_channels, bool)
        chosen[list(filters)] = True
        rows = torch.from_numpy(chosen).to(conv.weight.device)
        conv.weight[rows] = 0
        if conv.bias is not None:
            conv.bias[rows] = 0

    return classifier.edited(silence)


def ablate_bands(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    bands: Annotated[BandsLike, Field(ge=1, le=16, description="Number of bands of equal area.")] = 2,
    layer: Layer = None,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> Ablation:
    """Accuracy without each band's filters, and without each band in the response of every filter.

    Two removals for each band:

    - its *filters*: those that belong to the band respond with zero everywhere. As bands differ in how many filters
      they have, a control removes equally many random filters; it is the mean over five draws.
    - its *response*: the band's frequencies, except the mean, are removed from the images, whatever the layer. A first
      convolution is linear in the images, so this equals removing them from the response of every filter, except near
      the border. A `SpectrumEqualizer` equalizes the image after the removal, which raises what is left next to the
      band.

    Nothing is trained or recalibrated afterwards: BatchNorm keeps the statistics of the whole model.

    Args:
        classifier: The model.
        images: uint8 ``(N, H, W, 3)``.
        labels: ``(N,)``.
        bands: The bands; two of equal area by default. See `Bands.of` for the short forms.
        layer: Name of the convolution whose filters are removed; the first spatial one by default.
        seed: Seed of the random choices.
        progress: Called as ``progress(done, total, message)``; by default a bar in a notebook.

    Returns:
        The accuracies by band.

    Raises:
        ValueError: If the model has no such convolution or the bands do not fit.

    Examples:
        >>> from freqfast.models import Network, Preprocessing
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> network = Network("mine", model, Preprocessing((0.5,) * 3, (0.25,) * 3))
        >>> classifier = Classifier(network, precision="float32")
        >>> found = ablate_bands(classifier, np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2, np.int64))
        >>> found.bands.names, found.layer, int(found.counts.sum())
        (('low', 'high'), '0', 4)
    """
    bands = Bands.of(bands)
    seed = check_value("seed", index(seed), Seed)
    name, conv = find_conv(classifier.model, layer)
    classes = classify_filters(band_shares(effective_weight(conv).float().cpu(), bands)).numpy()
    members = [np.flatnonzero(classes == b) for b in range(len(bands))]
    rng = np.random.default_rng(seed)
    draws = [rng.choice(len(classes), len(rows), replace=False) for rows in members for _ in range(CONTROLS)]
    band = np.digitize(radial_frequencies(*images.shape[1:3], half=True), bands.edges[1:-1])

    def without(rows: np.ndarray) -> float:
        return accuracy(without_filters(classifier, rows, layer), images, labels)

    def kept(mask: np.ndarray) -> float:
        return accuracy(classifier, images, labels, lambda batch, _: filtered(batch, mask))

    jobs = [partial(without, rows) for rows in (*members, *draws)]
    jobs += [partial(kept, band != b) for b in range(len(bands))]
    found = measure_jobs(lambda job: job(), jobs, progress, "band ablation")
    filters, control, response = np.split(found, [len(bands), -len(bands)])
    return Ablation(
        bands=bands,
        layer=name,
        counts=np.array([len(rows) for rows in members]),
        filters=filters,
        control=control.reshape(len(bands), CONTROLS).mean(1),
        response=response,
        clean=accuracy(classifier, images, labels),
        images=len(images),
        seed=seed,
    )


def draw_ablation(found: Mapping[str, Ablation], bands: Bands | None = None) -> "Figure":
    """Accuracy without each band's filters, without as many random ones, without its frequencies; a panel per run."""
    from freqfast.analysis.colours import band_colour
    from freqfast.analysis.panels import COLUMN, dress, panels, wrap

    lines = 3 * max(len(one.bands) for one in found.values())
    height = len(found) * (0.17 * lines + 0.55) + 0.5
    figure, grid = panels(len(found), 1, COLUMN, height, sharex=True)
    for axes, (label, one) in zip(grid[:, 0], found.items(), strict=True):
        names: list[str] = []
        for b, band in enumerate(one.bands.names):
            count = f"{one.counts[b]} of {one.counts.sum()}"
            views = [(f"without {band} frequencies", one.response, "s", "full")]
            if one.counts[b]:
                views = [
                    (f"without {band} filters ({count})", one.filters, "o", "full"),
                    (f"{count} at random", one.control, "o", "none"),
                    *views,
                ]
            colour = band_colour(band, b)
            for text, values, marker, fill in views:
                value, line = 100 * values[b], len(names)
                axes.plot([value, 100 * one.clean], [line] * 2, color=colour, linewidth=0.8)
                axes.plot(value, line, marker=marker, fillstyle=fill, color=colour, markersize=5, linestyle="none")
                names.append(text)
        axes.axvline(100 * one.clean, linewidth=0.8, color=axes.spines["left"].get_edgecolor())
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        dress(axes, f"{wrap(label)}\nwhole model (line): {100 * one.clean:.1f} %", grid="x")
    grid[-1, 0].set_xlabel("accuracy (%)", fontsize=8)
    return figure


def _describe(label: str, found: Ablation) -> str:
    return "; ".join(
        f"{label} without {name} filters {100 * found.filters[b]:.1f} %, without {name} frequencies "
        f"{100 * found.response[b]:.1f} %"
        for b, name in enumerate(found.bands.names)
    )


def _summarise(found: Ablation) -> list[str | Table]:
    by_band = zip(found.bands.names, found.counts, found.filters, found.control, found.response, strict=True)
    table = Table(
        f"accuracy in percent without a band, layer {found.layer}",
        ("band", "filters", "without them", "as many at random", "without its frequencies"),
        [(name, str(count), *(f"{100 * value:.2f}" for value in values)) for name, count, *values in by_band],
    )
    return [table, f"whole model: {100 * found.clean:.2f} %"]


ABLATION = Analysis(
    run=ablate_bands,
    result=Ablation,
    figure=draw_ablation,
    title="Band ablation",
    caption="Nothing is trained or recalibrated after the removal; BatchNorm keeps its statistics.",
    describe=_describe,
    summarise=_summarise,
    description="Nothing is retrained, and BatchNorm is not recalibrated.",
    precision="float32",
)
