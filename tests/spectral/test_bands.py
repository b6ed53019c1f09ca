import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqfast.spectral.bands import (
    Bands,
    assign_bands,
    band_counts,
    band_shares,
    classify_filters,
    frequency_proportion,
)
from tests.support.projected import THREE, TWO, numpy_shares, random_weight

KERNEL_SIZES = [(3, 3), (16, 16), (5, 1), (2, 5)]
LOW = torch.ones(1, 1, 3, 3)
HIGH = torch.tensor([[1.0, -1, 1], [-1, 1, -1], [1, -1, 1]])[None, None]


# Bands


@pytest.mark.parametrize("count", [3, 20])
def test_equal_area_bands_have_equal_numbers_of_points_of_a_fine_grid(count):
    f = (np.arange(1000) + 0.5) / 2000  # a quadrant of the plane
    rho = np.hypot(f[:, None], f[None]).ravel()
    points, _ = np.histogram(rho, bins=Bands.equal_area(count).edges)
    np.testing.assert_allclose(points / rho.size, [1 / count] * count, atol=1e-4)


def test_bands_by_number_and_of_what_a_recipe_can_write():
    assert (TWO.names, THREE.names) == (("low", "high"), ("low", "mid", "high"))
    assert Bands.equal_area(1).names == ("all",)
    assert Bands.equal_area(4).names == ("band0", "band1", "band2", "band3")
    assert Bands.equal_area(2, ["coarse", "fine"]).names == ("coarse", "fine")
    assert Bands.of(None) == Bands.equal_area() == TWO
    assert Bands.of(3) == Bands.of(np.int64(3)) == THREE
    assert Bands.of(THREE) is THREE
    assert len({TWO, Bands.equal_area(2), THREE}) == 2
    written = {"edges": [0, 0.2, 0.75], "names": ["smooth", "rough"]}
    assert Bands.of(written) == Bands((0, 0.2, 0.75), ("smooth", "rough"))
    assert Bands.of({"edges": [0, 0.75], "names": "all"}) == Bands((0, 0.75), ("all",))
    assert Bands((0, 0.4, 0.7071), ("a", "b")).edges[-1] == 0.7071  # the square root of 0.5 with four digits


# Shares and proportions


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize("bands", [TWO, THREE, Bands((0, 0.25, 0.8), ("a", "b"))])
def test_band_shares_are_numpys(kernel_size, bands):
    weight = random_weight(0, 8, 3, *kernel_size)
    np.testing.assert_allclose(band_shares(weight, bands).numpy(), numpy_shares(weight, bands), atol=1e-12)


def test_no_rounding_makes_a_band_share_negative():
    _, vectors = np.linalg.eigh(TWO.energy_matrices((16, 16))[0])  # many of them without any energy in a band
    assert band_shares(vectors.T.reshape(-1, 1, 16, 16)).min() >= 0


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float16, 1e-3), (torch.bfloat16, 8e-3), (torch.float32, 1e-6), (torch.float64, 1e-12)],
)
def test_band_shares_in_every_dtype(dtype, tolerance):
    weight = random_weight(1, 8, 3, 3, 3, dtype=dtype)
    shares = band_shares(weight)
    assert shares.dtype == dtype
    np.testing.assert_allclose(shares.double().numpy(), numpy_shares(weight, TWO), atol=tolerance)


@pytest.mark.parametrize(("scale", "dtype"), [(1e30, torch.float32), (-3.0, torch.float32), (1e-200, torch.float64)])
def test_band_shares_do_not_depend_on_scale(scale, dtype):
    weight = random_weight(2, 8, 3, 3, 3, dtype=dtype)
    torch.testing.assert_close(band_shares(weight * scale), band_shares(weight))


def test_a_filter_without_energy_has_no_share_and_counts_for_the_lowest_band():
    weight = torch.cat([torch.zeros(1, 1, 3, 3), HIGH])
    assert band_shares(weight)[0].tolist() == [0, 0]
    assert frequency_proportion(weight).tolist() == [0.5, 0.5]


def test_filters_belong_to_their_largest_share_and_ties_to_the_lower_band():
    shares = torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [0.1, 0.45, 0.45]])
    assert classify_filters(shares).tolist() == [1, 0, 1]


def test_frequency_proportion_counts_filters_whatever_their_energy():
    weight = torch.cat([LOW, LOW, LOW, 10 * HIGH]).double()
    assert frequency_proportion(weight).tolist() == [0.75, 0.25]
    assert frequency_proportion(weight, THREE).shape == (3,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_do_not_round_a_narrow_majority_away(dtype):
    weight = random_weight(4, 5000, 1, 3, 3, dtype=dtype)
    assert torch.equal(frequency_proportion(weight), frequency_proportion(weight.double()))


# Counts


@pytest.mark.parametrize(
    ("proportions", "filters", "counts"),
    [
        ({"high": 0.29, "low": 0.71}, 100, [71, 0, 29]),  # 0.29 * 100 is 28.999... in binary
        ({"low": 0.3333333, "mid": 0.3333333, "high": 0.3333333}, 9, [3, 3, 3]),  # as a recipe writes it
        ({"low": 0.15, "mid": 0.2, "high": 0.65}, 4, [1, 1, 2]),  # 0.6 and 2.6: equal remainders, not so in binary
    ],
)
def test_band_counts_by_largest_remainder(proportions, filters, counts):
    assert band_counts(proportions, THREE, filters) == counts


@given(parts=st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(any), filters=st.integers(1, 512))
def test_band_counts_match_largest_remainder_in_exact_arithmetic(parts, filters):
    bands = Bands.equal_area(4)
    proportions = {name: part / sum(parts) for name, part in zip(bands.names, parts, strict=True)}
    exact = [Fraction(part, sum(parts)) * filters for part in parts]
    expected = [math.floor(x) for x in exact]
    order = sorted(range(4), key=lambda b: (expected[b] - exact[b], b))
    for b in order[: filters - sum(expected)]:
        expected[b] += 1
    assert band_counts(proportions, bands, filters) == expected


# Assignment


@given(counts=st.lists(st.integers(0, 2), min_size=2, max_size=3).filter(any), seed=st.integers(0, 2**31))
def test_assignment_keeps_the_most_energy_of_all_assignments(counts, seed):
    filters, bands = sum(counts), len(counts)
    logits = torch.randn(filters, bands, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    shares = (2 * logits).softmax(1).requires_grad_()  # as those of a layer's weight
    assigned = assign_bands(shares, counts)
    assert assigned.dtype == torch.int64
    assert torch.bincount(assigned, minlength=bands).tolist() == counts
    slots = np.repeat(np.arange(bands), counts)
    best = max(shares[range(filters), order].sum().item() for order in set(itertools.permutations(slots.tolist())))
    assert shares[range(filters), assigned].sum().item() == pytest.approx(best, abs=1e-12)
