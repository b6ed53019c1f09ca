"""Projection onto the leading eigenvectors of bands."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqfast.spectral.bands import band_shares
from freqfast.spectral.proportion import project_onto_subspace
from tests.support.projected import CHECKERBOARD, SOBEL, THREE, TWO, all_to, purity_of, random_weight


def leading(bands, band, kernel_size, rank):
    """Projector onto the leading eigenvectors, by NumPy's FFT of the unit kernels."""
    k = kernel_size[0] * kernel_size[1]
    spectra = np.fft.fft2(np.eye(k).reshape(k, *kernel_size), s=(32, 32)) / 32
    f = np.fft.fftfreq(32)
    rho = np.hypot(f[:, None], f[None])
    inside = np.searchsorted(bands.edges[1:-1], rho, side="right") == band
    form = np.einsum("phw,qhw->pq", spectra * inside, spectra.conj()).real
    vectors = np.linalg.eigh(form)[1][:, -rank:]
    return vectors @ vectors.T


@given(
    case=st.sampled_from([((3, 3), 1), ((3, 3), 3), ((5, 5), 3), ((5, 5), 6), ((1, 4), 1), ((2, 2), 1)]),
    channels=st.integers(1, 3),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    scale=st.sampled_from([1.0, 1e-3, 100.0]),
    seed=st.integers(0, 2**31),
)
def test_in_the_subspace_of_its_norm_and_stable(case, channels, dtype, scale, seed):
    (kernel_size, rank), target = case, torch.arange(8) % 2
    weight = (scale * random_weight(seed, 8, channels, *kernel_size)).to(dtype)
    projected = project_onto_subspace(weight, target, TWO, rank)
    eps = torch.finfo(dtype).eps
    for o in range(8):
        kernels = projected[o].double().flatten(1).numpy()
        outside = kernels - kernels @ leading(TWO, o % 2, kernel_size, rank)
        assert np.linalg.norm(outside) <= (20 * eps + 1e-11) * np.linalg.norm(kernels)
    norms = [w.double().flatten(1).norm(dim=1) for w in (weight, projected)]
    torch.testing.assert_close(norms[1], norms[0], rtol=4 * eps, atol=0)
    assert torch.equal(project_onto_subspace(projected, target, TWO, rank), projected)
    bound = TWO.reachable(kernel_size, rank)[target.numpy()]
    assert (purity_of(projected, TWO, target) >= bound - 20 * eps).all()


@pytest.mark.parametrize("bands", [TWO, THREE])
def test_it_is_the_closest_point(bands):
    weight, target = random_weight(0, 6, 2, 5, 5), torch.arange(6) % len(bands)
    projected = project_onto_subspace(weight, target, bands, 1, preserve_norm=False)
    for o, band in enumerate(target.tolist()):
        onto = leading(bands, band, (5, 5), 1)
        np.testing.assert_allclose(projected[o].flatten(1), weight[o].flatten(1).numpy() @ onto, atol=1e-12)
        others = random_weight(1, 50, 2, 25).numpy() @ onto
        distances = np.linalg.norm(others - weight[o].flatten(1).numpy(), axis=(1, 2))
        assert distances.min() > (projected[o] - weight[o]).norm()


@pytest.mark.parametrize("rank", [1, 3])
def test_eigenvalues_of_a_large_kernel_are_told_apart(rank):
    """The low band's differ by 2e-11 and 4e-10 here; a subspace that is determined turns with the filters."""
    weight = random_weight(0, 4, 3, 11, 11)
    projected, turned = (project_onto_subspace(w, all_to(0, 4), TWO, rank) for w in (weight, weight.rot90(1, (2, 3))))
    torch.testing.assert_close(turned, projected.rot90(1, (2, 3)), rtol=0, atol=1e-3)  # of up to 5


def test_a_filter_orthogonal_to_its_subspace():
    weight = SOBEL.expand(1, 2, 3, 3).clone()  # odd, and the high band's leading eigenvector is even
    projected = project_onto_subspace(weight, all_to(1, 1), TWO, 1)
    assert projected.norm() == pytest.approx(weight.norm())
    assert purity_of(projected, TWO, [1])[0] == pytest.approx(TWO.reachable((3, 3))[1])
    assert float(projected[:, 1].norm()) == 0
    assert project_onto_subspace(weight, all_to(1, 1), TWO, 1, preserve_norm=False).abs().max() < 1e-15


def test_a_filter_orthogonal_to_a_subspace_of_several_becomes_its_purest():
    vectors = np.linalg.eigh(TWO.energy_matrices((3, 3))[1])[1]
    weight = torch.from_numpy(vectors[:, 0].copy()).view(1, 1, 3, 3)
    projected = project_onto_subspace(weight, all_to(1, 1), TWO, 3)
    assert projected.norm() == pytest.approx(1)
    assert purity_of(projected, TWO, [1])[0] == pytest.approx(TWO.reachable((3, 3))[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("share", [1e-3, 1e-6, 1e-9])
def test_a_filter_almost_orthogonal_to_its_subspace_is_inside_after_one_projection(share, dtype):
    """What is rescaled by 1000 and more is not the rounding of what was taken away."""
    weight = random_weight(3, 8, 2, 3, 3)
    onto = torch.from_numpy(leading(TWO, 0, (3, 3), 1))
    inside = (weight.flatten(2) @ onto).view_as(weight)
    weight = (weight - (1 - share) * inside).to(dtype)
    projected = project_onto_subspace(weight, all_to(0, 8), TWO, 1)
    assert torch.equal(project_onto_subspace(projected, all_to(0, 8), TWO, 1), projected)


def test_filters_without_energy_and_filters_inside_stay_bit_for_bit():
    weight = random_weight(2, 4, 3, 3, 3, dtype=torch.float32)
    weight[0] = 0
    weight[1] = project_onto_subspace(weight[1:2], all_to(0, 1), TWO, 1)[0]
    projected = project_onto_subspace(weight, all_to(0, 4), TWO, 3)
    assert torch.equal(projected[:2], weight[:2])
    assert (projected[2:] != weight[2:]).any()


def test_proportions_are_assigned():
    weight = torch.cat([CHECKERBOARD.expand(3, 3, 3, 3), torch.ones(5, 3, 3, 3)]).double()
    classes = band_shares(project_onto_subspace(weight, {"low": 0.5, "high": 0.5}, TWO, 1)).argmax(1)
    assert (classes.bincount().tolist(), classes[:3].tolist()) == ([4, 4], [1, 1, 1])


def test_the_bound_is_reached_and_reported():
    for rank in (1, 3, 4):
        vector = np.linalg.eigh(TWO.energy_matrices((3, 3))[0])[1][:, -rank]
        worst = torch.from_numpy(vector).view(1, 1, 3, 3)
        assert TWO.reachable((3, 3), rank)[0] == pytest.approx(float(band_shares(worst)[0, 0]))
        torch.testing.assert_close(project_onto_subspace(worst, all_to(0, 1), TWO, rank), worst)
