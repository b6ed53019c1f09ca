import copy

import numpy as np
import pytest
import torch
from torch import nn

from freqfast.spectral.equalization import FLOOR, LOWEST_FREQUENCY, SpectrumEqualizer, apply_equalization
from freqfast.spectral.modulation import apply_modulation

CASES = [((16, 24), 5, 0.5), ((9, 7), 1, 1.0), ((40, 40), 2, 0.25), ((9, 7), 12, 1.0)]


def images(count=4, size=(32, 32), seed=0, slope=1.0):
    """Noise whose amplitude falls as ``rho ** -slope``, with a mean."""
    rng = np.random.default_rng(seed)
    rho = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1]))
    rho[0, 0] = 1
    noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(count, 3, *size))) * rho**-slope).real
    return torch.from_numpy(0.3 + 0.4 * noise / noise.std()).float()


def trained(batch, **options):
    equalizer = SpectrumEqualizer(**options)
    equalizer(batch)
    return equalizer.eval()


def hats(size, bins):
    """Bins that overlap as triangles ``(B, H * W)``, zero at DC; and the frequency nearest to the centre of each."""
    rho = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])).ravel()
    centres = np.linspace(LOWEST_FREQUENCY, np.sqrt(0.5), bins) if bins > 1 else np.array([LOWEST_FREQUENCY])
    weights = np.array([np.interp(rho, centres, row) for row in np.eye(bins)])
    weights[:, 0] = 0
    return weights, 1 + abs(rho[1:] - centres[:, None]).argmin(1)


def numpy_levels(image, bins):
    """Log power density of one image (3, H, W) by bin, over the full plane."""
    power = (np.abs(np.fft.fft2(image.astype(np.float64))) ** 2).mean(0).ravel() / image[0].size
    weights, nearest = hats(image.shape[1:], bins)
    total = weights.sum(1)
    mean = weights @ power / np.maximum(total, 1e-9)
    return np.log(np.where(total > 0, mean, power[nearest]) + FLOOR)  # an empty bin has the power of the nearest


@pytest.mark.parametrize(("size", "bins", "exponent"), CASES)
def test_against_numpy(size, bins, exponent):
    reference, sample = images(6, size, seed=1), images(2, size, seed=2, slope=0.3)
    equalizer = trained(reference, bins=bins, exponent=exponent)
    target = np.mean([numpy_levels(image.numpy(), bins) for image in reference], 0)
    np.testing.assert_allclose(equalizer.reference.numpy(), target, atol=1e-4)
    for image, got in zip(sample, equalizer(sample), strict=True):
        change = (target - numpy_levels(image.numpy(), bins)) @ hats(size, bins)[0]
        spectrum = np.fft.fft2(image.numpy().astype(np.float64)) * np.exp(exponent * change / 2).reshape(size)
        np.testing.assert_allclose(got.numpy(), np.fft.ifft2(spectrum).real, atol=2e-4)


@pytest.mark.parametrize("equalizer", [SpectrumEqualizer().eval(), trained(images(), exponent=0.0)])
def test_changes_nothing_before_training_or_without_exponent(equalizer):
    sample = images(3, seed=7)
    torch.testing.assert_close(equalizer(sample), sample, atol=1e-5, rtol=0)


def test_the_reference_is_the_mean_of_a_hundred_batches_then_a_running_mean():
    equalizer, one = SpectrumEqualizer(bins=3), images(2, (8, 8))
    levels = []
    for step in range(110):
        batch = one * (1 + step)
        equalizer(batch)
        levels.append(np.mean([numpy_levels(image.numpy(), 3) for image in batch], 0))
        if step == 99:
            np.testing.assert_allclose(equalizer.reference.numpy(), np.mean(levels, 0), atol=1e-4)
    expected = np.mean(levels[:100], 0)
    for level in levels[100:]:
        expected = 0.99 * expected + 0.01 * level
    np.testing.assert_allclose(equalizer.reference.numpy(), expected, atol=1e-4)
    assert equalizer.batches == 110
    before = equalizer.reference.clone()
    equalizer.eval()(one * 1000)
    assert torch.equal(equalizer.reference, before)


def test_a_flat_image_stays_finite():
    equalizer = trained(images(8))
    out = equalizer(torch.zeros(1, 3, 32, 32))
    assert out.isfinite().all()
    assert out.abs().max() < 1e-4


@pytest.mark.parametrize("bins", [1, 4])
def test_maps_of_a_single_pixel_stay_as_they_are(bins):
    """As in the last stage of a network, where the images are small."""
    equalizer, maps = SpectrumEqualizer(bins), torch.rand(4, 3, 1, 1)
    for found in (equalizer(maps), equalizer.eval()(maps)):
        assert torch.allclose(found, maps)
    assert equalizer.reference.isfinite().all()


@pytest.mark.parametrize("bins", [1, 4])
def test_the_gradient_is_right(bins):
    equalizer = trained(images(8, (6, 7)), bins=bins).double()
    assert torch.autograd.gradcheck(equalizer, images(2, (6, 7), seed=3).double().requires_grad_())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.03), (torch.float64, 1e-5)])
def test_every_dtype_and_memory_format(dtype, tolerance):
    equalizer, sample = trained(images(8, seed=8)), images(2, seed=9)
    exact = equalizer(sample)
    given_ = sample.to(dtype, memory_format=torch.channels_last)
    out = equalizer(given_)
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(equalizer(sample), exact)
    torch.testing.assert_close(out.float(), exact, atol=tolerance, rtol=tolerance)
    whole = copy.deepcopy(equalizer).to(dtype)(given_)  # buffers of that dtype as well, as in half-precision inference
    torch.testing.assert_close(whole.float(), exact, atol=2 * tolerance, rtol=2 * tolerance)


def test_an_image_without_a_batch():
    batched, single, sample = SpectrumEqualizer(), SpectrumEqualizer(), images(1)
    for mode in (True, False):
        assert torch.equal(single.train(mode)(sample[0]), batched.train(mode)(sample)[0])
    assert torch.equal(single.reference, batched.reference)
    assert single.batches == 1


def test_empty_batch():
    equalizer = trained(images()).train()
    before = copy.deepcopy(equalizer.state_dict())
    out = equalizer(torch.zeros((0, 3, 16, 24), dtype=torch.bfloat16))
    assert (out.shape, out.dtype) == ((0, 3, 16, 24), torch.bfloat16)
    assert all(torch.equal(value, before[key]) for key, value in equalizer.state_dict().items())


@pytest.mark.parametrize("spectral", [False, True])
def test_applied_to_a_model(spectral):
    torch.manual_seed(0)
    net, batch = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3)), images(8)
    if spectral:
        apply_modulation(net, sigma=0.0)
    equalized = net(trained(batch, bins=6)(batch))
    assert (equalized - net(batch)).abs().max() > 1e-2
    apply_equalization(net, bins=6).train()(batch)
    torch.testing.assert_close(net.eval()(batch), equalized)


@pytest.mark.parametrize(("bins", "small", "large"), [(12, 8, 32), (64, 32, 64)])
def test_larger_images_lose_no_frequency_that_smaller_ones_lack(bins, small, large):
    equalizer = trained(images(400, (small, small), slope=0), bins=bins)
    noise = images(100, (large, large), seed=1, slope=0)
    before, after = (torch.fft.fft2(x).abs().square().mean((0, 1)) for x in (noise, equalizer(noise)))
    gain = (after / before).flatten()[1:]
    assert 1 / 3 < gain.min() <= gain.max() < 3


def test_constants_that_the_references_of_stored_models_depend_on():
    assert (LOWEST_FREQUENCY, FLOOR) == (1 / 32, 1e-5)
