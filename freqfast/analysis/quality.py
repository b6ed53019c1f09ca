"""Filter quality: how sparse, how varied and how orthogonal a layer's kernels are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import nn

from freqfast.analysis.definition import Analysis, AnalysisResult, Count, Fractions, Layer
from freqfast.records import Fraction
from freqfast.spectral.bands import Bands
from freqfast.spectral.modulation import effective_weight
from freqfast.spectral.surgery import find_conv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEAR_ZERO = 0.01
"""A kernel counts as near zero below this share of the layer's largest absolute weight."""
_RANDOM_LAYERS = 50
Entropy = Annotated[float, Field(ge=0, le=10)]


@dataclass(frozen=True, eq=False, kw_only=True)
class Quality(AnalysisResult):
    """Quality of a layer's filters.

    Attributes:
        layer: The layer's name.
        kernels: Number of kernels, ``O * I``.
        sparsity: Share of the kernels that are near zero.
        variance: Share of the variance along each principal component, ``(kH * kW,)``.
        variance_entropy: Its entropy to base 10.
        random_entropy: The mean variance entropy of layers of the same shape with Gaussian weights.
        orthogonality: One minus the mean absolute cosine between two filters.

    Examples:
        >>> filter_quality(np.eye(9).reshape(9, 1, 3, 3)).orthogonality
        1.0
    """

    analysis: Literal["quality"] = "quality"
    layer: str
    kernels: Count
    sparsity: Fraction
    variance: Fractions
    variance_entropy: Entropy
    random_entropy: Entropy
    orthogonality: Fraction


def sparsity(weight: np.ndarray) -> float:
    """Share of the kernels ``(kH, kW)`` whose largest absolute value is under 1 % of the layer's largest.

    After Gavrikov and Keuper (CVPR 2022, arXiv:2203.15331). In a layer without energy, all kernels count.
    """
    peaks = np.abs(_kernels(weight)).max(1)
    return float(np.mean(peaks <= 0 if not peaks.any() else peaks < NEAR_ZERO * peaks.max()))


def variance_shares(weight: np.ndarray) -> NDArray[np.float64]:
    """Share of the kernels' variance along each of their principal components, ``(kH * kW,)``, decreasing.

    They sum to 1, and are all 0 where the kernels do not vary.
    """
    kernels = _kernels(weight)
    centred = kernels - kernels.mean(0)
    variance = np.zeros(kernels.shape[1])
    values = np.linalg.svd(centred, compute_uv=False)
    variance[: len(values)] = values**2
    # Equal kernels leave rounding errors about their mean, which are no variance.
    noise = (np.finfo(float).eps * np.abs(kernels).max(initial=0)) ** 2 * kernels.size
    if variance.sum() <= noise:
        return np.zeros_like(variance)
    return variance / variance.sum()


def variance_entropy(weight: np.ndarray) -> float:
    """Entropy of `variance_shares` to base 10: how varied the kernels' patterns are.

    It is 0 if one pattern explains all kernels, and ``log10(kH * kW)`` (0.954 for 3x3) if all directions vary equally,
    as they do for kernels that learned nothing. After Gavrikov and Keuper (CVPR 2022, arXiv:2203.15331).
    """
    shares = variance_shares(weight)
    shares = shares[shares > 0]
    return float(-np.sum(shares * np.log10(shares))) + 0.0  # no negative zero


def orthogonality(weight: np.ndarray) -> float:
    """One minus the mean absolute cosine between two different filters ``(I, kH, kW)``: 1 for an orthogonal layer.

    After Gavrikov and Keuper (CVPR 2022 workshop, arXiv:2204.02481). Filters without energy count as orthogonal to all
    others, and so does a single filter. Those of a grouped convolution are compared as if all saw the same inputs.
    """
    filters = np.asarray(weight, dtype=np.float64).reshape(len(weight), -1)
    norms = np.linalg.norm(filters, axis=1, keepdims=True)
    unit = filters / np.where(norms > 0, norms, 1)
    cosines = np.abs(unit @ unit.T)
    pairs = len(unit) * (len(unit) - 1)
    # Equal filters may round to a little less than 0.
    return 1.0 if not pairs else max(0.0, float(1 - (cosines.sum() - np.trace(cosines)) / pairs))


def filter_quality(weight: ArrayLike, layer: str = "") -> Quality:
    """Quality of a layer's filters by the measures of Gavrikov and Keuper.

    Their threshold for a variance entropy that is no better than random is a fit for 3x3 kernels. The result has
    instead, for every kernel size, the mean variance entropy of 50 layers of this shape with Gaussian weights.

    Args:
        weight: ``(O, I, kH, kW)``, the filters as applied.
        layer: The layer's name.

    Returns:
        The measures.

    Raises:
        ValueError: If the weight has another shape, is empty, or holds NaN or infinite values.

    Examples:
        >>> found = filter_quality(np.eye(9).reshape(9, 1, 3, 3), "conv1")  # each kernel is one pixel
        >>> found.kernels, found.sparsity, found.orthogonality
        (9, 0.0, 1.0)
    """
    values = np.asarray(weight, dtype=np.float64)
    if values.ndim != 4 or not values.size:
        raise ValueError(f"weight must have shape (O, I, kH, kW), none of them 0, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("weight holds NaN or infinite values; load a sound checkpoint")
    rng = np.random.default_rng(0)
    random_layers = (rng.standard_normal(values.shape) for _ in range(_RANDOM_LAYERS))
    return Quality(
        layer=layer,
        kernels=values.shape[0] * values.shape[1],
        sparsity=sparsity(values),
        variance=variance_shares(values),
        variance_entropy=variance_entropy(values),
        random_entropy=float(np.mean([variance_entropy(one) for one in random_layers])),
        orthogonality=orthogonality(values),
    )


def model_quality(model: nn.Module, layer: Layer = None) -> Quality:
    """Quality of the filters that a model's convolution applies, by default the first spatial one."""
    name, conv = find_conv(model, layer)
    return filter_quality(effective_weight(conv).float().cpu().numpy(), name)


def draw_quality(found: Mapping[str, Quality], bands: Bands | None = None) -> "Figure":
    """Sparsity, variance entropy and orthogonality of the layers' filters, one panel each."""
    from freqfast.analysis.colours import run_style
    from freqfast.analysis.panels import COLUMN, dress, panels, runs_below

    figure, grid = panels(3, 1, COLUMN, 3 * (0.14 * len(found) + 0.75))
    views = {
        "sparsity": ("Sparsity: kernels near zero", "share of kernels (%)", 100),
        "variance_entropy": ("Variance entropy; bar: Gaussian kernels", "entropy (decimal digits)", 1),
        "orthogonality": ("Orthogonality of the filters", "1 - mean |cosine| of two filters", 1),
    }
    for axes, (name, (title, unit, scale)) in zip(grid[:, 0], views.items(), strict=True):
        values = [scale * getattr(one, name) for one in found.values()]
        for i, value in enumerate(values):
            style = run_style(i)
            axes.plot(value, i, color=style["color"], marker=style["marker"], markersize=5)
        axes.set_yticks([])
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_xlim(left=0, right=max(scale, 1.05 * max(values)))
        dress(axes, title, unit, grid="x")
    entropy = grid[1, 0]
    for i, one in enumerate(found.values()):
        entropy.plot([one.random_entropy] * 2, [i - 0.35, i + 0.35], color=entropy.spines["left"].get_edgecolor())
    runs_below(figure, list(found), linestyle="none", markersize=5)
    return figure


def _describe(label: str, found: Quality) -> str:
    return (
        f"{label}: sparsity {100 * found.sparsity:.1f} %, variance entropy {found.variance_entropy:.2f} (Gaussian "
        f"kernels {found.random_entropy:.2f}), orthogonality {found.orthogonality:.2f}"
    )


def _summarise(found: Quality) -> list[str]:
    return [
        f"layer {found.layer}: {found.kernels} kernels",
        f"sparsity: {100 * found.sparsity:.2f} %",
        f"variance entropy: {found.variance_entropy:.3f} (Gaussian kernels: {found.random_entropy:.3f})",
        f"orthogonality: {found.orthogonality:.3f}",
    ]


QUALITY = Analysis(
    run=model_quality,
    result=Quality,
    figure=draw_quality,
    title="Filter quality",
    caption="Measures of Gavrikov and Keuper (CVPR 2022, arXiv:2203.15331 and 2204.02481).",
    describe=_describe,
    summarise=_summarise,
)


def _kernels(weight: np.ndarray) -> NDArray[np.float64]:
    """The layer's kernels, flattened: ``(O * I, kH * kW)``."""
    values = np.asarray(weight, dtype=np.float64)
    return values.reshape(values.shape[0] * values.shape[1], -1)
