"""Time and size of an export: ResNet-18's first layer, and all spatial layers of torchvision's ResNet-50.

    python -m tests.bench.bench_export [--points 32] [--rounds 7]

- *measure*: model to spectra; *write*: spectra to the file, flushed to the disk; *read*: the file to spectra;
- *CPU*: processor time of the three together, on which other load on the machine has little influence;
- *MiB*: the file's size, beside that of the arrays in it.

Weights are random: nothing is downloaded, and their float32 digits compress as badly as trained ones do. About a minute
on two cores.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import nn
from torchvision.models import resnet50

from freqfast.models.resnet import build_model
from freqfast.spectra import Spectra, measure_layers, spatial_layers
from freqfast.spectra.h5 import read_layers, validate, write_spectra
from tests.bench.common import median, now, print_setting, print_table

MIB = 2**20


def timed(function: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = now("cpu")
    function()
    return now("cpu") - start


def stored_bytes(path: Path) -> int:
    """Bytes of all arrays in a file before compression."""
    total = 0

    def add(_: str, item: h5py.HLObject) -> None:
        nonlocal total
        total += item.nbytes if isinstance(item, h5py.Dataset) else 0

    with h5py.File(path) as file:
        file.visititems(add)
    return total


def export(name: str, model: nn.Module, layers: list[str], args: argparse.Namespace, folder: Path) -> list[str]:
    """A row of the table."""
    path = folder / "spectra.h5"
    spectra: list[Spectra] = []
    seconds: dict[str, list[float]] = {"measure": [], "write": [], "read": []}
    cpu: list[float] = []
    for turn in range(args.rounds + 1):
        start = time.process_time()
        round_seconds = {
            "measure": timed(lambda: spectra.__setitem__(slice(None), measure_layers(model, layers, n=args.points))),
            "write": timed(lambda: write_spectra(path, spectra)),
            "read": timed(lambda: read_layers(path)),
        }
        if turn:  # the first round warms up
            cpu.append(time.process_time() - start)
            for key, value in round_seconds.items():
                seconds[key].append(value)
    if departures := validate(path):
        raise SystemExit(f"{name}: {departures}")
    times = [median(1000 * np.array(values)) for values in (*seconds.values(), cpu)]
    filters = sum(len(s.power) for s in spectra)
    sizes = [f"{size / MIB:.2f}" for size in (path.stat().st_size, stored_bytes(path))]
    return [name, str(len(spectra)), str(filters), *times, *sizes]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.manual_seed(0)
    small = build_model(name="resnet18", width=64, kernel_size=3, classes=10)
    large = resnet50(weights=None)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rows.append(export("ResNet-18 (CIFAR), conv1", small, spatial_layers(small)[:1], args, Path(folder)))
        rows.append(export("ResNet-50, all spatial", large, spatial_layers(large), args, Path(folder)))
    print_setting("cpu", "float32", points=args.points, rounds=args.rounds)
    header = ["ms: median (quartiles)", "layers", "filters", "measure", "write", "read", "CPU", "MiB", "MiB of arrays"]
    print_table(header, rows)


if __name__ == "__main__":
    main()
