"""Photographs of three colours in a folder, with a network whose logits are the colours."""

import numpy as np
import torch

from tests.support.trees import write_photograph

NET = """
import torch

def net():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1, bias=False), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
"""
MODEL = ("./net.py:net", "--weights", "net.pth", "--mean", "0,0,0", "--std", "1,1,1", "--precision", "float32")
FILES = ("--data", "photographs", "--resize", 36, "--crop", 32)
NAMED = ("--class-list", "names.txt")


def write_photographs(place):
    """Red, green and blue photographs of several sizes, the network, its weights, and the names of its classes."""
    for shift, name in zip(100 * np.eye(3), ("red", "green", "blue"), strict=True):
        for number in range(4):
            write_photograph(place / "photographs" / name / f"{name}-{number}.png", number, shift)
    (place / "net.py").write_text(NET)
    torch.save({"0.weight": torch.eye(3)[:, :, None, None]}, place / "net.pth")
    (place / "names.txt").write_text("red\ngreen\nblue\n", encoding="utf-8-sig")  # as Windows' editor writes it
    return place / "photographs"
