"""Networks that are as small as what they are for allows."""

import torch
from torch import nn

from freqfast.models.build import MODELS
from freqfast.models.classifier import Classifier
from freqfast.models.network import Network
from freqfast.preprocessing import Preprocessing

HALF, QUARTER = (0.5,) * 3, (0.25,) * 3


class TinyNetwork(nn.Module):
    """A convolution and a block with a stride, of a ResNet's parts: a run takes half of a small ResNet-18's time."""

    def __init__(self, classes, width=8, kernel_size=3):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.shortcut = nn.Conv2d(width, 2 * width, 1, stride=2, bias=False)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(2 * width, classes)

    def forward(self, images):
        maps = self.relu(self.bn1(self.conv1(images)))
        return self.fc(self.relu(self.bn2(self.conv2(maps)) + self.shortcut(maps)).mean((2, 3)))


MODELS["tiny"] = TinyNetwork  # as one of ours, in this process


def small_network():
    """A convolution, BatchNorm with statistics as after some training, and ten logits."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10)
    )
    model[1].running_mean.normal_(0, 0.3)
    model[1].running_var.uniform_(0.5, 2)
    return model


def network_of(module, mean=HALF, std=QUARTER, name="net", classes=None):
    """A module as a network."""
    return Network(name, module, Preprocessing(mean, std), classes)


def classifier_of(module, mean=HALF, std=QUARTER, name="net", classes=None, precision="float32", **options):
    """A module as a classifier."""
    return Classifier(network_of(module, mean, std, name, classes), precision=precision, **options)
