"""A small network with our parts, trained for a few steps and exported."""

import torch
from torch import nn

from freqfast.spectral.antialiasing import apply_antialiasing
from freqfast.spectral.equalization import apply_equalization
from freqfast.spectral.modulation import apply_modulation, bake_modulation

APPLY = {"modulation": apply_modulation, "equalization": apply_equalization, "antialiasing": apply_antialiasing}
AXES = ("batch", "channels", "height", "width")
OTHER = {"batch": 5, "height": 38, "width": 16}


def small_model() -> nn.Module:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Conv2d(8, 16, 3, stride=2, padding=1)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(
        first, nn.BatchNorm2d(8), nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2), pool, nn.Linear(16, 8)
    )


def trained(model: nn.Module, options: dict) -> nn.Module:
    """In eval mode, with gains, references and running statistics that are not those of the start.

    Options: arguments of `apply_modulation`, `apply_equalization` and `apply_antialiasing` by the part; "bake".
    """
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


def export(path, options: dict, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Write an ONNX file, by an example of a size; gives images of other sizes on "open" axes, and the outputs."""
    model, example = trained(small_model(), options), (2, 3, *size)
    shape = {i: torch.export.Dim(axis) for i, axis in enumerate(AXES) if axis in options["open"]}
    torch.onnx.export(
        model, (torch.randn(example),), path, dynamo=True, dynamic_shapes=(shape,), input_names=["images"]
    )
    images = torch.randn([OTHER[axis] if i in shape else example[i] for i, axis in enumerate(AXES)])
    with torch.no_grad():
        return images, model(images)
