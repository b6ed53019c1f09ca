import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from freqfast.spectral.perturbation import perturb_spectrum

OFF = {"gain": 0.0, "tilt": 0.0, "shaping": 0.0, "jitter": 0.0, "noise": 0.0, "scale": 1.0}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pale_images(count, channels=1, height=16, width=16, dtype=torch.float64):
    """Images about mid-grey with so little contrast that nothing clamps."""
    noise = torch.rand(count, channels, height, width, generator=seeded(99), dtype=torch.float64) - 0.5
    return (0.5 + 0.02 * noise).to(dtype)


def amplitude_ratio(before, after):
    """|DFT after| / |DFT before|, ``(N, C, H, W)``, by NumPy."""
    return np.abs(np.fft.fft2(after.numpy())) / np.abs(np.fft.fft2(before.numpy()))


def numpy_rho(height, width):
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])


def test_gain_scales_all_but_the_mean():
    images = pale_images(400, channels=3)
    ratio = amplitude_ratio(images, perturb_spectrum(images, **OFF | {"gain": 1.6}, generator=seeded()))
    np.testing.assert_allclose(ratio[..., 0, 0], 1.0, atol=1e-9)  # the mean, DC, is spared
    others = ratio.reshape(400, 3, -1)[:, :, 1:]
    loss = -np.log(others[:, 0, 0])
    np.testing.assert_allclose(others, np.exp(-loss)[:, None, None] * np.ones_like(others), rtol=1e-6)
    drawn = loss[loss > 1e-6]
    assert 0.4 < len(drawn) / 400 < 0.6  # half of the images
    assert kstest(drawn / 1.6, "uniform").pvalue > 0.01


@pytest.mark.parametrize("size", [(16, 16), (15, 18)])
def test_tilt_is_a_gaussian_in_radial_frequency(size):
    images = pale_images(500, 2, *size)
    ratio = amplitude_ratio(images, perturb_spectrum(images, **OFF | {"tilt": 0.7}, generator=seeded()))
    rho = numpy_rho(*size)
    t = -np.log(ratio[:, 0, 0, 1]) / (3 * (2 * rho[0, 1]) ** 2)
    expected = np.exp(-3 * t[:, None, None, None] * (2 * rho) ** 2)
    np.testing.assert_allclose(ratio, expected * np.ones_like(ratio), rtol=1e-4)
    attenuated, boosted = t[t > 0], t[t < 0]
    assert 0.74 < len(attenuated) / 500 < 0.86  # four of five
    assert kstest(attenuated / 0.7, "uniform").pvalue > 0.01
    assert kstest(boosted / -0.105, "uniform").pvalue > 0.01


@pytest.mark.parametrize("size", [(16, 16), (15, 17)])
def test_shaping_is_the_stated_series(size):
    images = pale_images(800, 2, *size)
    shaped = perturb_spectrum(images, **OFF | {"shaping": 0.5}, generator=seeded())
    ratio = np.fft.fft2(shaped.numpy()) / np.fft.fft2(images.numpy())
    np.testing.assert_allclose(np.angle(ratio), 0, atol=1e-6)  # phases stay
    ratio = ratio.real
    np.testing.assert_allclose(ratio[:, 0], ratio[:, 1], rtol=1e-4)  # the same for all channels
    log = np.log(ratio[:, 0]).reshape(800, -1)
    np.testing.assert_allclose(log[:, 0], 0, atol=1e-9)  # the mean stays
    fy, fx = np.meshgrid(np.fft.fftfreq(size[0]), np.fft.fftfreq(size[1]), indexing="ij")
    shifts = [(1, 0), (2, 0), *((y, x) for x in (1, 2) for y in (-2, -1, 0, 1, 2))]
    scale = math.sqrt(sum(1 / (y * y + x * x) for y, x in shifts))
    waves = [(np.cos(2 * np.pi * (y * fy + x * fx)) - 1) / math.hypot(y, x) / scale for y, x in shifts]
    series = np.stack(waves).reshape(12, -1)
    weights, *_ = np.linalg.lstsq(series.T, log.T, rcond=None)
    np.testing.assert_allclose(weights.T @ series, log, atol=1e-4)
    strength = np.sqrt((weights**2).mean(0))  # of 12 normal draws: known to a fifth
    assert 0.45 < strength.max() < 0.8
    assert np.mean(strength) == pytest.approx(0.25 * 0.98, rel=0.08)  # U(0, 1) / 2, and the mean of chi_12 / sqrt(12)
    assert kstest((weights / strength).ravel() / math.sqrt(12 / 11), "norm").pvalue > 1e-4
    assert np.abs(np.corrcoef(weights / strength) - np.eye(12)).max() < 0.2


def test_scale_widens_the_tilt_and_strengthens_the_noise():
    images = pale_images(500, 1, 16, 16)
    only = OFF | {"tilt": 0.7, "scale": 2.0}
    log = np.log(amplitude_ratio(images, perturb_spectrum(images, **only, generator=seeded())))
    narrow = np.log(amplitude_ratio(images, perturb_spectrum(images, **only | {"scale": 1.0}, generator=seeded())))
    attenuates, few = narrow[:, 0, 0, 1] < 0, (numpy_rho(16, 16) * 2) ** 2 <= 0.5
    np.testing.assert_allclose(log[attenuates], 4 * narrow[attenuates], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(log[~attenuates][..., few], 4 * narrow[~attenuates][..., few], rtol=1e-3, atol=1e-6)
    assert log.max() < 1.01 * 12 * 0.105 * 0.5  # a boost ends where that of scale 1 does
    grey = torch.full((64, 3, 16, 16), 0.5, dtype=torch.float64)
    once, twice = (perturb_spectrum(grey, **OFF | {"noise": 0.02, "scale": s}, generator=seeded()) for s in (1.0, 2.0))
    torch.testing.assert_close(twice - grey, 2 * (once - grey), atol=1e-6, rtol=1e-4)


def test_the_scale_follows_the_shorter_side():
    for side, scale in ((32, 1.0), (64, 2 ** (2 / 3))):
        images = pale_images(4, 3, side, side + 8)
        follows, stated = (perturb_spectrum(images, scale=s, generator=seeded()) for s in (None, scale))
        torch.testing.assert_close(follows, stated)


def test_jitter_is_log_normal_and_independent_by_frequency_and_channel():
    images = pale_images(200, 2, 16, 16)
    ratio = amplitude_ratio(images, perturb_spectrum(images, **OFF | {"jitter": 0.1}, generator=seeded()))
    np.testing.assert_allclose(ratio[..., 0, 0], 1, atol=1e-9)  # the mean stays
    log = np.log(ratio[..., 1:8])  # the columns that stand for themselves alone: 224 frequencies, 2 channels
    strength = log.std((1, 2, 3))
    assert kstest(strength / 0.1, "uniform").pvalue > 0.01
    strong = log[strength > 0.02] / strength[strength > 0.02, None, None, None]
    assert abs(strong.mean()) < 0.01
    assert kstest(strong.ravel()[::7], "norm").pvalue > 0.001
    assert abs(np.corrcoef(strong[:, 0].ravel(), strong[:, 1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(strong[..., :-1].ravel(), strong[..., 1:].ravel())[0, 1]) < 0.02
    paired = np.log(ratio[strength > 0.02][:, :, 1:8, [0, 8]]) / strength[strength > 0.02, None, None, None]
    np.testing.assert_allclose(paired.std((0, 1, 2)), math.sqrt(0.5), rtol=0.1)  # fx = 0, 1/2: means of two factors


@pytest.mark.parametrize("size", [(24, 40), (31, 33), (2, 16), (16, 1)])
def test_noise_has_the_stated_spread_at_any_slope_and_size(size):
    """Over many images, the mean of power over level^2 is one: the normalisation counts each frequency correctly."""
    images = torch.full((10**6 // (size[0] * size[1] + 200), 3, *size), 0.5, dtype=torch.float64)
    added = perturb_spectrum(images, **OFF | {"noise": 0.05}, generator=seeded()) - images
    # E[level^2] = noise^2 E[U^3] = noise^2 / 4
    assert added.square().mean().item() == pytest.approx(0.05**2 / 4, rel=0.15)


def test_noise_has_a_random_level_and_slope_and_differs_by_channel():
    size = 64
    images = torch.full((200, 3, size, size), 0.5, dtype=torch.float64)
    added = perturb_spectrum(images, **OFF | {"noise": 0.05}, generator=seeded()) - images
    assert kstest((added.std((1, 2, 3)).numpy() / 0.05) ** (2 / 3), "uniform").pvalue > 0.01
    between_channels = np.corrcoef(added.transpose(0, 1).flatten(1).numpy()) - np.eye(3)
    assert np.abs(between_channels).max() < 0.1
    rho = numpy_rho(size, size).ravel()
    power = (np.abs(np.fft.fft2(added.numpy())) ** 2).mean(1).reshape(200, -1)
    x = np.log(rho + 0.03)
    slope = np.array([np.polyfit(x, np.log(p), 1)[0] for p in power]) / -2  # of the amplitude
    assert -0.05 < slope.min()
    assert slope.max() < 1.05
    assert kstest(np.clip(slope, 0, 1), "uniform").pvalue > 0.01


@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    strengths=st.fixed_dictionaries({name: st.floats(0, 5) for name in OFF}),
    seed=st.integers(0, 2**31),
)
def test_result_is_finite_in_the_range_of_pixels_and_the_input_stays(height, width, strengths, seed):
    images = torch.rand(3, 3, height, width, generator=seeded(seed))
    before = images.clone()
    out = perturb_spectrum(images, **strengths, generator=seeded(seed))
    assert out.shape == images.shape
    assert 0 <= out.min() <= out.max() <= 1
    assert out.isfinite().all()
    assert torch.equal(images, before)
    torch.testing.assert_close(perturb_spectrum(images, **OFF), images, atol=1e-6, rtol=0)


def test_empty_batch():
    images = torch.zeros(0, 3, 16, 16, dtype=torch.bfloat16)
    out = perturb_spectrum(images, jitter=0.2)
    assert (out.shape, out.dtype) == (images.shape, torch.bfloat16)
    assert out is not images


def test_result_depends_on_the_generator_alone():
    images = torch.rand(8, 3, 16, 16, generator=seeded())
    strengths = {"gain": 1.0, "tilt": 0.5, "shaping": 0.5, "jitter": 0.3, "noise": 0.1}
    state = torch.get_rng_state()
    first = perturb_spectrum(images, **strengths, generator=seeded(5))
    assert torch.equal(perturb_spectrum(images, **strengths, generator=seeded(5)), first)
    assert not torch.equal(perturb_spectrum(images, **strengths, generator=seeded(6)), first)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(perturb_spectrum(images, **strengths, generator=seeded(5)), first)
    torch.manual_seed(3)
    from_global = perturb_spectrum(images, **strengths)
    torch.manual_seed(3)
    assert torch.equal(perturb_spectrum(images, **strengths), from_global)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 8e-3), (torch.float32, 1e-6)])
def test_every_dtype(dtype, tolerance):
    images = torch.rand(4, 3, 15, 16, generator=seeded(), dtype=torch.float64)
    out = perturb_spectrum(images.to(dtype), jitter=0.2, generator=seeded())
    assert out.dtype == dtype
    exact = perturb_spectrum(images.to(dtype).double(), jitter=0.2, generator=seeded())
    torch.testing.assert_close(out.double(), exact, atol=tolerance, rtol=0)
