"""The ResNet-18 for images of CIFAR-10's size."""

from numbers import Integral

import torch
from torch import Tensor, nn


class CifarResNet18(nn.Module):
    """ResNet-18 for small images: a 3x3 stem of stride 1 and no max-pooling (He et al., 2016, arXiv:1512.03385).

    Args:
        classes: Number of classes.
        width: Filters of the first layer; the four stages have 1, 2, 4 and 8 times as many. 64 is the standard network.
        kernel_size: Size of the first layer's kernels, odd and at most 31.

    Raises:
        ValueError: If a number is too small, or the kernel size is even or too large.

    Examples:
        >>> CifarResNet18(classes=5, width=8)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 5])
    """

    def __init__(self, classes: int = 10, width: int = 64, kernel_size: int = 3) -> None:
        super().__init__()
        whole = all(isinstance(value, Integral) for value in (classes, width, kernel_size))
        if not whole or classes < 1 or width < 1 or not 1 <= kernel_size <= 31 or kernel_size % 2 == 0:
            raise ValueError(
                "classes, width and kernel_size must be whole numbers, classes and width positive and "
                f"kernel_size odd, at most 31, got classes={classes}, width={width}, kernel_size={kernel_size}"
            )
        self.conv1 = nn.Conv2d(3, width, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of normalised images ``(N, 3, H, W)``."""
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return nn.Sequential(_Block(inputs, outputs, stride, shortcut), _Block(outputs, outputs))


class _Block(nn.Module):
    """A block of two convolutions without changes in place, which take twice as long in bfloat16 on a CPU.

    So tests/bench/bench_resnet.py measures. To import torchvision for its block would take longer than to import torch.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))
