import numpy as np
import pytest

from freqfast.data import ImageData, load_data
from freqfast.data.dataloaders import dataloaders


@pytest.fixture(scope="session")
def data():
    photos = load_data("photos")
    return ImageData("photos", photos.classes, photos.train[:300], photos.test[:150])


@pytest.fixture
def dls(data):
    return dataloaders(data, batch_size=32, device="cpu")


@pytest.fixture(scope="session")
def normalised():
    """What the model should see, by NumPy: ``(N, 3, H, W)``."""

    def normalised(images, data):
        pixels = (images.astype(np.float64) / 255 - np.array(data.mean)) / np.array(data.std)
        return pixels.transpose(0, 3, 1, 2)

    return normalised
