import numpy as np
import pytest
import torch
from torch import nn

from tests.support.networks import classifier_of

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def labels():
    return np.arange(6) % 3


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 3),
    ).eval()


@pytest.fixture
def classifier(model):
    return classifier_of(model, MEAN, STD)


@pytest.fixture
def spy(classifier):
    """The classifier, which also keeps the images that it sees."""
    logits, classifier.seen = classifier.logits, []
    classifier.logits = lambda images: classifier.seen.append(np.array(images)) or logits(images)
    return classifier


@pytest.fixture
def oracle(model):
    """Accuracy by plain torch on float64 pixels from 0 to 255, NHWC."""

    def oracle(pixels, labels, model=model):
        x = (np.asarray(pixels, np.float64) / 255 - MEAN) / STD
        with torch.no_grad():
            logits = model.double()(torch.from_numpy(x).permute(0, 3, 1, 2))
        model.float()
        return float((logits.argmax(1).numpy() == labels).mean())

    return oracle
