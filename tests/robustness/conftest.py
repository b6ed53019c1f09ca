import numpy as np
import pytest
import torch
from torch import nn

from freqfast.robustness import CLEAN, CorruptionResult, Outcomes
from tests.support.networks import classifier_of, small_network
from tests.support.places import cache_folder  # noqa: F401 (a fixture)

# The names as the published archive has them; written out here, since the tests must not believe the package.
MAIN = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working directory of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture(scope="session")
def main_names():
    return MAIN


@pytest.fixture(scope="session")
def all_names():
    return MAIN + EXTRA


@pytest.fixture(scope="session")
def grey():
    """Images of one level each."""

    def make(*levels):
        return np.array(levels, np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3)

    return make


@pytest.fixture
def model():
    return small_network()


class Brightness(nn.Module):
    """Calls an image bright (1) or dark (0); right answers need no training."""

    def __init__(self):
        super().__init__()
        self.middle = nn.Parameter(torch.tensor(0.5))

    def forward(self, images):
        bright = images.mean((1, 2, 3)) - self.middle
        return torch.stack([-bright, bright], 1)


@pytest.fixture
def bright():
    return classifier_of(Brightness(), (0,) * 3, (1,) * 3, name="bright")


@pytest.fixture(scope="session")
def outcomes():
    """Outcomes with chosen right answers, all at one confidence."""

    def make(correct, confidence=0.75, images_crc32=0):
        correct = np.asarray(correct, bool)
        return Outcomes.measure(correct, np.full(len(correct), confidence), np.ones(len(correct)), images_crc32)

    return make


@pytest.fixture(scope="session")
def resulting(outcomes):
    """A result with a chosen number of right answers of 20 in each cell."""

    def make(right_of, names, severities=range(1, 6), clean=None):
        cells = {
            (name, s): outcomes(np.arange(20) < right_of(i, s)) for i, name in enumerate(names) for s in severities
        }
        if clean is not None:
            cells[CLEAN] = outcomes(np.arange(20) < clean)
        return CorruptionResult(cells)

    return make


@pytest.fixture
def archive(tmp_path, grey):
    """Four images a block; every pixel of image i at severity s of corruption c is 40 c + 8 s + i."""
    folder = tmp_path / "archive"
    folder.mkdir()
    np.save(folder / "labels.npy", np.tile(np.array([3, 1, 2, 0], np.uint8), 5))
    for c, name in enumerate(("saturate", "fog", "shot_noise")):
        np.save(folder / f"{name}.npy", grey(*[40 * c + 8 * s + i for s in range(1, 6) for i in range(4)]))
    return folder
