"""Projected filters have their purity and the proportion; invalid arguments are refused."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from freqfast.spectral.bands import Bands, assign_bands, band_counts, band_shares, frequency_proportion
from freqfast.spectral.proportion import project_filters
from tests.support.projected import HARD, THREE, TWO, all_to, purity_of, random_weight


@pytest.mark.parametrize(
    ("kernel_size", "dtype"),
    [
        ((3, 3), torch.float16),
        ((7, 7), torch.bfloat16),
        ((16, 16), torch.float32),
        ((1, 3), torch.float64),
        ((3, 3), torch.bfloat16),
        ((2, 5), torch.float16),
    ],
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


@pytest.mark.parametrize(
    ("purity", "dtype", "preserve_norm"),
    [(0.51, torch.float32, True), (0.9, torch.float32, False), (0.96, torch.float64, True)],
)
@pytest.mark.parametrize("band", [0, 1])
@pytest.mark.parametrize("name", HARD)
def test_structured_kernels_have_their_purity_in_either_band(name, band, purity, dtype, preserve_norm):
    weight = HARD[name].to(dtype).expand(4, 3, 3, 3)
    projected = project_filters(weight, all_to(band, 4), TWO, purity, preserve_norm)
    assert (purity_of(projected, TWO, all_to(band, 4)) >= purity - 1e-9).all()
    assert torch.equal(project_filters(projected, all_to(band, 4), TWO, purity, preserve_norm), projected)


def test_hard_case_with_a_coefficient_of_exactly_zero():
    weight = torch.ones(1, 3, 1, 2)  # its one other eigenvector is (1, -1)
    projected = project_filters(weight, all_to(1, 1), TWO, 0.6)
    assert purity_of(projected, TWO, [1])[0] >= 0.6
    assert projected.norm() == pytest.approx(weight.norm())
    assert torch.equal(project_filters(projected, all_to(1, 1), TWO, 0.6), projected)


@settings(max_examples=100)
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


# Errors

GOOD = torch.ones(4, 3, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(4, 3, 1, 1), {"low": 1.0}, TWO), "a 1x1 kernel has a flat spectrum"),
        ((GOOD, {"low": 1.0}, TWO, 0.5), "purity must lie between 0.5 and 0.99.* 3x3 kernel .* band 'low'.*got 0.5;"),
        ((GOOD, {"low": 1.0}, TWO, math.nan), "got nan"),
        ((GOOD, {"mid": 1.0}, THREE, 0.9), "between 0.5 and 0.54.* band 'mid'.*got 0.9"),
        ((GOOD, {"low": 0.8, "high": 0.4}, TWO), r"proportions must sum to 1, got 1.2 \(low=0.8, high=0.4\)"),
        ((GOOD, torch.tensor([0, 1, 0]), TWO), r"each of the 4 filters, got shape \(3,\)"),
        ((GOOD, torch.tensor([0.0, 1, 0, 1]), TWO), "one integer band index .* of torch.float32"),
        ((GOOD, torch.tensor([0, 1, 2, 1]), TWO), r"must lie in 0..1, got \[0, 1, 2\]"),
        ((GOOD, {"low": 1.0}, "low"), "bands must be a Bands.*got 'low'"),
    ],
)
def test_errors_name_the_value(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        project_filters(*arguments)
    assert "\n" not in str(caught.value)
