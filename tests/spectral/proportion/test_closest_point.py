"""The projection is the closest point that meets the purity."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from freqfast.spectral.proportion import project_filters
from tests.support.projected import HARD, TWO, all_to, purity_of, random_weight


def assert_globally_closest(original, projected, bands, target, purity, tolerance=1e-6):
    """A certificate of global optimality for one quadratic constraint (the S-lemma).

    With ``M = A - purity``, x on the cone's surface is the closest point to a if and only if some ``mu >= 0`` gives
    ``(1 - mu M) x = a`` with ``1 - mu M`` positive semidefinite.
    """
    kernel_size = tuple(original.shape[2:])
    forms = bands.energy_matrices(kernel_size) - purity * np.eye(math.prod(kernel_size))
    for a, x, b in zip(original.flatten(2).numpy(), projected.flatten(2).numpy(), np.asarray(target), strict=True):
        size = np.linalg.norm(a)
        m = forms[b]
        if (np.einsum("ip,pq,iq", a, m, a)) >= 0:
            np.testing.assert_array_equal(x, a)
            continue
        pull = x @ m
        mu = ((x - a) * pull).sum() / (pull * pull).sum()
        assert mu >= 0
        assert np.linalg.norm(x - a - mu * pull) <= tolerance * size
        assert np.linalg.eigvalsh(np.eye(len(m)) - mu * m).min() >= -tolerance
        assert abs(np.einsum("ip,pq,iq", x, m, x)) <= tolerance * size**2


@given(
    kernel=st.sampled_from([(3, 3), (5, 5), (7, 7), (2, 2), (2, 5), (1, 4)]),
    channels=st.integers(1, 3),
    how_pure=st.floats(0.01, 0.99),
    magnitudes=st.integers(0, 6),
    seed=st.integers(0, 2**31),
)
@example(kernel=(5, 5), channels=1, how_pure=0.9, magnitudes=6, seed=2)  # where Newton's steps alone go astray
def test_projection_is_certified_closest(kernel, channels, how_pure, magnitudes, seed):
    """Even if the energies along the eigenvectors span many magnitudes, which makes the multiplier hard to find."""
    purity = 0.5 + how_pure * (TWO.reachable(kernel).min() - 0.5)
    band = seed % 2
    vectors = torch.from_numpy(np.linalg.eigh(TWO.energy_matrices(kernel)[band])[1])
    spread = 10 ** (-magnitudes * torch.rand(math.prod(kernel), generator=torch.Generator().manual_seed(seed)).double())
    weight = ((random_weight(seed, 4, channels, *kernel).flatten(2) * spread) @ vectors.T).unflatten(2, kernel)
    projected = project_filters(weight, all_to(band, 4), TWO, purity, preserve_norm=False)
    assert_globally_closest(weight, projected, TWO, all_to(band, 4), purity)


@pytest.mark.parametrize("purity", [0.51, 0.9, 0.96])
@pytest.mark.parametrize("band", [0, 1])
def test_structured_kernels_are_certified_closest_and_keep_their_purity(band, purity):
    weight, target = torch.stack([*HARD.values()])[:, None].expand(-1, 2, -1, -1), all_to(band, len(HARD))
    projected = project_filters(weight, target, TWO, purity, preserve_norm=False)
    assert_globally_closest(weight, projected, TWO, target, purity)
    for dtype in (torch.float32, torch.float64):
        rescaled = project_filters(weight.to(dtype), target, TWO, purity)
        assert (purity_of(rescaled, TWO, target) >= purity - 1e-9).all()
        assert torch.equal(project_filters(rescaled, target, TWO, purity), rescaled)


def test_preserve_norm_only_rescales():
    weight = random_weight(8, 32, 3, 3, 3)
    kept = project_filters(weight, {"high": 1.0}, TWO, preserve_norm=True)
    closest = project_filters(weight, {"high": 1.0}, TWO, preserve_norm=False)
    norm = weight.flatten(1).norm(dim=1)
    torch.testing.assert_close(kept, closest * (norm / closest.flatten(1).norm(dim=1))[:, None, None, None])


def test_a_purity_below_the_limit_by_less_than_eigenvalues_are_told_apart():
    """A 16x16 kernel reaches 1 in the low band, up to rounding."""
    projected = project_filters(random_weight(0, 4, 3, 16, 16), all_to(0, 4), TWO, purity=1 - 1e-10)
    assert (purity_of(projected, TWO, [0] * 4) > 1 - 1e-9).all()
