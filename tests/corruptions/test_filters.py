import numpy as np
import pytest
import torch
from scipy import ndimage

from freqfast.corruptions.elastic import _affine_source, _sample
from freqfast.corruptions.filters import defocus_kernel, gaussian_filter, motion_filter, pad
from freqfast.corruptions.pixels import pixel_grid
from freqfast.corruptions.spatter import _canny, _distance_to, _equalise, _water
from freqfast.corruptions.weather import _plasma
from freqfast.corruptions.zoom import zoom, zoom_matrix


@pytest.fixture
def levels(photos):
    return torch.from_numpy(photos[:24].transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize("border", ["edge", "reflect", "symmetric"])
def test_pad_is_numpys(border, levels):
    expected = np.pad(levels.numpy(), ((0, 0), (0, 0), (5, 5), (5, 5)), mode=border)
    assert np.array_equal(pad(levels, 5, border).numpy(), expected)


@pytest.mark.parametrize(
    ("sigma", "truncate", "border", "mode"), [(1.0, 4.0, "edge", "nearest"), (6.4, 3.0, "symmetric", "reflect")]
)
def test_gaussian_filter_is_scipys_to_the_bit(sigma, truncate, border, mode, levels):
    x = levels.to(torch.float64) / 255
    expected = ndimage.gaussian_filter(x.numpy(), sigma, truncate=truncate, mode=mode, axes=(2, 3))
    assert np.array_equal(gaussian_filter(x, sigma, truncate, border).numpy(), expected)


@pytest.mark.parametrize(("radius", "sigma"), [(0.3, 0.4), (1.0, 0.2), (1.5, 0.1)])
def test_defocus_kernel_keeps_the_mean(radius, sigma):
    kernel = defocus_kernel(radius, sigma)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    assert np.array_equal(kernel, kernel.T)


def test_motion_is_one_sided_and_as_defined(levels, photos, oracles):
    dot = torch.zeros(1, 1, 33, 33, dtype=torch.uint8)
    dot[..., 16, 16] = 255
    trail = motion_filter(dot, 4, 2.0, torch.zeros(1, dtype=torch.float64))[0, 0]
    assert trail[16, 16] == trail.max()
    assert torch.all(trail[16, 17:] == 0)
    assert torch.all(trail[16, 8:17].diff() >= 0)
    degrees = np.linspace(-135, 45, len(levels))
    actual = motion_filter(levels, 9, 2.5, torch.from_numpy(degrees)).numpy().transpose(0, 2, 3, 1)
    for image, result, angle in zip(photos, actual, degrees, strict=False):
        assert np.array_equal(result, oracles.magick_motion(image, 9, 2.5, angle))


@pytest.mark.parametrize("factor", [1.0, 1.05, 1.25, 1.75, 2.25])
def test_zoom(factor, levels, photos, oracles):
    assert zoom_matrix(32, factor).sum(axis=1) == pytest.approx(1)
    actual = zoom(levels.to(torch.float64), factor).numpy().transpose(0, 2, 3, 1)
    expected = np.stack([oracles.clipped_zoom(image.astype(float), factor) for image in photos[:24]])
    assert actual == pytest.approx(expected, abs=1e-9)


def test_water_and_each_of_its_steps(oracles):
    rng = np.random.default_rng(0)
    for k in range(30):
        layer = oracles.gaussian(rng.normal(0.64, (0.1, 0.3)[k % 2], (32, 32)), 0.8)
        liquid = oracles.levels(np.where(layer < 0.7, 0, layer))
        depth = torch.from_numpy(liquid)[None]
        edges = _canny(depth.to(torch.int32), 50, 150)
        assert np.array_equal(edges[0].numpy(), oracles.canny(liquid, 50, 150))
        distance = _distance_to(edges)[0].numpy() / 65536
        assert np.minimum(distance, 40) == pytest.approx(np.minimum(oracles.chamfer(edges[0].numpy()), 40), abs=1e-3)
        assert _water(depth[None])[0, 0].numpy() == pytest.approx(oracles.water(liquid), abs=0.02)


def test_canny_on_photographs(photos, oracles):
    gray = photos[:20].mean(axis=3).astype(np.int32)
    edges = _canny(torch.from_numpy(gray), 50, 150).numpy()
    assert np.array_equal(edges, np.stack([oracles.canny(image, 50, 150) for image in gray]))
    assert 0.01 < edges.mean() < 0.5


def test_equalise(photos, oracles):
    images = np.concatenate([photos[:10, ..., 0] // 9, np.full((1, 32, 32), 7, np.uint8)])
    actual = _equalise(torch.from_numpy(images.astype(np.int64))).numpy()
    assert np.array_equal(actual, np.stack([oracles.equalise(image) for image in images]))


class OneStream:
    """What ``_plasma`` asks of a BatchRandom, for one image, from NumPy."""

    device = torch.device("cpu")

    def __init__(self):
        self.generator = np.random.default_rng(3)

    def __len__(self):
        return 1

    def uniform(self, low, high, shape):
        return torch.from_numpy(self.generator.uniform(low, high, shape))[None]


@pytest.mark.parametrize("decay", [3.0, 1.75])
def test_plasma(decay, oracles):
    actual = _plasma(32, decay, OneStream())[0].numpy()
    assert actual == pytest.approx(oracles.plasma(32, decay, np.random.default_rng(3).uniform), abs=1e-12)


def test_elastic_geometry(levels, photos, oracles):
    moves = np.random.default_rng(0).uniform(-2.56, 2.56, (24, 3, 2))
    rows, columns = _affine_source(*pixel_grid(levels), torch.from_numpy(moves))
    source = np.stack([oracles.affine_source(move) for move in moves])
    close = np.abs(np.stack([rows, columns], axis=-1) - source) < 1e-6
    assert close.mean() > 0.999  # a coordinate half-way between steps of 1/32 may round either way
    for mirror_edge, mode in ((False, "mirror"), (True, "reflect")):
        sampled = _sample(levels.to(torch.float32), columns, rows, mirror_edge).numpy().transpose(0, 2, 3, 1)
        for k in range(24):
            expected = oracles.bilinear(photos[k].astype(float), rows[k].numpy(), columns[k].numpy(), mode)
            assert sampled[k] == pytest.approx(expected, abs=2e-3)
