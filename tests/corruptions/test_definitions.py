"""Corruptions against definitions written apart from the package; the random ones given the same random numbers."""

import numpy as np
import pytest
import torch

from freqfast.corruptions import CORRUPTIONS, FAMILIES, SEVERITIES, corrupt
from freqfast.corruptions.photographs import crop, grain
from freqfast.corruptions.registry import find_corruption
from freqfast.corruptions.spatter import _distance_to
from tests.support import corrupted
from tests.support.corruption_oracles import define

# Name: what share of the values may differ, by a level (float rounding before a truncation).
TOLERANCES = {
    "glass_blur": 0.01,
    "motion_blur": 0.001,
    "snow": 0.002,
    "frost": 0.005,  # a photograph that is reduced has ties to round
    "fog": 0.002,
    "spatter": 0.002,
    "elastic_transform": 0.005,
}
DETERMINISTIC = [name for name in CORRUPTIONS if name not in (*TOLERANCES, *FAMILIES["noise"])]
TO_THE_BIT = ("gaussian_blur", "pixelate", "jpeg_compression", "glass_blur", "motion_blur")  # small images


@pytest.mark.parametrize(
    ("table", "side", "count"), [("cifar10", 32, 10), ("tiny-imagenet", 64, 2), ("imagenet", 120, 1)]
)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_corruptions(name, table, side, count, photos):
    images = corrupted.with_flat(corrupted.photographs(side)[:count] if side > 32 else photos[:count])
    for severity in SEVERITIES:
        expected = define(images, name, severity, None, table=table)
        gap = np.abs(corrupt(images, name, severity, table="auto").astype(int) - expected)
        assert gap.max() <= (0 if name in TO_THE_BIT and side == 32 else 1)
        assert (gap[:count] > 0).mean() < 0.03  # of flat regions, float rounding decides between neighbouring levels


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("gaussian_blur", 64),
        ("zoom_blur", 32),
        ("elastic_transform", 32),
        ("elastic_transform", 64),
        ("pinch_and_twirl", 32),
    ],
)
def test_the_last_bit_of_a_sum_lowers_no_level_of_a_flat_image(name, side):
    """Neither in single precision, of large images, nor in double."""
    images = np.full((86, side, side, 3), np.arange(0, 256, 3)[:, None, None, None], dtype=np.uint8)
    for severity in (1, 5):
        assert np.array_equal(corrupt(images, name, severity), images)


@pytest.mark.parametrize("step", [0.7, 1.2, 5.0])
def test_a_crop_of_a_photograph_is_the_part_of_the_whole(step):
    photograph = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    whole = crop(photograph, 0, 0, 16, 22, step)
    for top, left in np.ndindex(8, 8):
        assert np.array_equal(crop(photograph, top, left, 8, 14, step), whole[top : top + 8, left : left + 14])


def test_a_photograph_that_is_too_narrow_is_reduced_less():
    assert grain(np.empty((300, 100, 3)), 10, 49, 500.0) == 2
    assert grain(np.empty((100, 300, 3)), 49, 10, 500.0) == 2


def test_edges_are_seen_20_pixels_away():
    edges = np.arange(50)[None, None] == 7
    assert np.array_equal(_distance_to(edges)[0, 0] / 2**16, abs(np.arange(50) - 7).clip(max=20))


class Recorder:
    """A NumPy generator that records every number drawn, with the two parameters of its law: ``(3, count)``."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)
        self.given = []

    def __getattr__(self, name):
        def draw(*args, **kwargs):
            values = getattr(self.generator, name)(*args, **kwargs)
            law = args[:2] if len(args) > 1 else (0, *args)
            rows = [np.full(np.shape(values), parameter) for parameter in law]
            self.given.append(np.stack([values, *rows]).reshape(3, -1).astype(float))
            return values

        return draw


class Replay:
    """Gives recorded draws of a batch, ``(n, 3, count)``, in place of a BatchRandom, and checks their laws."""

    device = torch.device("cpu")

    def __init__(self, rows):
        self.rows = torch.from_numpy(rows)

    def __len__(self):
        return len(self.rows)

    def take(self, shape, *law):
        count = int(np.prod(shape))
        part, self.rows = self.rows[..., :count], self.rows[..., count:]
        for recorded, parameter in zip(part[:, 1:].unbind(1), law, strict=True):
            expected = torch.as_tensor(parameter, dtype=torch.float64).reshape(-1, 1).expand(len(part), count)
            torch.testing.assert_close(recorded, expected)
        return part[:, 0].reshape(len(part), *shape).clone()

    def uniform(self, low=0.0, high=1.0, shape=()):
        return self.take(shape, low, high)

    def normal(self, loc=0.0, scale=1.0, shape=()):
        return self.take(shape, loc, scale)

    def integers(self, high, shape=()):
        return self.take(shape, 0, high).to(torch.int64)

    def bits(self, shape, dtype):
        """Two coins a pixel, for the moves left and up of ``glass_blur``, which leaves a border of 2 and of 1 alone."""
        moves = self.take((1, shape[1] + 2, shape[2] + 2, 2), -1, 1)[:, :, 2:, 2:]
        return ((moves[..., 0] == -1) + 2 * (moves[..., 1] == -1)).to(dtype)


# The wide filters of ImageNet's table reach beyond images of 50 pixels several times. The last ones are not square.
@pytest.mark.parametrize(
    ("table", "side", "shape", "severities"),
    [
        ("cifar10", 32, (32, 32), SEVERITIES),
        ("tiny-imagenet", 64, (64, 64), SEVERITIES),
        ("imagenet", 50, (50, 50), SEVERITIES),
        ("tiny-imagenet", 50, (50, 31), (1, 5)),
        ("imagenet", 76, (53, 76), (1, 5)),
    ],
)
@pytest.mark.parametrize("name", [*TOLERANCES, "pixelate", "zoom_blur"])
def test_same_draws_give_the_same_image(name, table, side, shape, severities, photos, frost_dir):
    images = corrupted.with_flat(photos[:8] if side == 32 else corrupted.photographs(side)[:1])
    images = images[:, : shape[0], : shape[1]]
    planar = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    function = find_corruption(name, frost_dir, table)
    for severity in severities:
        recorders = [Recorder(k) for k in range(len(images))]
        expected = [
            define(image[None], name, severity, recorder, frost_dir, table)[0]
            for image, recorder in zip(images, recorders, strict=True)
        ]
        replay = Replay(np.stack([np.concatenate([np.empty((3, 0)), *each.given], axis=1) for each in recorders]))
        actual = function(planar.clone(), severity, replay).permute(0, 2, 3, 1).numpy()
        assert replay.rows.shape[2] == 0  # nothing drawn is left
        gap = np.abs(actual.astype(int) - np.stack(expected))
        exact = side == 32 and name in TO_THE_BIT
        assert gap.max() <= (0 if exact else 1)
        photographs = gap[: len(images) - 2]  # of flat regions, float rounding decides between neighbouring levels
        assert (photographs > 0).mean() <= TOLERANCES.get(name, 0.03)
