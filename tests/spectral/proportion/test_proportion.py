"""Projected filters have their purity and the proportion, whatever else; invalid arguments are refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from freqfast.spectral.bands import Bands, assign_bands, band_counts, band_shares, frequency_proportion
from freqfast.spectral.proportion import project_filters, project_onto_subspace
from tests.support.projected import THREE, TWO, all_to, purity_of, random_weight


@pytest.mark.parametrize(
    ("kernel_size", "dtype"), [((3, 3), torch.float16), ((2, 5), torch.bfloat16), ((16, 16), torch.float32)]
)
def test_every_filter_has_its_purity_and_projecting_twice_changes_nothing(kernel_size, dtype):
    weight = random_weight(0, 24, 3, *kernel_size, dtype=dtype)
    target = torch.arange(24) % 2
    purity = 0.5 + 0.8 * (TWO.reachable(kernel_size).min() - 0.5)
    for preserve_norm in (True, False):
        projected = project_filters(weight, target, TWO, purity, preserve_norm)
        assert projected.dtype == dtype
        assert projected.shape == weight.shape
        assert (purity_of(projected, TWO, target) >= purity - 1e-9).all()
        assert torch.equal(project_filters(projected, target, TWO, purity, preserve_norm), projected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_at_nearly_the_highest_purity(dtype):
    purity, target = float(TWO.reachable((3, 3))[1]) - 1e-4, all_to(1, 16)
    projected = project_filters(random_weight(0, 16, 3, 3, 3, dtype=dtype), target, TWO, purity)
    assert projected.isfinite().all()
    assert (purity_of(projected, TWO, target) >= purity - torch.finfo(dtype).eps).all()


def test_hard_case_with_a_coefficient_of_exactly_zero():
    weight = torch.ones(1, 3, 1, 2)  # its one other eigenvector is (1, -1)
    projected = project_filters(weight, all_to(1, 1), TWO, 0.6)
    assert purity_of(projected, TWO, [1])[0] >= 0.6
    assert projected.norm() == pytest.approx(weight.norm())
    assert torch.equal(project_filters(projected, all_to(1, 1), TWO, 0.6), projected)


@given(
    kernel=st.sampled_from([(3, 3), (5, 5), (7, 7), (2, 3), (1, 5), (4, 4)]),
    channels=st.integers(1, 4),
    filters=st.integers(1, 40),
    parts=st.lists(st.integers(0, 10), min_size=3, max_size=3).filter(any),
    count=st.sampled_from([2, 3]),
    how_pure=st.floats(0.01, 0.999),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    preserve_norm=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_proportion_is_exact_after_projection(
    kernel, channels, filters, parts, count, how_pure, dtype, preserve_norm, seed
):
    bands = Bands.equal_area(count)
    reachable = bands.reachable(kernel)
    parts = [part if limit > 0.51 else 0 for part, limit in zip(parts, reachable, strict=False)]
    if not any(parts):
        parts[0] = 1
    purity = 0.5 + how_pure * (min(r for part, r in zip(parts, reachable, strict=True) if part) - 0.5)
    proportions = {name: part / sum(parts) for name, part in zip(bands.names, parts, strict=True)}
    weight = random_weight(seed, filters, channels, *kernel, dtype=dtype)

    projected = project_filters(weight, proportions, bands, purity, preserve_norm)

    counts = band_counts(proportions, bands, filters)
    assert (frequency_proportion(projected, bands) * filters).round().int().tolist() == counts
    target = assign_bands(band_shares(weight.double(), bands), counts)
    assert (purity_of(projected, bands, target) >= purity - 1e-5).all()
    assert torch.equal(project_filters(projected, proportions, bands, purity, preserve_norm), projected)
    if preserve_norm:
        torch.testing.assert_close(projected.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1))


def test_filters_of_half_types_are_assigned_by_their_shares_in_float64():
    weight = random_weight(4, 200, 1, 3, 3, dtype=torch.bfloat16)
    target = assign_bands(band_shares(weight.double(), TWO), [100, 100])
    assert torch.equal(project_filters(weight, {"low": 0.5, "high": 0.5}, TWO), project_filters(weight, target, TWO))


# What does not change, and what the result does not depend on


def test_filters_inside_and_filters_without_energy_come_back_bit_for_bit():
    weight = random_weight(2, 16, 3, 3, 3, dtype=torch.float32)
    inside = project_filters(weight, torch.arange(16) % 2, TWO, 0.95)
    weight[:8] = inside[:8]
    weight[8] = 0
    projected = project_filters(weight, torch.arange(16) % 2, TWO, 0.9)
    assert torch.equal(projected[:9], weight[:9])
    assert (projected[9:] != weight[9:]).flatten(1).any(1).sum() > 4


@pytest.mark.parametrize("project", [project_filters, project_onto_subspace])
def test_the_input_stays_and_the_result_has_no_gradient(project):
    weight = nn.Parameter(random_weight(3, 8, 3, 3, 3))
    before = weight.detach().clone()
    projected = project(weight, {"high": 1.0}, TWO)
    assert torch.equal(weight, before)
    assert not projected.requires_grad
    assert project(projected, {"high": 1.0}, TWO) is not projected  # though nothing changes


@pytest.mark.parametrize(("scale", "dtype"), [(1e-30, torch.float32), (1e30, torch.float32), (1e30, torch.float64)])
def test_tiny_and_huge_filters_are_projected_beside_ordinary_ones(scale, dtype):
    weight, target = random_weight(10, 16, 3, 3, 3, dtype=dtype), torch.arange(16) // 2 % 2
    mixed = weight.clone()
    mixed[::2] *= scale
    projected = project_filters(mixed, target, TWO)
    assert torch.isfinite(projected).all()
    assert (purity_of(projected, TWO, target) >= 0.9 - 1e-9).all()
    assert torch.equal(projected[1::2], project_filters(weight, target, TWO)[1::2])


def test_order_of_filters_and_channels_does_not_matter():
    weight, target = random_weight(12, 16, 3, 3, 3), torch.arange(16) % 2
    projected = project_filters(weight, target, TWO)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(project_filters(weight[order], target[order], TWO), projected[order])
    torch.testing.assert_close(project_filters(weight.flip(1), target, TWO), projected.flip(1))


def test_a_band_without_filters_does_not_limit_the_purity():
    weight = random_weight(16, 8, 3, 3, 3)
    projected = project_filters(weight, {"low": 1.0}, THREE, 0.9)  # the middle band could reach 0.54 only
    assert frequency_proportion(projected, THREE).tolist() == [1, 0, 0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_cpus_result():
    weight = random_weight(17, 64, 3, 7, 7, dtype=torch.float32)
    on_cuda = project_filters(weight.cuda(), {"low": 0.5, "high": 0.5}, TWO)
    assert on_cuda.is_cuda
    torch.testing.assert_close(on_cuda.cpu(), project_filters(weight, {"low": 0.5, "high": 0.5}, TWO))
