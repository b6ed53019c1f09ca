import numpy as np
import pytest

from freqfast.analysis import HeatMap, ablate_bands, fourier_heat_map
from freqfast.analysis.heat_map import HEAT_MAP, fourier_basis
from freqfast.records import plain
from freqfast.spectral.bands import Bands
from freqfast.spectral.spectrum import frequency_pairs


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (4, 6), (5, 8), (7, 9)])
def test_a_basis_image_has_unit_norm_and_one_pair_of_frequencies(size):
    for u, v in np.ndindex(size):
        basis = fourier_basis(*size, u, v)
        assert np.linalg.norm(basis) == pytest.approx(1)
        expected = np.zeros(size)
        expected[[u, -u], [v, -v]] = 1
        power = np.abs(np.fft.fft2(basis)) ** 2
        np.testing.assert_allclose(power / power.max(), expected, atol=1e-9)


@pytest.mark.parametrize("analyse", [fourier_heat_map, ablate_bands])
def test_a_seed_may_be_numpys(analyse, classifier, images, labels):
    found = analyse(classifier, images, labels, seed=np.int64(3))
    assert plain(found) == plain(analyse(classifier, images, labels, seed=3))


def test_each_channel_is_perturbed_by_the_norm_with_its_own_sign(spy, images, labels):
    fourier_heat_map(spy, images, labels, norm=2.0)
    *perturbed, clean = spy.seen
    np.testing.assert_array_equal(clean, images)
    pairs = list(frequency_pairs(8, 8))
    assert len(perturbed) == len(pairs) == 34
    signs = []
    for seen, ((u, v), _) in zip(perturbed, pairs, strict=True):
        change = (seen - images.astype(np.float64)) / 255
        np.testing.assert_allclose(np.linalg.norm(change, axis=(1, 2)), 2.0, rtol=1e-5)
        along = np.einsum("nhwc,hw->nc", change, fourier_basis(8, 8, u, v))
        np.testing.assert_allclose(np.abs(along), 2.0, rtol=1e-5)
        signs.append(np.sign(along))
    signs = np.array(signs)
    assert abs(signs.mean()) < 0.15
    for axis in range(3):  # of frequencies, images, channels
        assert (signs != signs.take([0], axis)).any()
    for seed, alike in ((0, True), (1, False)):
        fourier_heat_map(spy, images, labels, norm=2.0, seed=seed)
        assert np.array_equal(spy.seen[-28], perturbed[7]) == alike


def test_errors_equal_plain_torch_at_their_frequencies(spy, images, labels, oracle):
    progress = []
    found = fourier_heat_map(spy, images, labels, norm=6.0, seed=3, progress=lambda *told: progress.append(told[:2]))
    assert progress == [(done, 34) for done in range(1, 35)]
    expected = np.empty((8, 8))
    for seen, (first, second) in zip(spy.seen, frequency_pairs(8, 8), strict=False):
        expected[first] = expected[second] = 1 - oracle(seen, labels)
    np.testing.assert_allclose(np.fft.ifftshift(found.error), expected)
    assert found.clean_error == pytest.approx(1 - oracle(images, labels))
    assert (found.norm, found.seed, found.images) == (6.0, 3, 6)


def test_a_coarser_grid_samples_the_nearest_frequencies(spy, labels):
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 12, 15, 3), dtype=np.uint8)
    found = fourier_heat_map(spy, images, labels, norm=2.0, grid=4)
    assert (found.error.shape, found.image_size) == ((4, 4), (12, 15))
    *perturbed, _ = spy.seen
    for seen, ((u, v), _) in zip(perturbed, frequency_pairs(4, 4), strict=True):
        power = np.abs(np.fft.fft2((seen - images.astype(np.float64))[0, :, :, 0]))
        fy, fx = np.unravel_index(power.argmax(), power.shape)
        assert {(fy, fx), (-fy % 12, -fx % 15)} >= {(3 * u, round(v * 15 / 4))}


@pytest.mark.parametrize("norm", [0, 1e6 + 1, float("nan")])
def test_wrong_norms(classifier, images, labels, norm):
    with pytest.raises(ValueError, match="norm must be positive and at most 1,000,000, got"):
        fourier_heat_map(classifier, images, labels, norm=norm)


def test_band_error_is_the_mean_over_the_frequencies_of_a_band():
    error = np.random.default_rng(0).random((8, 8))
    found = HeatMap(error=error, clean_error=0.1, norm=4, seed=0, images=10)
    bands = Bands.equal_area(3)
    f = np.fft.fftshift(np.fft.fftfreq(8))
    rho = np.hypot(f[:, None], f[None])
    band = np.searchsorted(bands.edges[1:-1], rho, side="right")
    np.testing.assert_allclose(found.band_error(bands), [error[band == b].mean() for b in range(3)])
    tiny = HeatMap(error=[[0.5]], clean_error=0, norm=1, seed=0, images=1)
    np.testing.assert_array_equal(tiny.band_error(bands), [0.5, np.nan, np.nan])
    told = HEAT_MAP.summarise(tiny)
    assert told[-1] == "mean error at low frequencies: 50.00 %"  # and nothing of high ones, of which there are none
