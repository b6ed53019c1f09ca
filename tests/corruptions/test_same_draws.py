"""The random corruptions, given the very numbers that their definitions drew: equal, not only alike."""

from functools import partial

import numpy as np
import pytest
import torch

from freqfast.corruptions import SEVERITIES
from freqfast.corruptions.photographs import find_photographs
from freqfast.corruptions.registry import find_corruption

# Name: how many levels apart, and what share of the values may differ at all (float rounding before a truncation).
TOLERANCES = {
    "glass_blur": (0, 0.0),
    "motion_blur": (0, 0.0),
    "snow": (1, 0.002),
    "frost": (0, 0.0),
    "fog": (1, 0.002),
    "spatter": (1, 0.002),
    "elastic_transform": (1, 0.005),
}
COUNT = 24


class Recorder:
    """A NumPy generator that keeps what it gave, one flat row a draw."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)
        self.given = []

    def __getattr__(self, name):
        def draw(*args, **kwargs):
            values = getattr(self.generator, name)(*args, **kwargs)
            self.given.append(np.ravel(values).astype(float))
            return values

        return draw


class Replay:
    """The recorded draws of a batch, as a BatchRandom gives them: ``rows`` is ``(n, total)``, image by image."""

    device = torch.device("cpu")

    def __init__(self, rows):
        self.rows = torch.from_numpy(rows)

    def __len__(self):
        return len(self.rows)

    def take(self, shape):
        count = int(np.prod(shape))
        part, self.rows = self.rows[:, :count], self.rows[:, count:]
        assert part.shape[1] == count
        return part.reshape(len(part), *shape).clone()

    def uniform(self, low=0.0, high=1.0, shape=()):
        return self.take(shape)

    def normal(self, loc=0.0, scale=1.0, shape=()):
        return self.take(shape)

    def integers(self, high, shape=()):
        return self.take(shape).to(torch.int64)

    def bits(self, shape, dtype):
        """Two coins a pixel inside the border of 2 and 1: the moves left and up of ``glass_blur``."""
        moves = self.take((1, shape[1] + 2, shape[2] + 2, 2))[:, :, 2:, 2:]
        return ((moves[..., 0] == -1) + 2 * (moves[..., 1] == -1)).to(dtype)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", TOLERANCES)
def test_same_draws_same_image(name, severity, photos, oracles, support, frost_dir):
    function, options = find_corruption(name, frost_dir), {}
    if name == "frost":
        options = {"photographs": support.read_frost(find_photographs(frost_dir)[0].parent)}
    definition = partial(getattr(oracles, name), **options)
    expected, rows = [], []
    for k, image in enumerate(photos[:COUNT]):
        recorder = Recorder(k)
        expected.append(definition(image, severity, recorder))
        rows.append(np.concatenate(recorder.given))
    replay = Replay(np.stack(rows))
    planar = torch.from_numpy(photos[:COUNT].transpose(0, 3, 1, 2).copy())
    actual = function(planar, severity, replay).permute(0, 2, 3, 1).numpy()
    assert replay.rows.shape[1] == 0  # nothing drawn is left
    gap = np.abs(actual.astype(int) - np.stack(expected))
    levels, share = TOLERANCES[name]
    assert gap.max() <= levels
    assert (gap > 0).mean() <= share
