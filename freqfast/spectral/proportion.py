"""Projection of a layer's filters onto target bands: exact, minimal, for all filters at once."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from freqfast.spectral.bands import Bands, BandsLike, assign_bands, band_counts, band_shares, scaled_kernels
from freqfast.spectral.spectrum import check_weight
from freqfast.spectral.tensors import at_least_float32, in_float64

_NEWTON_STEPS = 10  # five mostly do; ten reach float64's precision whatever the energies; see `_divisors`


@lru_cache(maxsize=64)
def _eigenbasis(bands: Bands, kernel_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Eigenvalues ``(B, k)``, ascending, and eigenvectors ``(B, k, k)`` of the band energy matrices."""
    values, vectors = np.linalg.eigh(bands.energy_matrices(kernel_size))
    return torch.from_numpy(values), torch.from_numpy(vectors)


def _check_purity(purity: float, bands: Bands, kernel_size: tuple[int, int], used: list[int]) -> None:
    reachable = _eigenbasis(bands, kernel_size)[0][:, -1].tolist()
    scarcest = min(used, key=lambda b: reachable[b])
    limit = reachable[scarcest]
    if not 0.5 < purity < limit:
        size = "x".join(map(str, kernel_size))
        if limit <= 0.5:
            raise ValueError(
                f"a {size} kernel can have only {limit:.4f} of its energy in band {bands.names[scarcest]!r}, and "
                "purity must be above 0.5; use fewer bands, or a larger kernel"
            )
        raise ValueError(
            f"purity must lie between 0.5 and {limit:.4f} (what a {size} kernel can reach in band "
            f"{bands.names[scarcest]!r}), got {purity:g}; lower it, use fewer bands, or a larger kernel"
        )


def target_bands(weight: Tensor, bands: Bands, target: Mapping[str, float] | Tensor) -> Tensor:
    """Band of each filter, ``(O,)`` int64 on the CPU: proportions are assigned by `assign_bands`, bands are checked."""
    if isinstance(target, Mapping):
        return assign_bands(band_shares(in_float64(weight), bands), band_counts(target, bands, len(weight)))
    try:
        target = torch.as_tensor(target).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"target must be proportions by band name or band indices, got {type(target).__name__}"
        ) from None
    if target.shape != (len(weight),) or target.is_floating_point() or target.dtype == torch.bool:
        raise ValueError(
            f"target must hold one integer band index for each of the {len(weight)} filters, got shape "
            f"{tuple(target.shape)} of {target.dtype}"
        )
    if not (found := set(target.tolist())) <= set(range(len(bands))):
        raise ValueError(f"target band indices must lie in 0..{len(bands) - 1}, got {sorted(found)}")
    return target.long()


def _divisors(energy: Tensor, slope: Tensor) -> Tensor:
    """Divisors ``1 - mu slope`` of the projection, mu the root of ``sum_j slope_j energy_j / (1 - mu slope_j)^2``.

    With the sum's positive terms P, which grow up to a pole, and its negative ones N, the root solves
    ``P^-1/2 = N^-1/2``. The unknown is t, the distance of mu from the pole, so that divisors near it keep their
    precision. Both sides are concave in t, so Newton climbs from the pole's side to the root in a few steps. Its first
    step is known in closed form; a shrinking bracket guards the others.

    Args:
        energy: ``(R, k)`` energies by eigenvector, of filters outside their cones.
        slope: ``(R, k)`` eigenvalue minus purity, ascending.

    Returns:
        ``(R, k)``; zero for the top eigenvalue where no root exists (the hard case).
    """
    steepest = slope[:, -1:]
    at_pole = (steepest - slope) / steepest
    positive, energy = slope > 0, energy * slope.abs()
    p = ((at_pole < 1e-9) * energy).sum(1)
    n = (~positive * energy / at_pole.clamp_min(1.0).square()).sum(1)
    low, high = torch.zeros_like(p), 1 / steepest[:, 0]
    t = ((p / n).sqrt() / steepest[:, 0]).minimum(high)
    for _ in range(_NEWTON_STEPS):
        divisor = (at_pole + t[:, None] * slope).clamp_min(1e-150)
        term = energy / divisor.square()
        growth = 2 * slope * term / divisor
        p, n = (term * positive).sum(1), (term * ~positive).sum(1)
        dp, dn = (growth * positive).sum(1), (growth * ~positive).sum(1)
        gap = p.rsqrt() - n.rsqrt()
        beyond = gap > 0  # P < N: the constraint fails at t, so the root lies nearer to the pole
        low, high = torch.where(beyond, low, t), torch.where(beyond, t, high)
        step = t - 2 * gap / (dp * p.pow(-1.5) - dn * n.pow(-1.5))
        t = torch.where((step >= low) & (step <= high), step, (low + high) / 2)
    return at_pole + t[:, None] * slope


def _times_own(rows: Tensor, matrices: Tensor, bands_of: Tensor) -> Tensor:
    """Rows ``(R, I, k)``, each times the matrix ``(k, n)`` of its band, without a copy of the matrix for each."""
    products = torch.stack([rows @ matrix for matrix in matrices])
    return products[bands_of, torch.arange(len(rows), device=rows.device)]


def _project_rows(a: Tensor, values: Tensor, purity: float) -> Tensor:
    """Closest points of the cones to filters ``a (R, I, k)`` outside them, in the coordinates of the eigenvectors."""
    slope = values - purity
    divisor = _divisors(a.square().sum(1), slope)
    # The eigenvectors of the largest eigenvalue (several where the kernel's symmetry repeats it) take their length from
    # the constraint itself: exact purity, also in the hard case where they hold nothing and the sum has no root.
    top = slope >= slope[:, -1:] - (slope[:, -1:] / 2).clamp_max(1e-9)
    rest = (a / torch.where(top, 1.0, divisor)[:, None]) * ~top[:, None]
    heading = a * top[:, None]
    empty = heading.square().sum((1, 2)) <= 1e-24 * a.square().sum((1, 2))
    fixed = torch.zeros_like(a)
    fixed[:, 0, -1] = 1.0  # the direction where there is none to keep
    heading = torch.where(empty[:, None, None], fixed, heading)
    surplus = (slope * heading.square().sum(1)).sum(1)
    deficit = -(slope * rest.square().sum(1)).sum(1)
    return rest + heading * (deficit.clamp_min(0) / surplus).sqrt()[:, None, None]


@torch.no_grad()
def project_filters(
    weight: Tensor | np.ndarray,
    target: Mapping[str, float] | Tensor,
    bands: BandsLike = None,
    purity: float = 0.9,
    preserve_norm: bool = True,
) -> Tensor:
    """Closest weight of the same norms whose filters have at least a share `purity` of their energy in their bands.

    Filters that already do, and filters without energy, come back bit for bit.

    Args:
        weight: ``(O, I, kH, kW)`` of any kernel size but 1x1. In half types the purity holds to their precision.
        target: Proportions by band name, assigned on the spot by `freqfast.spectral.bands.assign_bands`, or
            ``(O,)`` integer band indices.
        bands: The bands; two of equal area by default.
        purity: Share of energy that each filter must have in its band, above 0.5 and below what the kernel can reach.
        preserve_norm: Rescale each projected filter to the norm it had.

    Returns:
        A new weight of the same shape, dtype and device. Projecting it again changes nothing.

    Raises:
        ValueError: If the weight is unfit (see `freqfast.spectral.spectrum.check_weight`), the purity cannot be
            reached, or the target is not valid.

    Examples:
        >>> weight = project_filters(torch.randn(4, 3, 3, 3), {"low": 0.75, "high": 0.25}, purity=0.8)
        >>> band_shares(weight).max(1).values >= 0.799
        tensor([True, True, True, True])
    """
    weight, bands = check_weight(weight), Bands.of(bands)
    kernel_size = (weight.shape[2], weight.shape[3])
    bands_of = target_bands(weight, bands, target)
    _check_purity(purity, bands, kernel_size, sorted(set(bands_of.tolist())))

    work = at_least_float32(weight)
    kernels, size = scaled_kernels(work)
    values, vectors = (t.to(kernels.device) for t in _eigenbasis(bands, kernel_size))
    bands_of = bands_of.to(kernels.device)
    values, coordinates = values[bands_of], _times_own(kernels, vectors, bands_of)
    share_gap = (coordinates.square().sum(1) * (values - purity)).sum(1)
    outside = (share_gap < 0).nonzero()[:, 0]
    projected = work.to(kernels.device, copy=True)
    if len(outside):
        rows = coordinates[outside]
        # Aim a few roundings inside the cone: the result then passes the very test that sent it here.
        # Rounding to a dtype turns a filter by at most half its eps, and so changes its share by no more.
        margin = 16 * torch.finfo(work.dtype).eps + torch.finfo(weight.dtype).eps / 2
        margin = min(margin, (float(values[outside, -1].min()) - purity) / 2)
        moved = _project_rows(rows, values[outside], purity + margin)
        if preserve_norm:
            moved = moved * (rows.square().sum((1, 2)).sqrt() / moved.square().sum((1, 2)).sqrt())[:, None, None]
        moved = _times_own(moved, vectors.mT, bands_of[outside]) * size[outside]
        projected[outside] = moved.to(work.dtype).unflatten(2, kernel_size)
    return projected.to(weight.dtype).to(weight.device)


@torch.no_grad()
def project_onto_subspace(
    weight: Tensor | np.ndarray,
    target: Mapping[str, float] | Tensor,
    bands: BandsLike = None,
    rank: int = 3,
    preserve_norm: bool = True,
) -> Tensor:
    """Closest weight of the same norms whose kernels consist of their bands' leading eigenvectors alone.

    The leading eigenvectors are those of the band's energy matrix with the largest eigenvalues. A filter's share of
    energy in its band is then at least the smallest of these eigenvalues, see `Bands.reachable`. Filters that lie in
    the subspace already, up to the rounding of their dtype, come back bit for bit.

    Args:
        weight: As for `project_filters`, like target and bands.
        target: Proportions by band name, or band indices.
        bands: The bands.
        rank: Number of eigenvectors. The last one must have more than half of its energy in the band, and eigenvectors
            with equal eigenvalues must stay together: for 3x3 kernels in the low band the rank is 1, 3 or 4, since 2
            would prefer some direction.
        preserve_norm: Rescale each projected filter to the norm it had. A filter that is orthogonal to the subspace
            becomes the leading eigenvector in the first channel; without rescaling it becomes zero.

    Examples:
        >>> weight = project_onto_subspace(torch.randn(4, 3, 3, 3), {"low": 1.0}, rank=3)
        >>> (band_shares(weight)[:, 0] > 0.894).all()
        tensor(True)
    """
    weight, bands = check_weight(weight), Bands.of(bands)
    kernel_size = (weight.shape[2], weight.shape[3])
    bands_of = target_bands(weight, bands, target)
    _check_rank(rank, bands, kernel_size, sorted(set(bands_of.tolist())))

    work = at_least_float32(weight)
    kernels, size = scaled_kernels(work)
    vectors = _eigenbasis(bands, kernel_size)[1][:, :, -rank:].to(kernels.device)
    bands_of = bands_of.to(kernels.device)
    # By coordinates: what a filter has in its subspace, be it little, lies in it to the last bits when it is rescaled.
    inside = _times_own(_times_own(kernels, vectors, bands_of), vectors.mT, bands_of)
    norm, kept = (x.square().sum((1, 2), keepdim=True).sqrt() for x in (kernels, inside))
    rounding = (16 * torch.finfo(work.dtype).eps + torch.finfo(weight.dtype).eps / 2) * norm
    moved = ((kernels - inside).square().sum((1, 2), keepdim=True).sqrt() > rounding)[..., None]
    if preserve_norm:
        leading = torch.zeros_like(inside)
        leading[:, 0] = vectors[bands_of, :, -1]
        inside = torch.where(kept > 1e-12 * norm, inside * (norm / kept), leading * norm)
    projected = (inside * size).to(work.dtype).view(work.shape)
    return torch.where(moved.to(work.device), projected.to(work.device), work).to(weight.dtype)


def _check_rank(rank: int, bands: Bands, kernel_size: tuple[int, int], used: list[int]) -> None:
    """Allow ranks whose eigenvectors belong to the band, and that part no eigenvectors of equal eigenvalues."""
    values = _eigenbasis(bands, kernel_size)[0][used].flip(1)
    ends = (values > 0.5) & (values - torch.nn.functional.pad(values[:, 1:], (0, 1)) > 1e-11)
    ranks = (ends.all(0).nonzero()[:, 0] + 1).tolist()
    if rank not in ranks:
        size, names = "x".join(map(str, kernel_size)), " and ".join(bands.names[b] for b in used)
        if not ranks:
            raise ValueError(f"no rank fits a {size} kernel in band {names}; use fewer bands, or a larger kernel")
        raise ValueError(
            f"rank must be one of {', '.join(map(str, ranks))} (the shapes of a {size} kernel that have most of their "
            f"energy in band {names}), got {rank}"
        )
