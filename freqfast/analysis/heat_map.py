"""The Fourier heat map: a classifier's error under each 2-D Fourier basis perturbation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from freqfast.analysis.definition import Analysis, Fractions, ImageResult, Seed
from freqfast.analysis.filtering import accuracy, measure_jobs
from freqfast.models.classifier import Classifier
from freqfast.progress import Progress
from freqfast.records import Fraction, check_value
from freqfast.spectral.bands import Bands
from freqfast.spectral.spectrum import frequency_pairs, radial_frequencies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CIFAR10_NORM = 4.0
"""The L2 norm of the perturbation of each channel that the paper uses for 32x32 images, pixels in [0, 1]."""


def _check_norm(norm: float) -> float:
    if not 0 < norm <= 1e6:
        raise ValueError(f"must be positive and at most 1,000,000, got {norm}; the paper takes 4 for CIFAR-10")
    return norm


Norm = Annotated[
    float,
    AfterValidator(_check_norm),
    Field(description="L2 norm of the perturbation of each channel, pixels in [0, 1]."),
]
Grid = Annotated[int, Field(ge=2, description="Frequencies along each axis at most; larger images are sampled.")]


@dataclass(frozen=True, eq=False, kw_only=True)
class HeatMap(ImageResult):
    """The Fourier heat map.

    Attributes:
        error: Error under the perturbation at each frequency, ``(H, W)`` or fewer if they were sampled, axes ``(fy,
            fx)`` in the order of `freqfast.frequencies`: the lowest in the middle.
        clean_error: Error without perturbation.
        norm: L2 norm of the perturbation of each channel, pixels in [0, 1].
        seed: Seed of the signs.
        image_size: Height and width of the images in pixels; None if they are not known, as in files of older versions.

    Examples:
        >>> found = HeatMap(error=[[0.5, 0.25], [0.75, 0.5]], clean_error=0.1, norm=4.0, seed=0, images=100)
        >>> found.band_error(Bands.equal_area(2))
        array([0.5, 0.5])
    """

    analysis: Literal["heatmap"] = "heatmap"
    error: Fractions
    clean_error: Fraction
    norm: Norm
    seed: Seed
    image_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.error.ndim != 2 or not self.error.size:
            raise ValueError(f"error must have two dimensions, none of them 0, got shape {self.error.shape}")

    def band_error(self, bands: Bands) -> NDArray[np.float64]:
        """Mean error over the frequencies of each band, ``(B,)``; NaN for a band without any."""
        rho = np.fft.fftshift(radial_frequencies(*self.error.shape))
        band = np.digitize(rho, bands.edges[1:-1]).ravel()
        total = np.bincount(band, self.error.ravel(), len(bands))
        count = np.bincount(band, minlength=len(bands))
        return np.where(count, total / np.maximum(count, 1), np.nan)


def fourier_basis(height: int, width: int, u: int, v: int) -> NDArray[np.float64]:
    """The real image ``(H, W)`` of unit L2 norm whose DFT is zero except at the bins ``(u, v)`` and ``(-u, -v)``.

    It is a cosine with a phase of 45 degrees, as in the paper's own program: with this phase one formula has unit norm
    for every bin, also for those that are their own negative.
    """
    phase = 2 * np.pi * (u * np.arange(height)[:, None] / height + v * np.arange(width)[None, :] / width)
    return (np.cos(phase) - np.sin(phase)) / np.sqrt(height * width)


def fourier_heat_map(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    norm: Norm = CIFAR10_NORM,
    seed: Seed = 0,
    grid: Grid = 32,
    progress: Progress | None = None,
) -> HeatMap:
    """Error of a classifier under every Fourier basis perturbation (Yin et al., 2019, arXiv:1906.08988).

    The basis image, scaled to the norm, is added to each channel of each image with a random sign of its own; the sum
    is not clamped, so the perturbation has this norm and this frequency exactly. A frequency and its negative share an
    error: a 32x32 map takes 514 passes over the images. For images with more frequencies, the DFT bins nearest to those
    of an image of `grid` pixels per side are sampled.

    Args:
        classifier: The model.
        images: uint8 ``(N, H, W, 3)``.
        labels: ``(N,)``.
        norm: L2 norm of the perturbation of each channel, for pixels in [0, 1]. The paper takes 4 for 32x32 images.
        seed: Seed of the signs.
        grid: Frequencies along each axis at most.
        progress: Called as ``progress(done, total, message)``; by default a bar in a notebook.

    Returns:
        The errors, on the plane of frequencies.

    Raises:
        ValueError: If the norm is not positive or more than a million, the grid is smaller than 2, or there are no
            images.

    Examples:
        >>> from freqfast.models import Network, Preprocessing
        >>> from torch import nn
        >>> mean_colour = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # sees the lowest frequency only
        >>> network = Network("mine", mean_colour, Preprocessing((0.5,) * 3, (0.25,) * 3))
        >>> classifier = Classifier(network, precision="float32")
        >>> images = 200 * np.eye(3, dtype=np.uint8)[:, None, None, :].repeat(4, 1).repeat(4, 2)  # red, green, blue
        >>> found = fourier_heat_map(classifier, images, np.arange(3), norm=8.0, seed=2)
        >>> found.clean_error, np.argwhere(found.error)
        (0.0, array([[2, 2]]))
    """
    norm = check_value("norm", float(norm), Norm)
    grid = check_value("grid", grid, Grid)
    seed = check_value("seed", index(seed), Seed)
    count, height, width, channels = images.shape
    rows, columns = min(height, grid), min(width, grid)
    error = np.empty((rows, columns))
    pairs = list(frequency_pairs(rows, columns))

    def measure(pair: tuple[tuple[int, int], tuple[int, int]]) -> float:
        u, v = pair[0]
        signs = 1 - 2 * np.random.default_rng((seed, u, v)).integers(0, 2, (count, 1, 1, channels))
        signs = signs.astype(np.float32)
        basis = fourier_basis(height, width, round(u * height / rows), round(v * width / columns))
        wave = (255 * norm * basis).astype(np.float32)[None, :, :, None]
        return 1 - accuracy(classifier, images, labels, lambda batch, rows: batch + signs[rows] * wave)

    for pair, found in zip(pairs, measure_jobs(measure, pairs, progress, "Fourier heat map"), strict=True):
        for frequency in pair:
            error[frequency] = found
    return HeatMap(
        error=np.fft.fftshift(error),
        clean_error=1 - accuracy(classifier, images, labels),
        norm=norm,
        seed=seed,
        images=count,
        image_size=(height, width),
    )


def draw_heat_maps(found: Mapping[str, HeatMap], bands: Bands | None = None) -> "Figure":
    """Fourier heat maps side by side on one scale of colours, with circles at the edges of the bands."""
    from matplotlib.patches import Circle

    from freqfast.analysis.panels import COLUMN, dress, panels, plane_extent, wrap

    columns = min(2, len(found))
    rows = math.ceil(len(found) / columns)
    figure, grid = panels(rows, columns, columns * COLUMN, 2.75 * rows)
    for axes in grid.flat[len(found) :]:
        axes.set_visible(False)
    top = max(float(one.error.max()) for one in found.values())
    style = {"cmap": "inferno", "vmin": 0, "vmax": 100 * top, "interpolation": "nearest", "origin": "lower"}
    for axes, (label, one) in zip(grid.flat, found.items(), strict=False):
        image = axes.imshow(100 * one.error, extent=plane_extent(*one.error.shape), **style)
        for edge in Bands.of(bands).edges[1:-1]:
            axes.add_patch(Circle((0, 0), edge, fill=False, edgecolor="white", linewidth=0.8, linestyle="--"))
        means = f"mean {100 * one.error.mean():.1f} %, unperturbed {100 * one.clean_error:.1f} %"
        title = f"{wrap(label, 34)}\n{means}"
        fx, fy = _axis_labels(one)
        dress(axes, title, fx, fy if axes in grid[:, 0] else "", grid="")
    bar = figure.colorbar(image, ax=grid, shrink=0.85, pad=0.02)
    norms = sorted({one.norm for one in found.values()})
    bar.set_label(f"error (%), L2 norm {', '.join(f'{norm:g}' for norm in norms)}", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    return figure


def _axis_labels(found: HeatMap) -> tuple[str, str]:
    """Labels of the axes fx and fy, with the factor from cycles/pixel to cycles/image."""
    if found.image_size is None:
        return "fx (cycles/pixel)", "fy (cycles/pixel)"
    height, width = found.image_size
    return f"fx (cycles/pixel; x {width} = cycles/image)", f"fy (cycles/pixel; x {height} = cycles/image)"


def _describe(label: str, found: HeatMap) -> str:
    return (
        f"{label}: mean error {100 * found.error.mean():.1f} %, at most {100 * found.error.max():.1f} %, "
        f"{100 * found.clean_error:.1f} % unperturbed"
    )


def _summarise(found: HeatMap) -> list[str]:
    bands = Bands.equal_area(2)
    by_band = [(name, error) for name, error in zip(bands.names, found.band_error(bands), strict=True) if error >= 0]
    shape, size = found.error.shape, found.image_size
    sampled = [f"{shape[0]}x{shape[1]} of {size[0]}x{size[1]} frequencies sampled"] if size and size != shape else []
    return [
        *sampled,
        f"error without perturbation: {100 * found.clean_error:.2f} %",
        f"mean error at L2 norm {found.norm:g}: {100 * found.error.mean():.2f} %",
        *(f"mean error at {name} frequencies: {100 * error:.2f} %" for name, error in by_band),
    ]


HEAT_MAP = Analysis(
    run=fourier_heat_map,
    result=HeatMap,
    figure=draw_heat_maps,
    title="Fourier heat map",
    caption="Error when a wave of one spatial frequency is added to every image; the lowest frequencies are in the "
    "middle, dashed circles are the edges of the bands. After Yin et al. (2019, arXiv:1906.08988).",
    describe=_describe,
    summarise=_summarise,
    description="After Yin et al. (2019).",
    side_by_side=True,
)
