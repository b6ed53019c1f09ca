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


def grid(image):
    """Rows and columns of an image, its height and width, and the shorter of them, of which lengths are shares."""
    height, width = image.shape[:2]
    return *np.mgrid[:height, :width], height, width, min(height, width)


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


def noise(image, phases, amplitude):
    """Random phases on a spectrum; those on its right half are the left half's, turned by 180 degrees."""
    y, x, height, width, side = grid(image)
    left = phases.reshape(width // 2, height).T
    phase = np.concatenate([left, np.rot90(left, 2)], axis=1)
    cycles = np.hypot((y - height // 2) / height, (x - width // 2) / width) * side
    field = np.fft.ifft2(np.fft.ifftshift(amplitude(cycles) * np.exp(1j * phase))).real
    return field / np.std(field)


def blue_noise_sample(image, strength, draw):
    phases = draw.uniform(0, TURN, (image[..., 0].size // 2,))
    mask = noise(image, phases, lambda cycles: cycles) > strength * 3 / 10 - 2.5
    return np.where(mask[..., None], image, 0)


def brownish_noise(image, strength, draw):
    phases = draw.uniform(0, TURN, (3, image[..., 0].size // 2))
    layers = [noise(image, each, lambda cycles: 1 / (cycles**2 + 1)) for each in phases]
    return levels(image + strength * 64 / 10 * np.stack(layers, axis=-1))


def checkerboard_cutout(image, strength, draw):
    y, x, height, width, side = grid(image)
    angle, square = draw.uniform(0, TURN), draw.uniform(0.1 * side, 0.25 * side)
    reach = math.ceil(math.hypot(height, width) / (0.1 * side))
    cut = draw.uniform(0, 1, (2 * reach, 2 * reach)) < strength / 10
    i = (math.cos(angle) * y + math.sin(angle) * x) / square
    j = (-math.sin(angle) * y + math.cos(angle) * x) / square
    black = np.floor(i % 2) == np.floor(j % 2)
    hidden = black & cut[np.trunc(i).astype(int) + reach, np.trunc(j).astype(int) + reach]
    return np.where(hidden[..., None], 128, image)


def sparkle(image, row, column, count, lengths, exponent):
    y, x, *_ = grid(image)
    position = (np.arctan2(x - column, y - row) + math.pi) / TURN * count
    between = position % 1
    length = np.interp(position, np.arange(201), [lengths[k % count] for k in range(201)])
    fall = (length**2 / ((y - row) ** 2 + (x - column) ** 2 + 1e-4)) ** exponent
    return np.minimum(1, (1 - (between - 0.5) ** 2) * fall)[..., None]


def sparkles(image, strength, draw):
    *_, height, width, side = grid(image)
    out, radius = image.astype(float), side * strength * 0.1 / 10
    for _ in range(5):
        row, column = draw.uniform(0, height), draw.uniform(0, width)
        count, lengths = draw.integers(150) + 50, draw.normal(radius, radius * 0.25, (199,))
        out += sparkle(image, row, column, count, np.maximum(lengths, 1), (100 - 50) / 50) * (255 - out)
    return levels(out + 1e-9)


def inverse_sparkles(image, strength, draw):
    *_, height, width, side = grid(image)
    row, column = draw.uniform(height / 4, 0.75 * height), draw.uniform(width / 4, 0.75 * width)
    count, lengths = draw.integers(150) + 50, draw.normal(side / 4, side / 16, (199,))
    light = sparkle(image, row, column, count, lengths, strength * 65 / 10 / 50)
    return levels(255 + light * (image - 255.0))


def lines(image, strength, draw):
    *_, height, width, side = grid(image)
    angle, turns = draw.uniform(0, TURN), draw.uniform(0.1, 1)
    out = image.copy()
    for _ in range(int(strength / 10 * side)):
        row, column = draw.uniform(0, height), draw.uniform(0, width)
        slant = angle + TURN * turns * draw.uniform(-0.5, 0.5)
        down, across = side * math.cos(slant), side * math.sin(slant)
        ends = int(row - down), int(column - across), int(row + down), int(column + across)
        for y, x, cover in zip(*line_aa(*ends), strict=True):
            if 0 <= y < height and 0 <= x < width:
                out[y, x] = levels((1 - cover) * out[y, x] + cover * 128)
    return out


def warp(image, points):
    """``points[:, y, x]``: where the pixel comes from."""
    planes = np.moveaxis(image.astype(float), -1, 0)
    found = [ndimage.map_coordinates(plane, points, order=1, mode="grid-constant") for plane in planes]
    return np.stack(found, axis=-1) + 1e-6


def pinch_and_twirl(image, strength, draw):
    *_, height, width, _ = grid(image)
    tall, wide = height // 3, width // 3
    signs = draw.integers(2, (3, 3)) * 2 - 1
    amount = strength * 0.4 / 10 + 0.1

    def source(y, x):
        i, j = min(y // tall, 2), min(x // wide, 2)
        cy, cx = (i + 0.5) * tall, (j + 0.5) * wide
        distance = math.hypot(y - cy, x - cx) / (min(tall, wide) / 2)
        if distance == 0 or distance > 1:
            return y, x
        stretch = math.sin(math.pi * distance / 2) ** -amount
        angle = signs[i, j] * strength / 10 * math.pi / 2 * (1 - distance) ** 2
        dy, dx = stretch * (y - cy), stretch * (x - cx)
        return cy + dy * math.cos(angle) - dx * math.sin(angle), cx + dy * math.sin(angle) + dx * math.cos(angle)

    points = np.array([[source(y, x) for x in range(width)] for y in range(height)])
    return levels(warp(image, points.transpose(2, 0, 1)))


def ripple(image, strength, draw):
    y, x, *_, side = grid(image)
    lengths, phases = draw.uniform(0.1 * side, 0.3 * side, (2,)), draw.uniform(0, TURN, (2,))
    amplitude = strength * 0.025 / 10 * side
    waves = TURN * np.stack([y, x]) / lengths[:, None, None] + phases[:, None, None]
    return levels(warp(image, np.stack([y, x]) + amplitude * np.sin(waves)))


def circular_motion_blur(image, strength, draw):
    positions = np.linspace(-1, 1, 21)
    turned = [ndimage.rotate(image.astype(float), p * strength * 1.5, reshape=False) for p in positions]
    return levels(np.average(turned, axis=0, weights=np.exp(-2 * positions**2)) + 1e-6)


def transverse_chromatic_abberation(image, strength, draw):
    out = image.copy()
    for factor, channel in zip((0, 0.5, 1), np.argsort(draw.uniform(0, 1, (3,))), strict=True):
        zoomed = ndimage.zoom(image[..., channel], 1 + factor * strength * 0.5 / 10, prefilter=False)
        for axis, size in enumerate(image.shape[:2]):
            zoomed = zoomed.take((zoomed.shape[axis] - size) // 2 + np.arange(size), axis)
        out[..., channel] = zoomed
    return out


def single_frequency_greyscale(image, strength, draw):
    y, x, *_ = grid(image)
    larger = draw.uniform(-math.pi, math.pi)
    smaller = abs(larger) * draw.uniform(-1, 1)
    phase = draw.uniform(0, TURN)
    fy, fx = (larger, smaller) if draw.integers(2) else (smaller, larger)
    return levels(image + (strength * 196 / 10 * np.sin(fx * x + fy * y + phase))[..., None])


def cocentric_sine_waves(image, strength, draw):
    y, x, height, width, side = grid(image)
    row, column, frequency = draw.uniform(0, height), draw.uniform(0, width), draw.uniform(0, 10)
    amplitude, ring = draw.uniform(0, 0.1 * side, (2,))
    radius = np.hypot(y - row, x - column) + amplitude * np.sin(frequency * np.arctan2(x - column, y - row))
    return levels(image + (strength * 128 / 10 * (radius % ring / ring - 0.5))[..., None])


def plasma_noise(image, strength, draw):
    time, sharpness, scale = draw.uniform(0, 6 * math.pi), draw.uniform(0.5, 1), draw.uniform(0.075, 0.2)
    y, x, *_, side = grid(image)
    z, share = (x + 1j * y) / (side * scale), strength * 64 / 10
    for k in range(draw.integers(3) + 4):
        finer, t = 1.93**k, time / 1.15**k
        warp = (np.cos(finer * z.imag + t) + 1j * np.sin(finer * z.real + t)) / (2.25 - sharpness) ** k
        z = z + warp * (1 + 0.3j)
    x, y = z.real, z.imag
    colours = np.stack([np.sin(x - time), np.sin(0.5 * (x + y + np.sin(time))), np.sin(y + time)], axis=-1)
    return levels(image * (1 - share / 255) + share * colours)


def perlin_noise(image, strength, draw):
    y, x, height, width, side = grid(image)
    slopes = draw.uniform(-1, 1, (*(math.ceil(size * 16 * 7 / side) + 1 for size in (height, width)), 2))
    slopes /= np.linalg.norm(slopes, axis=-1, keepdims=True)
    total = np.zeros((height, width))
    for octave in (1, 2, 4, 8, 16):
        at = np.stack([y, x], axis=-1) / (side / 7) * octave
        cell, part = at.astype(int), at % 1
        smooth = 3 * part**2 - 2 * part**3
        slant = np.zeros((height, width))
        for corner in np.ndindex(2, 2):
            slope = slopes[cell[..., 0] + corner[0], cell[..., 1] + corner[1]]
            slant += (slope * (part - corner)).sum(-1) * np.where(corner, smooth, 1 - smooth).prod(-1)
        total += abs(1.5 * slant) / octave
    share = strength * 0.5 / 10
    return levels((1 - share) * image + 255 * share * np.clip(0.5 * total + 0.5, 0, 1)[..., None] + 1e-6)


def caustics(image, time, size):
    p = np.stack(grid(image)[:2]) / size % 1 * TURN - 250
    i, total = p, np.ones(image.shape[:2])
    for n in range(5):
        t = time * (1 - 3.5 / (n + 1))
        i = p + np.array([np.cos(t - i[0]) + np.sin(t + i[1]), np.sin(t - i[1]) + np.cos(t + i[0])])
        total += 1 / np.linalg.norm(p * 0.005 / [np.sin(i[0] + t), np.cos(i[1] + t)], axis=0)
    return ndimage.gaussian_filter(np.minimum(1, abs(1.17 - (total / 5) ** 1.4) ** 8), 1)


def caustic_refraction(image, strength, draw):
    y, x, *_, side = grid(image)
    lens, light, ray = strength / 10 * 0.5 * side, strength / 10 * 2, np.array([0.0, 0.0, 1.0])[:, None, None]
    surface = np.pad(caustics(image, draw.uniform(0.5, 2), side * draw.uniform(0.75, 1.25)), 1)
    down, across = surface[2:, 1:-1] - surface[:-2, 1:-1], surface[1:-1, 2:] - surface[1:-1, :-2]
    normal = np.stack([down, across, np.ones_like(down)])
    normal /= np.linalg.norm(normal, axis=0)
    aside = ray - normal[2] * normal
    sine = np.maximum(np.linalg.norm(aside, axis=0), 1e-9)
    turned = np.arcsin(sine / 4)
    moves = lens * (np.cos(turned) * normal + np.sin(turned) * aside / sine)[:2]
    seen = np.stack([y, x]) + np.where(normal[2] < 0.999, moves, 0)
    return levels(warp(image, seen) + 255 * light * (down - across)[..., None])


@pytest.mark.parametrize(
    ("table", "name"), [*(("cifar10", name) for name in C_BAR), *(("imagenet", name) for name in IMAGENET_C_BAR)]
)
def test_matches_its_definition(table, name, photos):
    """At each severity on other images: a photograph, whole or a part that is not square, and flat ones."""
    parts = (32, 32), (24, 32), (32, 22), (32, 32), (32, 32)
    for severity, strength in zip(SEVERITIES, PUBLISHED["c_bar"][table][name], strict=True):
        height, width = parts[severity - 1]
        images = corrupted.with_flat(photos[severity : severity + 1, :height, :width])[
            : 3 if table == "cifar10" else severity % 2 + 1
        ]
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
