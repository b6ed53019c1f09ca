"""The corruptions of both C-bar sets against their definitions: given the random draws, all are deterministic.

The oracles are slow and plain: one image at a time, with NumPy, SciPy and scikit-image, from the
published definitions and the published strengths. They share nothing with the package but the draws and their order.
"""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.draw import line_aa

from freqfast.corruptions import C_BAR, IMAGENET_C_BAR, SEVERITIES, BatchRandom, corrupt
from tests.support import corrupted
from tests.support.corruption_oracles import PUBLISHED

TURN = 2 * math.pi
Y, X = np.mgrid[:32, :32]


class Draws:
    """The numbers that one image draws, as NumPy has them."""

    def __init__(self, name, severity, index):
        self._rng = BatchRandom.for_images(0, name, severity, torch.tensor([index]))

    def uniform(self, low=0.0, high=1.0, shape=()):
        return self._rng.uniform(low, high, shape)[0].numpy()

    def normal(self, loc, scale, shape):
        return self._rng.normal(loc, scale, shape)[0].numpy()

    def integers(self, high, shape=()):
        return self._rng.integers(high, shape)[0].numpy()


def levels(x):
    return np.clip(x, 0, 255).astype(np.uint8)


def noise(phases, amplitude):
    """Random phases on a 32 x 32 spectrum; those on its right half are the left half's, turned by 180 degrees."""
    left = phases.reshape(16, 32).T
    phase = np.concatenate([left, np.rot90(left, 2)], axis=1)
    field = np.fft.ifft2(np.roll(amplitude(np.hypot(Y - 16, X - 16)) * np.exp(1j * phase), (16, 16), (0, 1))).real
    return field / np.std(field)


def blue_noise_sample(image, strength, draw):
    mask = noise(draw.uniform(0, TURN, (512,)), lambda cycles: cycles) > strength * 3 / 10 - 2.5
    return np.where(mask[..., None], image, 0)


def brownish_noise(image, strength, draw):
    layers = [noise(phases, lambda cycles: 1 / (cycles**2 + 1)) for phases in draw.uniform(0, TURN, (3, 512))]
    return levels(image + strength * 64 / 10 * np.stack(layers, axis=-1))


def checkerboard_cutout(image, strength, draw):
    angle, square = draw.uniform(0, TURN), draw.uniform(3.2, 8)
    reach = math.ceil(math.hypot(32, 32) / 3.2)
    cut = draw.uniform(0, 1, (2 * reach, 2 * reach)) < strength / 10
    i = (math.cos(angle) * Y + math.sin(angle) * X) / square
    j = (-math.sin(angle) * Y + math.cos(angle) * X) / square
    black = np.floor(i % 2) == np.floor(j % 2)
    hidden = black & cut[np.trunc(i).astype(int) + reach, np.trunc(j).astype(int) + reach]
    return np.where(hidden[..., None], 128, image)


def sparkle(row, column, count, lengths, exponent):
    position = (np.arctan2(X - column, Y - row) + math.pi) / TURN * count
    between = position % 1
    length = np.interp(position, np.arange(201), [lengths[k % count] for k in range(201)])
    fall = (length**2 / ((Y - row) ** 2 + (X - column) ** 2 + 1e-4)) ** exponent
    return np.minimum(1, (1 - (between - 0.5) ** 2) * fall)[..., None]


def sparkles(image, strength, draw):
    out, radius = image.astype(float), 32 * strength * 0.1 / 10
    for _ in range(5):
        row, column = draw.uniform(0, 32), draw.uniform(0, 32)
        count, lengths = draw.integers(150) + 50, draw.normal(radius, radius * 0.25, (199,))
        out += sparkle(row, column, count, np.maximum(lengths, 1), (100 - 50) / 50) * (255 - out)
    return levels(out + 1e-9)


def inverse_sparkles(image, strength, draw):
    row, column = draw.uniform(8, 24), draw.uniform(8, 24)
    count, lengths = draw.integers(150) + 50, draw.normal(8, 2, (199,))
    light = sparkle(row, column, count, lengths, strength * 65 / 10 / 50)
    return levels(255 + light * (image - 255.0))


def lines(image, strength, draw):
    angle, turns = draw.uniform(0, TURN), draw.uniform(0.1, 1)
    out = image.copy()
    for _ in range(int(strength / 10 * 32)):
        row, column = draw.uniform(0, 32), draw.uniform(0, 32)
        slant = angle + TURN * turns * draw.uniform(-0.5, 0.5)
        down, across = 32 * math.cos(slant), 32 * math.sin(slant)
        ends = int(row - down), int(column - across), int(row + down), int(column + across)
        for y, x, cover in zip(*line_aa(*ends), strict=True):
            if 0 <= y < 32 and 0 <= x < 32:
                out[y, x] = levels((1 - cover) * out[y, x] + cover * 128)
    return out


def warp(image, points):
    """``points[:, y, x]``: where the pixel comes from."""
    planes = np.moveaxis(image.astype(float), -1, 0)
    found = [ndimage.map_coordinates(plane, points, order=1, mode="grid-constant") for plane in planes]
    return np.stack(found, axis=-1) + 1e-6


def pinch_and_twirl(image, strength, draw):
    signs = draw.integers(2, (3, 3)) * 2 - 1
    amount = strength * 0.4 / 10 + 0.1

    def source(y, x):
        if max(y, x) >= 30:
            return y, x
        i, j = y // 10, x // 10
        cy, cx = 10 * i + 5, 10 * j + 5
        distance = math.hypot(y - cy, x - cx) / 5
        if distance == 0 or distance > 1:
            return y, x
        stretch = math.sin(math.pi * distance / 2) ** -amount
        angle = signs[i, j] * strength / 10 * math.pi / 2 * (1 - distance) ** 2
        dy, dx = stretch * (y - cy), stretch * (x - cx)
        return cy + dy * math.cos(angle) - dx * math.sin(angle), cx + dy * math.sin(angle) + dx * math.cos(angle)

    points = np.array([[source(y, x) for x in range(32)] for y in range(32)])
    return levels(warp(image, points.transpose(2, 0, 1)))


def ripple(image, strength, draw):
    lengths, phases = draw.uniform(3.2, 9.6, (2,)), draw.uniform(0, TURN, (2,))
    amplitude = strength * 0.025 / 10 * 32
    waves = TURN * np.stack([Y, X]) / lengths[:, None, None] + phases[:, None, None]
    return levels(warp(image, np.stack([Y, X]) + amplitude * np.sin(waves)))


def circular_motion_blur(image, strength, draw):
    positions = np.linspace(-1, 1, 21)
    turned = [ndimage.rotate(image.astype(float), p * strength * 1.5, reshape=False) for p in positions]
    return levels(np.average(turned, axis=0, weights=np.exp(-2 * positions**2)) + 1e-6)


def transverse_chromatic_abberation(image, strength, draw):
    out = image.copy()
    for factor, channel in zip((0, 0.5, 1), np.argsort(draw.uniform(0, 1, (3,))), strict=True):
        zoomed = ndimage.zoom(image[..., channel], 1 + factor * strength * 0.5 / 10, prefilter=False)
        edge = (len(zoomed) - 32) // 2
        out[..., channel] = zoomed[edge : edge + 32, edge : edge + 32]
    return out


def single_frequency_greyscale(image, strength, draw):
    larger = draw.uniform(-math.pi, math.pi)
    smaller = abs(larger) * draw.uniform(-1, 1)
    phase = draw.uniform(0, TURN)
    fy, fx = (larger, smaller) if draw.integers(2) else (smaller, larger)
    return levels(image + (strength * 196 / 10 * np.sin(fx * X + fy * Y + phase))[..., None])


def cocentric_sine_waves(image, strength, draw):
    row, column, frequency = draw.uniform(0, 32), draw.uniform(0, 32), draw.uniform(0, 10)
    amplitude, width = draw.uniform(0, 3.2, (2,))
    radius = np.hypot(Y - row, X - column) + amplitude * np.sin(frequency * np.arctan2(X - column, Y - row))
    return levels(image + (strength * 128 / 10 * (radius % width / width - 0.5))[..., None])


def plasma_noise(image, strength, draw):
    time, sharpness, scale = draw.uniform(0, 6 * math.pi), draw.uniform(0.5, 1), draw.uniform(0.075, 0.2)
    z, share = (X + 1j * Y) / (32 * scale), strength * 64 / 10
    for k in range(draw.integers(3) + 4):
        finer, t = 1.93**k, time / 1.15**k
        warp = (np.cos(finer * z.imag + t) + 1j * np.sin(finer * z.real + t)) / (2.25 - sharpness) ** k
        z = z + warp * (1 + 0.3j)
    x, y = z.real, z.imag
    colours = np.stack([np.sin(x - time), np.sin(0.5 * (x + y + np.sin(time))), np.sin(y + time)], axis=-1)
    return levels(image * (1 - share / 255) + share * colours)


def perlin_noise(image, strength, draw):
    slopes = draw.uniform(-1, 1, (113, 113, 2))
    slopes /= np.linalg.norm(slopes, axis=-1, keepdims=True)
    total = np.zeros((32, 32))
    for octave in (1, 2, 4, 8, 16):
        at = np.stack([Y, X], axis=-1) * 7 / 32 * octave
        cell, part = at.astype(int), at % 1
        smooth = 3 * part**2 - 2 * part**3
        height = np.zeros((32, 32))
        for corner in np.ndindex(2, 2):
            slope = slopes[cell[..., 0] + corner[0], cell[..., 1] + corner[1]]
            height += (slope * (part - corner)).sum(-1) * np.where(corner, smooth, 1 - smooth).prod(-1)
        total += abs(1.5 * height) / octave
    share = strength * 0.5 / 10
    return levels((1 - share) * image + 255 * share * np.clip(0.5 * total + 0.5, 0, 1)[..., None] + 1e-6)


def caustics(time, size):
    p = np.stack([Y, X]) / size % 1 * TURN - 250
    i, total = p, np.ones((32, 32))
    for n in range(5):
        t = time * (1 - 3.5 / (n + 1))
        i = p + np.array([np.cos(t - i[0]) + np.sin(t + i[1]), np.sin(t - i[1]) + np.cos(t + i[0])])
        total += 1 / np.linalg.norm(p * 0.005 / [np.sin(i[0] + t), np.cos(i[1] + t)], axis=0)
    return ndimage.gaussian_filter(np.minimum(1, abs(1.17 - (total / 5) ** 1.4) ** 8), 1)


def caustic_refraction(image, strength, draw):
    lens, light, ray = strength / 10 * 0.5 * 32, strength / 10 * 2, np.array([0.0, 0.0, 1.0])[:, None, None]
    surface = np.pad(caustics(draw.uniform(0.5, 2), 32 * draw.uniform(0.75, 1.25)), 1)
    down, across = surface[2:, 1:-1] - surface[:-2, 1:-1], surface[1:-1, 2:] - surface[1:-1, :-2]
    normal = np.stack([down, across, np.ones((32, 32))])
    normal /= np.linalg.norm(normal, axis=0)
    aside = ray - normal[2] * normal
    sine = np.maximum(np.linalg.norm(aside, axis=0), 1e-9)
    turned = np.arcsin(sine / 4)
    moves = lens * (np.cos(turned) * normal + np.sin(turned) * aside / sine)[:2]
    seen = np.stack([Y, X]) + np.where(normal[2] < 0.999, moves, 0)
    return levels(warp(image, seen) + 255 * light * (down - across)[..., None])


@pytest.mark.parametrize(
    ("table", "name"), [*(("cifar10", name) for name in C_BAR), *(("imagenet", name) for name in IMAGENET_C_BAR)]
)
def test_matches_its_definition(table, name, photos):
    """At each severity on other images: a photograph, and flat ones."""
    for severity, strength in zip(SEVERITIES, PUBLISHED["c_bar"][table][name], strict=True):
        images = corrupted.with_flat(photos[severity : severity + 1])[: 3 if table == "cifar10" else severity % 2 + 1]
        expected = [globals()[name](image, strength, Draws(name, severity, k)) for k, image in enumerate(images)]
        gap = np.abs(corrupt(images, name, severity, table=table).astype(int) - expected)
        assert gap.max() <= 1
        # The last bit decides a truncation, and a rounding where it meets a tie: often at the one magnification of 1.
        assert (gap > 0).mean() < (0.01 if name == "transverse_chromatic_abberation" else 1e-3)


@pytest.mark.parametrize("shape", [(24, 41), (40, 16)])
def test_circular_motion_blur_turns_about_the_centre_of_any_image(shape):
    images = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    expected = [circular_motion_blur(image, 6.0, None) for image in images]
    assert np.abs(corrupt(images, "circular_motion_blur", 5).astype(int) - expected).max() <= 1
