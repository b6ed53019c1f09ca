"""Filter quality: how sparse, how varied and how orthogonal a layer's kernels are."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from freqfast.analysis.results import Quality

__all__ = ["filter_quality", "orthogonality", "sparsity", "variance_entropy", "variance_shares"]

NEAR_ZERO = 0.01
"""A kernel counts as near zero below this share of the layer's largest absolute weight."""
_RANDOM_LAYERS = 50


def sparsity(weight: np.ndarray) -> float:
    """Share of the kernels ``(kH, kW)`` whose largest absolute value is under 1 % of the layer's largest.

    After Gavrikov and Keuper (CVPR 2022, arXiv:2203.15331). A layer without energy is all sparse.

    Args:
        weight: ``(O, I, kH, kW)``.
    """
    peaks = np.abs(_kernels(weight)).max(1)
    return float(np.mean(peaks <= 0 if not peaks.any() else peaks < NEAR_ZERO * peaks.max()))


def variance_shares(weight: np.ndarray) -> NDArray[np.float64]:
    """Share of the kernels' variance along each of their principal components, ``(kH * kW,)``, decreasing.

    Principal components of the layer's ``O * I`` flattened kernels about their mean, by singular values. Shares sum to
    1; they are all 0 where the kernels do not vary.

    Args:
        weight: ``(O, I, kH, kW)``.
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
    shares: NDArray[np.float64] = variance / variance.sum()
    return shares


def variance_entropy(weight: np.ndarray) -> float:
    """Entropy of `variance_shares` to base 10: how varied the kernels' patterns are.

    0 where one pattern explains all kernels, ``log10(kH * kW)`` (0.954 for 3x3) where all directions vary alike, which
    is what kernels that learned nothing do. After Gavrikov and Keuper (CVPR 2022, arXiv:2203.15331).

    Args:
        weight: ``(O, I, kH, kW)``.
    """
    shares = variance_shares(weight)
    shares = shares[shares > 0]
    return float(-np.sum(shares * np.log10(shares))) + 0.0  # no negative zero


def orthogonality(weight: np.ndarray) -> float:
    """One minus the mean absolute cosine between two different filters ``(I, kH, kW)``: 1 for an orthogonal layer.

    After Gavrikov and Keuper (CVPR 2022 workshop, arXiv:2204.02481). Filters without energy count as orthogonal to all
    others, and so does a single filter; the authors' own program, torchconvquality, which gives the same else, takes
    something off for each filter without energy.

    Args:
        weight: ``(O, I, kH, kW)``.
    """
    filters = np.asarray(weight, dtype=np.float64).reshape(len(weight), -1)
    norms = np.linalg.norm(filters, axis=1, keepdims=True)
    unit = filters / np.where(norms > 0, norms, 1)
    cosines = np.abs(unit @ unit.T)
    pairs = len(unit) * (len(unit) - 1)
    return 1.0 if not pairs else float(1 - (cosines.sum() - np.trace(cosines)) / pairs)


def filter_quality(weight: ArrayLike, layer: str = "") -> Quality:
    """Quality of a layer's filters by the measures of Gavrikov and Keuper.

    Their threshold for a variance entropy that is no better than random is a fit for 3x3 kernels. Here stands instead,
    for every kernel size, the mean variance entropy of 50 layers of this shape with Gaussian weights.

    Args:
        weight: ``(O, I, kH, kW)``, the filters as applied.
        layer: The layer's name.

    Raises:
        ValueError: If the weight has another shape, is empty, or holds NaN or infinite values.
    """
    values = np.asarray(weight, dtype=np.float64)
    if values.ndim != 4 or not values.size:
        raise ValueError(f"weight must have shape (O, I, kH, kW), none of them 0, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("weight holds NaN or infinite values; load a sound checkpoint")
    rng = np.random.default_rng(0)
    return Quality(
        layer=layer,
        kernels=values.shape[0] * values.shape[1],
        sparsity=sparsity(values),
        variance=variance_shares(values),
        variance_entropy=variance_entropy(values),
        random_entropy=float(
            np.mean([variance_entropy(rng.standard_normal(values.shape)) for _ in range(_RANDOM_LAYERS)])
        ),
        orthogonality=orthogonality(values),
    )


def _kernels(weight: np.ndarray) -> NDArray[np.float64]:
    """The layer's kernels, flattened: ``(O * I, kH * kW)``."""
    values = np.asarray(weight, dtype=np.float64)
    return values.reshape(values.shape[0] * values.shape[1], -1)
