"""Trains a small network with our parts for a few steps and exports it; run as a program, in a process of its own.

    python -m tests.support.exported FOLDER '{"equalization": {}, "modulation": {}, ...}'

It writes ``network.onnx``, and images of other sizes than the example's with the network's outputs. Options: arguments
of `apply_modulation`, `apply_equalization` and `apply_antialiasing` by the part; "bake"; "open", the axes of open size.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from freqfast.spectral.antialiasing import apply_antialiasing
from freqfast.spectral.equalization import apply_equalization
from freqfast.spectral.modulation import apply_modulation, bake_modulation

APPLY = {"modulation": apply_modulation, "equalization": apply_equalization, "antialiasing": apply_antialiasing}
EXAMPLE = (2, 3, 26, 22)
OTHER = {"batch": 5, "height": 38, "width": 16}


def small_model() -> nn.Module:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Conv2d(8, 16, 3, stride=2, padding=1)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(first, nn.BatchNorm2d(8), nn.ReLU(), second, nn.ReLU(), pool, nn.Linear(16, 8))


def trained(model: nn.Module, options: dict) -> nn.Module:
    """In eval mode, with gains, references and running statistics that are not those of the start."""
    torch.manual_seed(0)
    for part, apply in APPLY.items():
        if part in options:
            apply(model, **options[part])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        images = torch.randn(8, 3, 16, 16).cumsum(-1)  # not the exported size, whose constants must not be there yet
        nn.functional.cross_entropy(model(images), torch.arange(8)).backward()
        optimizer.step()
    return (bake_modulation(model) if options.get("bake") else model).eval()


def main() -> None:
    """Export."""
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    model, axes = trained(small_model(), options), ("batch", "channels", "height", "width")
    shape = {i: torch.export.Dim(axis) for i, axis in enumerate(axes) if axis in options["open"]}
    inputs, path = torch.randn(EXAMPLE), folder / "network.onnx"
    torch.onnx.export(model, (inputs,), path, dynamo=True, dynamic_shapes=(shape,), input_names=["images"])
    images = torch.randn([OTHER[axis] if i in shape else EXAMPLE[i] for i, axis in enumerate(axes)])
    with torch.no_grad():
        np.savez(folder / "expected.npz", images=images.numpy(), outputs=model(images).numpy())


if __name__ == "__main__":
    main()
