"""The most memory that `freqfast evaluate` has over sets of images in files, on the fly and of an ImageNet-C tree.

    python -m tests.bench.bench_streaming [--images 100 800] [--model resnet18] [--corruptions contrast]

Makes JPEGs of 320 x 256 pixels in two class folders, evaluates a random network on them at 224 pixels, writes the tree
of one corruption and evaluates on that. Each is a process of its own; printed is the peak of its resident memory, and
by how much it exceeds that of a process that loads the network and stops. A copy of the whole set at 224 pixels takes
147 KiB an image. Linux or macOS.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

UNIT = 1 if sys.platform == "darwin" else 1024
MAKE = """
import sys, torch, torchvision
torch.save(torchvision.models.get_model(sys.argv[1], num_classes=2).state_dict(), sys.argv[2])
"""
LOAD = """
import sys
from freqfast.models.sources import load_network
load_network(sys.argv[1], weights=sys.argv[2], mean=(0.5,) * 3, std=(0.25,) * 3)
"""
VIEW = ("--resize", "256", "--crop", "224")
NORMALISATION = ("--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")


def peak_mib(*arguments):
    """Of a Python process, which must succeed; this one is small, so that what the child had of it does not count."""
    process = subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, arguments))} ended with {process.returncode}")
    return usage.ru_maxrss * UNIT / 2**20


def make_images(folder, count):
    rng = np.random.default_rng(0)
    for label in ("first", "second"):
        (folder / label).mkdir(parents=True)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 20, 3), dtype=np.uint8))
        path = folder / ("first", "second")[number % 2] / f"{number:06d}.jpg"
        coarse.resize((320, 256), Image.Resampling.BICUBIC).save(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[100, 800])
    parser.add_argument("--model", default="resnet18", help="of torchvision")
    parser.add_argument("--corruptions", default="contrast")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pt"
        peak_mib("-c", MAKE, args.model, weights)
        network = f"torchvision:{args.model}"
        alone = peak_mib("-c", LOAD, network, weights)
        print(f"{args.model} alone: {alone:.0f} MiB", flush=True)
        judge = ("-m", "freqfast", "evaluate", network, "--weights", weights, *NORMALISATION)
        evaluate = (*judge, "--corruptions", args.corruptions)
        for count in args.images:
            images, tree = (Path(folder) / f"{what}-{count}" for what in ("images", "tree"))
            make_images(images, count)
            corrupt = ("-m", "freqfast", "corrupt", images, "-o", tree, "--tree", "--corruptions", args.corruptions)
            for what, command in {
                "on the fly": (*evaluate, "--data", images, *VIEW),
                "written as a tree": (*corrupt, *VIEW),
                "of the tree": (*evaluate, "--corrupted", tree),
            }.items():
                peak = peak_mib(*command)
                print(f"{count:6d} images, {what:17s} {peak:6.0f} MiB, {peak - alone:+6.0f}", flush=True)


if __name__ == "__main__":
    main()
