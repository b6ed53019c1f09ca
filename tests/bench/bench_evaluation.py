"""Throughput of the evaluation under corruption, over the bare model and over RobustBench's loop; and its memory.

    python -m tests.bench.bench_evaluation [--widths 16 64] [--images 1000] [--rounds 7] [--memory [FOLDER]]

- *evaluation*: `stored_source` and `evaluate_source` on a folder in the published CIFAR-10-C layout, files to outcomes;
  the files are new, so the operating system still holds them in memory.
- *forward*: the same model as it is, in inference mode, eval mode, channels last and the same precision, on as many
  batches of the same size that lie normalised in memory. The evaluation folds BatchNorm into the convolutions, so it
  can be faster.
- *RobustBench*: what its `benchmark` does for the same folder (written out here after robustbench 1.1): each file
  loaded whole for each severity, float32, contiguous, 32 images at a time, the normalisation a layer of the model.
- *memory*: the most that an evaluation holds beyond what the process had with the model loaded and run once; on a
  folder, or by default on 19 corruptions of 10,000 empty images, 2.7 GiB.

All run with freed memory kept, as the command does (`freqfast.compute.memory`). About three minutes on two cores, and
one more for the memory.
"""

import argparse
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from freqfast.compute.memory import keep_freed_memory
from freqfast.compute.precision import resolve_precision
from freqfast.corruptions import CORRUPTIONS, SEVERITIES
from freqfast.data import ImageData
from freqfast.models.build import build_model
from freqfast.robustness import evaluate_source
from freqfast.robustness.archive.reading import stored_source
from freqfast.robustness.archive.writing import write_archive
from tests.bench.common import (
    Arguments,
    in_a_process,
    interleave,
    median,
    now,
    peak_mib,
    photo_data,
    print_table,
    ratio,
)
from tests.support.networks import classifier_of

NAMES = ("gaussian_noise", "contrast")  # quick to make; to the evaluation all are alike


def evaluation_arm(model: nn.Module, data: ImageData, folder: Path, args: argparse.Namespace) -> Callable[[], float]:
    """Images per second from files to a report."""
    classifier = classifier_of(
        model, data.mean, data.std, device=args.device, precision=args.precision, batch_size=args.batch_size
    )

    def images_per_second() -> float:
        start = now(args.device)
        (report,) = evaluate_source([classifier], stored_source(folder))
        report.to_dict()
        return sum(cell.images for cell in report.outcomes.values()) / (now(args.device) - start)

    return images_per_second


def forward_arm(model: nn.Module, data: ImageData, args: argparse.Namespace) -> Callable[[], float]:
    """Images per second of the model alone."""
    dtype = getattr(torch, resolve_precision(args.precision, args.device))
    model = deepcopy(model).eval().to(args.device, dtype, memory_format=torch.channels_last)
    pixels = (data.test.pixels / 255 - data.mean) / data.std
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(args.device, dtype)  # the permuted view is channels last
    batches = list(images.split(args.batch_size)) * len(NAMES) * len(SEVERITIES)

    @torch.inference_mode()
    def images_per_second() -> float:
        start = now(args.device)
        for batch in batches:
            model(batch)
        return sum(map(len, batches)) / (now(args.device) - start)

    return images_per_second


class _Normalised(nn.Module):
    """A model that takes pixels in [0, 1], as RobustBench's do."""

    def __init__(self, model: nn.Module, data: ImageData) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(data.mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(data.std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model((pixels - self.mean) / self.std)


def robustbench_arm(model: nn.Module, data: ImageData, folder: Path, args: argparse.Namespace) -> Callable[[], float]:
    """Images per second of RobustBench's way."""
    network = _Normalised(deepcopy(model), data).eval().to(args.device, memory_format=torch.contiguous_format)
    size, count = args.robustbench_batch_size, len(data.test)

    @torch.no_grad()
    def images_per_second() -> float:
        start = now(args.device)
        for name in NAMES:
            for severity in SEVERITIES:
                block = np.load(folder / f"{name}.npy")[(severity - 1) * count : severity * count]
                labels = torch.tensor(np.load(folder / "labels.npy")[:count])
                pixels = torch.tensor(block.transpose(0, 3, 1, 2).astype(np.float32) / 255)
                right = torch.zeros((), device=args.device)
                for first in range(0, count, size):
                    logits = network(pixels[first : first + size].to(args.device))
                    right += (logits.max(1)[1] == labels[first : first + size].to(args.device)).float().sum()
                right.item()
        return len(NAMES) * len(SEVERITIES) * count / (now(args.device) - start)

    return images_per_second


def write_empty_archive(folder: Path, count: int = 10_000) -> None:
    """All 19 corruptions in full size; the files are sparse where the file system can do that."""
    np.save(folder / "labels.npy", np.zeros(len(SEVERITIES) * count, np.uint8))
    for name in CORRUPTIONS:
        shape = (len(SEVERITIES) * count, 32, 32, 3)
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, shape).flush()


def peak_memory(folder: str, device: str, precision: str) -> tuple[float, float]:
    """Peak resident memory in MiB: with a small model that has run once, and after a whole evaluation."""
    source = stored_source(folder)
    classifier = classifier_of(build_model("resnet18", classes=10, width=8), device=device, precision=precision)
    classifier.predict(np.zeros((classifier.batch_size, 32, 32, 3), np.uint8))
    before = peak_mib()
    evaluate_source([classifier], source)
    return before, peak_mib()


def measure_memory(args: argparse.Namespace) -> None:
    """Print the memory of an evaluation, which has a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        if not args.memory:
            write_empty_archive(Path(temporary))
        folder = args.memory or temporary
        total = sum(file.stat().st_size for file in Path(folder).glob("*.npy"))
        before, after = in_a_process(peak_memory, folder, args.device, args.precision)
    print(
        f"memory: {after - before:.0f} MiB beyond the {before:.0f} MiB with the model, for files of "
        f"{total / 2**20:.0f} MiB (aim: < 1024)"
    )


def main() -> None:
    parser = Arguments(__doc__, device=True, widths=[16, 64], batch_size=250, rounds=7)
    parser.add_argument("--images", type=int, default=1000, help="images of each of the ten cells")
    parser.add_argument("--robustbench-batch-size", type=int, default=32, help="its default is 32")
    parser.add_argument("--memory", nargs="?", const="", metavar="FOLDER", help="measure memory as well")
    args = parser.read()

    keep_freed_memory()
    data = photo_data(args.images, args.images)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if args.widths:
            write_archive(folder, data.test, NAMES)
        for width in args.widths:
            torch.manual_seed(0)
            model = build_model("resnet18", classes=len(data.classes), width=width)
            arms = {
                "evaluation": evaluation_arm(model, data, folder, args),
                "forward": forward_arm(model, data, args),
                "robustbench": robustbench_arm(model, data, folder, args),
            }
            speed = interleave(arms, args.rounds)
            ours, bare, theirs = (speed[name] for name in arms)
            against = median(bare), ratio(ours, bare), median(theirs), ratio(ours, theirs)
            rows.append((str(width), median(ours), *against))
    if rows:
        note = "images/s with quartiles, ratios with 95 % intervals; aims: >= 0.95 of forward, >= 1.8 of RobustBench"
        print_table(args, ("width", "evaluation", "forward", "ratio", "RobustBench", "ratio"), rows, note)
    if args.memory is not None:
        measure_memory(args)


if __name__ == "__main__":
    main()
