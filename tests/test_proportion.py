import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from freqfast.bands import Bands, assign_bands, band_counts, band_shares, frequency_proportion
from freqfast.proportion import project_filters

TWO, THREE = Bands.equal_area(2), Bands.equal_area(3)
KERNEL_SIZES = [(3, 3), (2, 2), (4, 4), (5, 5), (7, 7), (16, 16), (1, 3), (3, 1), (2, 5), (5, 4)]
SOBEL = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], dtype=torch.float64)
DELTA = torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=torch.float64)
CHECKERBOARD = torch.tensor([[1.0, -1, 1], [-1, 1, -1], [1, -1, 1]], dtype=torch.float64)
HARD = {
    "sobel_x": SOBEL,
    "sobel_y": SOBEL.T,
    "delta": DELTA,
    "corner": DELTA.roll((1, 1), (0, 1)),
    "box": torch.ones(3, 3, dtype=torch.float64),
    "checkerboard": CHECKERBOARD,
    "edge": torch.tensor([[0.0, 0, 0], [1, -1, 0], [0, 0, 0]], dtype=torch.float64),
}
ROUNDING = {torch.float16: 1e-3, torch.bfloat16: 8e-3, torch.float32: 1e-6, torch.float64: 1e-13}


def random_weight(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def smooth_weight(seed, filters, size, noise):
    """Gaussian blobs with a little noise: nearly nothing in the high band, as in a trained 7x7 stem."""
    y = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    width = torch.linspace(0.6, 2.5, filters, dtype=torch.float64)[:, None, None]
    blobs = torch.exp(-(y[:, None] ** 2 + y**2) / (2 * width**2))[:, None]
    return blobs + noise * random_weight(seed, filters, 1, size, size)


def all_to(band, filters):
    return torch.full((filters,), band)


def purity_of(weight, bands, target):
    """Share of each filter's energy in its target band, by NumPy's FFT on the grid that DESIGN prescribes."""
    n = max(32, 2 * max(weight.shape[2:]))
    # Scaled first: the squares of tiny filters leave the range of numbers.
    kernels = weight.double().numpy() / np.abs(weight.double().numpy()).max((1, 2, 3), keepdims=True)
    power = (np.abs(np.fft.fft2(kernels, s=(n, n))) ** 2).sum(1)
    f = np.fft.fftfreq(n)
    band = np.searchsorted(bands.edges[1:-1], np.hypot(f[:, None], f[None]), side="right")
    inside = band[None] == np.asarray(target)[:, None, None]
    return (power * inside).sum((1, 2)) / power.sum((1, 2))


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


# What a projected layer is


@pytest.mark.parametrize("preserve_norm", [True, False])
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize("dtype", ROUNDING)
def test_every_filter_meets_its_purity(kernel_size, dtype, preserve_norm):
    weight = random_weight(0, 24, 3, *kernel_size, dtype=dtype)
    target = torch.arange(24) % 2
    purity = 0.5 + 0.8 * (TWO.reachable(kernel_size).min() - 0.5)
    projected = project_filters(weight, TWO, target, purity, preserve_norm)
    assert projected.dtype == dtype
    assert projected.shape == weight.shape
    assert (purity_of(projected, TWO, target) >= purity - 1e-9).all()


@pytest.mark.parametrize("preserve_norm", [True, False])
@pytest.mark.parametrize("purity", [0.51, 0.75, 0.9, 0.96])
@pytest.mark.parametrize("band", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", HARD)
def test_structured_kernels_meet_their_purity_in_either_band(name, dtype, band, purity, preserve_norm):
    weight = HARD[name].to(dtype).expand(4, 3, 3, 3)
    projected = project_filters(weight, TWO, all_to(band, 4), purity, preserve_norm)
    assert (purity_of(projected, TWO, all_to(band, 4)) >= purity - 1e-9).all()
    assert torch.equal(project_filters(projected, TWO, all_to(band, 4), purity, preserve_norm), projected)


def test_the_hard_case_is_among_them():
    """A Sobel kernel has nothing on the high band's top eigenvector: the multiplier's equation has no root."""
    top = np.linalg.eigh(TWO.energy_matrices((3, 3))[1])[1][:, -1]
    assert abs(SOBEL.flatten().numpy() @ top) < 1e-12


def test_the_hard_case_with_a_coefficient_of_exactly_zero():
    weight = torch.ones(1, 3, 1, 2)  # its one other eigenvector is (1, -1)
    projected = project_filters(weight, TWO, all_to(1, 1), 0.6)
    assert purity_of(projected, TWO, [1])[0] >= 0.6
    assert projected.norm() == pytest.approx(weight.norm())
    assert torch.equal(project_filters(projected, TWO, all_to(1, 1), 0.6), projected)


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize("dtype", ROUNDING)
def test_projecting_twice_is_bit_identical(kernel_size, dtype):
    weight = random_weight(1, 24, 3, *kernel_size, dtype=dtype)
    purity = 0.5 + 0.8 * (TWO.reachable(kernel_size).min() - 0.5)
    for target in (torch.arange(24) % 2, {"low": 0.25, "high": 0.75}):
        once = project_filters(weight, TWO, target, purity)
        assert torch.equal(project_filters(once, TWO, target, purity), once)


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

    projected = project_filters(weight, bands, proportions, purity, preserve_norm)

    counts = band_counts(proportions, bands, filters)
    assert (frequency_proportion(projected, bands) * filters).round().int().tolist() == counts
    target = assign_bands(band_shares(weight.double(), bands), counts)
    assert (purity_of(projected, bands, target) >= purity - 1e-5).all()
    assert torch.equal(project_filters(projected, bands, proportions, purity, preserve_norm), projected)
    if preserve_norm:
        torch.testing.assert_close(projected.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1))


@given(
    kernel=st.sampled_from([(3, 3), (5, 5), (2, 3)]),
    values=st.lists(st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0]), min_size=25, max_size=25),
    band=st.integers(0, 1),
)
def test_kernels_of_few_integers_meet_their_purity(kernel, values, band):
    size = math.prod(kernel)
    weight = torch.tensor(values[:size]).view(1, 1, *kernel)
    projected = project_filters(weight, TWO, all_to(band, 1), 0.85)
    if not any(values[:size]):
        assert torch.equal(projected, weight)
        return
    assert purity_of(projected, TWO, [band])[0] >= 0.85 - 1e-9
    assert torch.equal(project_filters(projected, TWO, all_to(band, 1), 0.85), projected)


# What it leaves alone


def test_filters_inside_and_filters_without_energy_come_back_bit_for_bit():
    weight = random_weight(2, 16, 3, 3, 3, dtype=torch.float32)
    inside = project_filters(weight, TWO, torch.arange(16) % 2, 0.95)
    weight[:8] = inside[:8]
    weight[8] = 0
    projected = project_filters(weight, TWO, torch.arange(16) % 2, 0.9)
    assert torch.equal(projected[:9], weight[:9])
    assert (projected[9:] != weight[9:]).flatten(1).any(1).sum() > 4


def test_the_input_is_left_alone_and_the_result_has_no_history():
    weight = nn.Parameter(random_weight(3, 8, 3, 3, 3))
    before = weight.detach().clone()
    projected = project_filters(weight, TWO, {"high": 1.0})
    assert torch.equal(weight, before)
    assert not projected.requires_grad
    untouched = project_filters(projected, TWO, {"high": 1.0})
    assert untouched.data_ptr() != projected.data_ptr()


def test_each_filter_is_projected_by_itself():
    weight, target = random_weight(4, 12, 3, 5, 5), torch.arange(12) % 2
    together = project_filters(weight, TWO, target)
    alone = torch.cat([project_filters(weight[o : o + 1], TWO, target[o : o + 1]) for o in range(12)])
    torch.testing.assert_close(together, alone)


# It is the closest point


@pytest.mark.parametrize("purity", [0.6, 0.9])
@pytest.mark.parametrize(("kernel_size", "channels"), [((2, 2), 1), ((3, 3), 2), ((5, 5), 1), ((2, 4), 1), ((1, 5), 2)])
def test_no_closer_point_is_found_by_slsqp_from_several_starts(kernel_size, channels, purity):
    weight, target = random_weight(5, 2, channels, *kernel_size), torch.tensor([0, 1])
    purity = min(purity, 0.5 + 0.9 * (TWO.reachable(kernel_size).min() - 0.5))
    projected = project_filters(weight, TWO, target, purity, preserve_norm=False)
    forms = TWO.energy_matrices(kernel_size) - purity * np.eye(math.prod(kernel_size))
    rng = np.random.default_rng(0)
    for a, x, b in zip(weight.numpy(), projected.numpy(), target.tolist(), strict=True):
        a = a.ravel()
        m = np.kron(np.eye(channels), forms[b])
        best = np.inf
        for start in [a, *rng.normal(size=(2, a.size))]:
            found = minimize(
                lambda w, a=a: ((w - a) ** 2).sum(),
                start,
                jac=lambda w, a=a: 2 * (w - a),
                constraints={"type": "ineq", "fun": lambda w, m=m: w @ m @ w, "jac": lambda w, m=m: 2 * m @ w},
                method="SLSQP",
                options={"ftol": 1e-10, "maxiter": 100},
            )
            if found.x @ m @ found.x >= -1e-9:
                best = min(best, found.fun)
        distance = ((x.ravel() - a) ** 2).sum()
        assert distance == pytest.approx(best, rel=1e-5, abs=1e-9)


@settings(max_examples=100)
@given(
    kernel=st.sampled_from([(3, 3), (5, 5), (7, 7), (2, 2), (2, 5), (1, 4)]),
    channels=st.integers(1, 3),
    how_pure=st.floats(0.01, 0.99),
    magnitudes=st.integers(0, 6),
    seed=st.integers(0, 2**31),
)
def test_projection_is_certified_closest(kernel, channels, how_pure, magnitudes, seed):
    """Also where the energies along the eigenvectors span many magnitudes, which is hard on the multiplier's search."""
    purity = 0.5 + how_pure * (TWO.reachable(kernel).min() - 0.5)
    band = seed % 2
    vectors = torch.from_numpy(np.linalg.eigh(TWO.energy_matrices(kernel)[band])[1])
    spread = 10 ** (-magnitudes * torch.rand(math.prod(kernel), generator=torch.Generator().manual_seed(seed)).double())
    weight = ((random_weight(seed, 4, channels, *kernel).flatten(2) * spread) @ vectors.T).unflatten(2, kernel)
    projected = project_filters(weight, TWO, all_to(band, 4), purity, preserve_norm=False)
    assert_globally_closest(weight, projected, TWO, all_to(band, 4), purity)


@pytest.mark.parametrize("purity", [0.6, 0.9])
@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize("size", [5, 7])
@pytest.mark.parametrize("count", [2, 3])
def test_smooth_stems_sent_to_the_high_band_are_certified_closest(count, size, noise, purity):
    bands, target = Bands.equal_area(count), all_to(count - 1, 16)
    weight = smooth_weight(6, 16, size, noise)
    projected = project_filters(weight, bands, target, purity, preserve_norm=False)
    assert_globally_closest(weight, projected, bands, target, purity)


@pytest.mark.parametrize("band", [0, 1])
@pytest.mark.parametrize("name", HARD)
def test_structured_kernels_are_certified_closest(name, band):
    weight = HARD[name].expand(1, 2, 3, 3)
    projected = project_filters(weight, TWO, all_to(band, 1), 0.9, preserve_norm=False)
    assert_globally_closest(weight, projected, TWO, all_to(band, 1), 0.9)


def test_closest_point_of_a_cone_is_orthogonal_to_the_way_there():
    weight = random_weight(7, 32, 3, 3, 3)
    projected = project_filters(weight, TWO, {"high": 1.0}, preserve_norm=False)
    along = ((weight - projected) * projected).flatten(1).sum(1)
    torch.testing.assert_close(along, torch.zeros(32, dtype=torch.float64), atol=1e-12, rtol=0)


def test_preserve_norm_only_rescales():
    weight = random_weight(8, 32, 3, 3, 3)
    kept = project_filters(weight, TWO, {"high": 1.0}, preserve_norm=True)
    closest = project_filters(weight, TWO, {"high": 1.0}, preserve_norm=False)
    norm = weight.flatten(1).norm(dim=1)
    torch.testing.assert_close(kept.flatten(1).norm(dim=1), norm)
    assert (closest.flatten(1).norm(dim=1) <= norm * (1 + 1e-12)).all()
    ratio = (norm / closest.flatten(1).norm(dim=1))[:, None, None, None]
    torch.testing.assert_close(kept, closest * ratio)


# What it does not depend on


@pytest.mark.parametrize("exponent", [-100, -40, 40, 100])
def test_scale_by_a_power_of_two_commutes_bit_for_bit(exponent):
    weight, target = random_weight(9, 16, 3, 3, 3, dtype=torch.float32), torch.arange(16) % 2
    scale = 2.0**exponent
    assert torch.equal(project_filters(weight * scale, TWO, target), project_filters(weight, TWO, target) * scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_tiny_and_huge_filters_are_projected_beside_ordinary_ones(scale, dtype):
    weight, target = random_weight(10, 16, 3, 3, 3, dtype=dtype), torch.arange(16) // 2 % 2
    mixed = weight.clone()
    mixed[::2] *= scale
    projected = project_filters(mixed, TWO, target)
    assert torch.isfinite(projected).all()
    assert (purity_of(projected, TWO, target) >= 0.9 - 1e-9).all()
    assert torch.equal(projected[1::2], project_filters(weight, TWO, target)[1::2])


def test_radial_bands_know_no_direction():
    weight, target = random_weight(11, 16, 2, 5, 5), torch.arange(16) % 2
    projected = project_filters(weight, TWO, target)
    for turn in (lambda w: w.transpose(2, 3), lambda w: w.flip(2), lambda w: w.rot90(1, (2, 3))):
        torch.testing.assert_close(project_filters(turn(weight), TWO, target), turn(projected))


def test_order_of_filters_and_channels_does_not_matter():
    weight, target = random_weight(12, 16, 3, 3, 3), torch.arange(16) % 2
    projected = project_filters(weight, TWO, target)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(project_filters(weight[order], TWO, target[order]), projected[order])
    torch.testing.assert_close(project_filters(weight.flip(1), TWO, target), projected.flip(1))


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_grouped_convolutions(groups):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 12, 3, groups=groups)
    projected = project_filters(conv.weight, None, {"low": 0.5, "high": 0.5})
    assert projected.shape == (12, 6 // groups, 3, 3)
    assert frequency_proportion(projected).tolist() == [0.5, 0.5]


def test_memory_format_does_not_matter():
    weight = random_weight(13, 16, 3, 3, 3, dtype=torch.float32)
    projected = project_filters(weight.to(memory_format=torch.channels_last), TWO, {"high": 1.0})
    torch.testing.assert_close(projected, project_filters(weight, TWO, {"high": 1.0}))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64, torch.uint8])
def test_targets_of_any_integer_type(dtype):
    weight, target = random_weight(14, 8, 3, 3, 3), torch.arange(8) % 2
    expected = project_filters(weight, TWO, target)
    assert torch.equal(project_filters(weight, TWO, target.to(dtype)), expected)


def test_mapping_is_the_assignment_that_keeps_the_most_energy():
    weight = random_weight(15, 16, 3, 3, 3)
    target = assign_bands(band_shares(weight, THREE), [8, 0, 8])
    assert torch.equal(
        project_filters(weight, THREE, {"low": 0.5, "high": 0.5}), project_filters(weight, THREE, target)
    )


def test_a_band_without_filters_does_not_limit_the_purity():
    weight = random_weight(16, 8, 3, 3, 3)
    projected = project_filters(weight, THREE, {"low": 1.0}, 0.9)  # the middle band could reach 0.54 only
    assert frequency_proportion(projected, THREE).tolist() == [1, 0, 0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_cpus_result():
    weight = random_weight(17, 64, 3, 7, 7, dtype=torch.float32)
    on_cuda = project_filters(weight.cuda(), TWO, {"low": 0.5, "high": 0.5})
    assert on_cuda.is_cuda
    torch.testing.assert_close(on_cuda.cpu(), project_filters(weight, TWO, {"low": 0.5, "high": 0.5}))


# Errors

GOOD = torch.ones(4, 3, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(4, 3, 1, 1), TWO, {"low": 1.0}), "a 1x1 kernel has a flat spectrum"),
        ((torch.full((4, 3, 3, 3), math.nan), TWO, {"low": 1.0}), "NaN or infinite values in 4 of 4 filters"),
        ((GOOD * math.inf, TWO, {"low": 1.0}), "NaN or infinite values in 4 of 4 filters"),
        ((torch.ones(4, 3, 3), TWO, {"low": 1.0}), r"weight must have shape \(O, I, kH, kW\), got \(4, 3, 3\)"),
        ((GOOD.int(), TWO, {"low": 1.0}), "real floating point, got torch.int32"),
        ((GOOD, TWO, {"low": 1.0}, 0.5), "purity must lie between 0.5 and 0.99.* 3x3 kernel .* band 'low'.*got 0.5;"),
        ((GOOD, TWO, {"low": 1.0}, 1.2), "got 1.2; lower it"),
        ((GOOD, TWO, {"low": 1.0}, math.nan), "got nan"),
        ((GOOD, TWO, {"low": 0.5, "high": 0.5}, 0.98), "between 0.5 and 0.97.* band 'high'.*got 0.98"),
        ((GOOD, THREE, {"mid": 1.0}, 0.9), "between 0.5 and 0.54.* band 'mid'.*got 0.9"),
        ((torch.ones(4, 3, 1, 2), THREE, {"mid": 1.0}, 0.9), "1x2 kernel can reach in band 'mid'"),
        ((GOOD, TWO, {"low": 0.8, "high": 0.4}), r"proportions must sum to 1, got 1.2 \(low=0.8, high=0.4\)"),
        ((GOOD, TWO, {"low": 1.5, "high": -0.5}), "finite and not negative, got low=1.5, high=-0.5"),
        ((GOOD, TWO, {"low": 0.5, "medium": 0.5}), "unknown band 'medium'; the bands are low, high"),
        ((GOOD, TWO, torch.tensor([0, 1, 0])), r"each of the 4 filters, got shape \(3,\)"),
        ((GOOD, TWO, torch.tensor([0.0, 1, 0, 1])), "one integer band index .* of torch.float32"),
        ((GOOD, TWO, torch.tensor([True, False, True, False])), "one integer band index .* of torch.bool"),
        ((GOOD, TWO, torch.tensor([0, 1, 2, 1])), r"must lie in 0..1, got \[0, 1, 2\]"),
        ((GOOD, TWO, torch.tensor([0, -1, 1, 1])), r"must lie in 0..1, got \[-1, 0, 1\]"),
        ((GOOD, "low", {"low": 1.0}), "bands must be a Bands.*got 'low'"),
    ],
)
def test_errors_name_the_value(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        project_filters(*arguments)
    assert "\n" not in str(caught.value)
