"""Bands of spatial frequency: each filter's share of energy in each band, and the assignment of filters to bands."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy.optimize import brentq, linear_sum_assignment
from torch import Tensor

from freqfast.spectral.spectrum import MAX_FREQUENCY, check_weight, energy_matrix
from freqfast.spectral.tensors import in_float64

_NAMES = {1: ("all",), 2: ("low", "high"), 3: ("low", "mid", "high")}


def _disc_in_square(radius: float) -> float:
    """Area of the disc of this radius inside the unit square of frequencies."""
    if radius <= 0.5:
        return math.pi * radius**2
    half_chord = math.sqrt(radius**2 - 0.25)
    return 2 * half_chord + radius**2 * (math.pi - 4 * math.acos(0.5 / radius))


@dataclass(frozen=True)
class Bands:
    """Radial bands ``[edge, next edge)`` that tile the spectrum from 0 to sqrt(0.5) cycles/pixel.

    Args:
        edges: Band edges in cycles/pixel, one more than names: strictly increasing, the first 0, the last at least
            sqrt(0.5) = 0.7071 (the highest frequency; it belongs to the last band).
        names: A name for each band, from low to high frequency.

    Raises:
        ValueError: If the edges or names are invalid.

    Examples:
        >>> Bands.equal_area(2).names
        ('low', 'high')
        >>> [round(edge, 3) for edge in Bands.equal_area(3).edges]
        [0.0, 0.326, 0.461, 0.707]
    """

    edges: tuple[float, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check edges and names, and make them plain tuples."""
        object.__setattr__(self, "edges", tuple(float(edge) for edge in self.edges))
        object.__setattr__(self, "names", (self.names,) if isinstance(self.names, str) else tuple(self.names))
        if len(self.edges) != len(self.names) + 1 or not self.names:
            raise ValueError(
                f"edges must be one more than names, got {len(self.edges)} edges for {len(self.names)} names"
            )
        increasing = all(a < b for a, b in pairwise(self.edges))
        reaches_both_ends = self.edges[0] == 0 and self.edges[-1] >= MAX_FREQUENCY - 1e-4
        if not (increasing and reaches_both_ends and self.edges[-2] < MAX_FREQUENCY):
            raise ValueError(
                f"edges must increase strictly from 0 to sqrt(0.5) = {MAX_FREQUENCY:.4f} cycles/pixel or more, with no "
                f"band above it, got {self.edges}"
            )
        if len(set(self.names)) != len(self.names) or not all(isinstance(n, str) and n for n in self.names):
            raise ValueError(f"names must be different non-empty strings, got {self.names}")

    @classmethod
    def equal_area(cls, count: int = 2, names: tuple[str, ...] | None = None) -> "Bands":
        """Bands of equal areas of the spectrum: on average, white-noise kernels have nearly equal energy in each.

        Args:
            count: Number of bands, at least 1.
            names: Their names; ``low, high`` for two, ``low, mid, high`` for three, ``band0 ...`` for more.
        """
        if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
            raise ValueError(f"count must be a positive integer, got {count!r}")
        inner = [
            brentq(lambda r, area=j / count: _disc_in_square(r) - area, 0.0, MAX_FREQUENCY, xtol=1e-15)
            for j in range(1, count)
        ]
        default = _NAMES.get(count) or tuple(f"band{j}" for j in range(count))
        return cls((0.0, *inner, MAX_FREQUENCY), default if names is None else names)

    @classmethod
    def of(cls, bands: "BandsLike") -> "Bands":
        """Bands from what a recipe can write: None (two of equal area), a count, or ``{edges=..., names=...}``."""
        if isinstance(bands, Bands):
            return bands
        if bands is None or isinstance(bands, Integral):
            return cls.equal_area(2 if bands is None else bands)  # type: ignore[arg-type]
        if isinstance(bands, Mapping) and set(bands) == {"edges", "names"}:
            return cls(bands["edges"], bands["names"])
        raise ValueError(f"bands must be a Bands, a number of bands, or a table of edges and names, got {bands!r}")

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Position of a band; a ValueError if none has this name."""
        if name not in self.names:
            raise ValueError(f"unknown band {name!r}; the bands are {', '.join(self.names)}")
        return self.names.index(name)

    def energy_matrices(self, kernel_size: tuple[int, int]) -> np.ndarray:
        """Energy of a flattened kernel in each band as quadratic forms, ``(B, kH * kW, kH * kW)`` float64."""
        return np.stack([energy_matrix(kernel_size, *band) for band in pairwise((*self.edges[:-1], math.inf))])

    def reachable(self, kernel_size: tuple[int, int], rank: int = 1) -> np.ndarray:
        """Largest share of its energy that a kernel of size ``(kH, kW)`` can have in each band, ``(B,)``.

        With `rank`, the smallest share that a kernel in the best subspace of this dimension can have.

        Examples:
            >>> Bands.equal_area(2).reachable((3, 3)).round(3).tolist()
            [0.994, 0.975]
            >>> Bands.equal_area(2).reachable((3, 3), rank=3).round(3).tolist()
            [0.895, 0.835]
        """
        return np.linalg.eigvalsh(self.energy_matrices(kernel_size))[:, -rank]


BandsLike: TypeAlias = Bands | int | Mapping[str, Any] | None
"""What stands for bands; see `Bands.of`."""


def band_shares(weight: Tensor | np.ndarray, bands: BandsLike = None) -> Tensor:
    """Share of each filter's energy in each band.

    Args:
        weight: ``(O, I, kH, kW)``.
        bands: The bands; two of equal area by default.

    Returns:
        ``(O, B)``; rows sum to 1, a filter without energy has zeros. Dtype of `weight`.

    Raises:
        ValueError: If the weight is unfit (see `freqfast.spectral.spectrum.check_weight`).

    Examples:
        >>> band_shares(torch.ones(1, 3, 3, 3)).round(decimals=2)  # a box filter
        tensor([[0.8900, 0.1100]])
    """
    weight, bands = check_weight(weight), Bands.of(bands)
    kernels, _ = scaled_kernels(weight)
    forms = torch.as_tensor(bands.energy_matrices((weight.shape[2], weight.shape[3])), device=kernels.device)
    energy = torch.einsum("oip,bpq,oiq->ob", kernels, forms, kernels).clamp_min(0)
    return (energy / energy.sum(1, keepdim=True).clamp_min(1e-300)).to(weight.dtype).to(weight.device)


def scaled_kernels(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Kernels ``(O, I, k)`` in float64 divided by their filter's largest value, against overflow; and this value."""
    kernels = in_float64(weight).flatten(2)
    largest = kernels.abs().amax((1, 2), keepdim=True)
    largest = torch.where(largest > 0, largest, 1.0)
    return kernels / largest, largest


def classify_filters(shares: Tensor) -> Tensor:
    """Band of each filter: the one with its largest share, ties to the lower band; ``(O, B)`` to ``(O,)`` int64."""
    return shares.argmax(1)


def frequency_proportion(weight: Tensor | np.ndarray, bands: BandsLike = None) -> Tensor:
    """Share of a layer's filters that belong to each band.

    Args:
        weight: ``(O, I, kH, kW)``.
        bands: The bands; two of equal area by default.

    Returns:
        ``(B,)`` float64, sums to 1. A filter without energy counts for the lowest band, since ties go to the lower
        band.

    Raises:
        ValueError: If the weight is unfit (see `freqfast.spectral.spectrum.check_weight`).

    Examples:
        >>> frequency_proportion(torch.tensor([[1.0, 1.0], [1.0, -1.0]]).view(2, 1, 1, 2)).tolist()  # mean, difference
        [0.5, 0.5]
    """
    weight, bands = check_weight(weight), Bands.of(bands)
    classes = classify_filters(band_shares(in_float64(weight), bands))  # half types would round shares to ties
    return torch.bincount(classes, minlength=len(bands)).double() / len(weight)


def band_counts(proportions: Mapping[str, float], bands: Bands, filters: int) -> list[int]:
    """Number of filters for each band by the largest-remainder method, so that they sum to `filters`.

    Bands that the proportions leave out get none; of bands with equal remainders, the lower one is served first.

    Examples:
        >>> band_counts({"low": 0.5, "high": 0.5}, Bands.equal_area(2), 7)
        [4, 3]
    """
    if not isinstance(proportions, Mapping):
        example = '{"low": 0.75, "high": 0.25}'
        raise TypeError(f"proportions must be a mapping such as {example}, got {type(proportions).__name__}")
    shares = [0.0] * len(bands)
    for name, share in proportions.items():
        band = bands.index(name)
        try:
            shares[band] = float(share)
        except (TypeError, ValueError):
            raise TypeError(f"the proportion of {name} must be a number, got {share!r}") from None
    listed = ", ".join(f"{name}={share:g}" for name, share in zip(bands.names, shares, strict=True))
    if not all(math.isfinite(share) and share >= 0 for share in shares):
        raise ValueError(f"proportions must be finite and not negative, got {listed}")
    if abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"proportions must sum to 1, got {sum(shares):g} ({listed})")
    exact = [share * filters for share in shares]
    counts = [math.floor(x + 1e-9) for x in exact]
    by_remainder = sorted(range(len(bands)), key=lambda b: (round(counts[b] - exact[b], 9), b))
    for b in by_remainder[: filters - sum(counts)]:
        counts[b] += 1
    return counts


def assign_bands(shares: Tensor, counts: Sequence[int]) -> Tensor:
    """Assign a given number of filters to each band so that the sum of their shares ``(O, B)`` in it is largest.

    Returns ``(O,)`` int64 band indices on the CPU. Filters that already meet the counts keep their bands.
    """
    if sum(counts) != len(shares):
        raise ValueError(f"counts must sum to the {len(shares)} filters, got {', '.join(map(str, counts))}")
    slots = np.repeat(np.arange(len(counts)), counts)
    gain = in_float64(shares.detach()).cpu().numpy()[:, slots]
    _, columns = linear_sum_assignment(gain, maximize=True)  # as many slots as filters, so in the filters' order
    return torch.from_numpy(slots[columns])
