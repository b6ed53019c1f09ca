"""Throughput of the evaluation under corruption, over the bare model's forward pass.

    python tests/bench/bench_evaluation.py [--widths 16 64] [--images 1000] [--rounds 7]

- *evaluation*: `stored_cells` and `evaluate_cells` on a folder in the published CIFAR-10-C layout, files to accuracies;
  the files are new, so the operating system still holds them in memory.
- *forward*: the same model in inference mode, eval mode, channels last and the same precision, on as many batches of
  the same size that lie normalised in memory.

About two minutes on two cores.
"""

import argparse
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from common import interleave, median, now, photo_data, print_setting, print_table, ratio
from torch import nn

from freqfast.corruptions import SEVERITIES, corrupt
from freqfast.data import ImageData
from freqfast.models import build_model
from freqfast.precision import resolve_precision
from freqfast.robustness import Classifier, evaluate_cells, stored_cells

CORRUPTIONS = ("gaussian_noise", "contrast")  # quick to make; to the evaluation all are alike


def write_archive(folder: Path, data: ImageData) -> None:
    """Write a small archive in the published layout."""
    for name in CORRUPTIONS:
        blocks = [corrupt(data.test.images, name, severity) for severity in SEVERITIES]
        np.save(folder / f"{name}.npy", np.concatenate(blocks))
    np.save(folder / "labels.npy", np.tile(data.test.labels, len(SEVERITIES)))


def evaluation_arm(model: nn.Module, data: ImageData, folder: Path, args: argparse.Namespace) -> Callable[[], float]:
    """Images per second from files to a report."""
    classifier = Classifier(model, data.mean, data.std, args.device, args.precision, args.batch_size)

    def images_per_second() -> float:
        start = now(args.device)
        names, cells = stored_cells(folder)
        report = evaluate_cells(classifier, cells, len(names) * len(SEVERITIES))
        return len(names) * len(SEVERITIES) * report.images / (now(args.device) - start)

    return images_per_second


def forward_arm(model: nn.Module, data: ImageData, args: argparse.Namespace) -> Callable[[], float]:
    """Images per second of the model alone."""
    dtype = getattr(torch, resolve_precision(args.precision, args.device))
    model = deepcopy(model).eval().to(args.device, dtype, memory_format=torch.channels_last)
    pixels = (data.test.images / 255 - data.mean) / data.std
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(args.device, dtype)  # the permuted view is channels last
    batches = list(images.split(args.batch_size)) * len(CORRUPTIONS) * len(SEVERITIES)

    @torch.inference_mode()
    def images_per_second() -> float:
        start = now(args.device)
        for batch in batches:
            model(batch)
        return sum(map(len, batches)) / (now(args.device) - start)

    return images_per_second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64], help="filters of the first layer")
    parser.add_argument("--images", type=int, default=1000, help="images of each of the ten cells")
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=7, help="evaluations that are measured")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    if args.rounds < 1 or args.images < 1:
        parser.error("at least 1 round of 1 image")

    data = photo_data(args.images, args.images)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_archive(Path(folder), data)
        for width in args.widths:
            torch.manual_seed(0)
            model = build_model("resnet18", classes=len(data.classes), width=width)
            arms = {
                "evaluation": evaluation_arm(model, data, Path(folder), args),
                "forward": forward_arm(model, data, args),
            }
            speed = interleave(arms, args.rounds)
            ours, bare = speed["evaluation"], speed["forward"]
            rows.append((str(width), median(ours), median(bare), ratio(ours, bare), ">= 0.95"))
    print_setting(args.device, args.precision, images=10 * args.images, batch_size=args.batch_size, rounds=args.rounds)
    print_table(
        ("width", "evaluation, images/s (quartiles)", "forward, images/s (quartiles)", "over forward (95 %)", "aim"),
        rows,
    )


if __name__ == "__main__":
    main()
