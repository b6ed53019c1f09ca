"""Processor time of every corruption against the original generators', an image and severity, in the same run.

    OMP_NUM_THREADS=1 python -m tests.bench.bench_corruptions ROBUSTNESS C_BAR --python ORIGINALS/bin/python
        [--size 224] [--images 7] [--rounds 3] [--name fog] ...

For the arguments see tests/fidelity/compare.py. One thread each; ours and theirs take turns, and of all rounds the
least counts. ``--memory`` prints instead how much a process grows over batches of growing length and images of growing
size, which needs no originals.
"""

import argparse
import os
import time

import numpy as np
import torch

from freqfast.compute.memory import keep_freed_memory
from freqfast.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from tests.fidelity.original_process import Originals, add_arguments, photographs


def ours(images, name, severity, frost_dir):
    start = time.process_time()
    corrupt(images, name, severity, frost_dir=frost_dir)
    return time.process_time() - start


def compare(originals, size, count, rounds, names):
    images = photographs(size)[:count]
    print(f"{size} px, {count} photographs, ms an image and severity, mean over severities")
    print(f"{'corruption':31s} {'ours':>8s} {'original':>9s} {'ratio':>7s}")
    totals = np.zeros(2)
    for name in names:
        times = np.full((len(SEVERITIES), 2), np.inf)
        for k, severity in enumerate(SEVERITIES):
            corrupt(images[:1], name, severity, frost_dir=originals.frost_dir)  # imports and tables
            for _ in range(rounds):
                pair = ours(images, name, severity, originals.frost_dir), originals.corrupt(images, name, severity)[1]
                times[k] = np.minimum(times[k], pair)
        mean = times.mean(axis=0) / count * 1000
        totals += mean
        print(f"{name:31s} {mean[0]:8.2f} {mean[1]:9.2f} {mean[1] / mean[0]:7.1f}", flush=True)
    print(f"{'sum':31s} {totals[0]:8.2f} {totals[1]:9.2f} {totals[1] / totals[0]:7.1f}")


def measure_memory():
    print("the most that a process grows by over all 18 without photographs, at severities 1 and 5, its input left out")
    for count, side in ((1, 224), (16, 224), (64, 224), (1, 512), (1, 1024)):
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
            corrupt(images[:1, :32, :32], "elastic_transform", 1)
            before = peak_bytes()
            for name in CORRUPTIONS:
                for severity in (1, 5) if name != "frost" else ():
                    corrupt(images, name, severity)
            os.write(writing, str(peak_bytes() - before).encode())
            os._exit(0)
        os.waitpid(child, 0)
        grown = int(os.read(reading, 32))
        images = count * side * side * 3
        print(f"{count:3d} x {side:4d} px: {grown / 2**20:7.0f} MiB; a batch is {images / 2**20:.1f} MiB")


def peak_bytes():
    """The most that this process has held: of a forked one, getrusage would tell its parent's."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, required=False)
    parser.add_argument("--size", type=int, action="append", choices=(32, 64, 224), help="default: all three")
    parser.add_argument("--images", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", action="append", help="a corruption; by default the 19")
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as the commands do
    if args.memory:
        measure_memory()
        return
    if args.c_bar is None:
        parser.error("name the two checkouts, or --memory")
    with Originals(args.python, args.robustness, args.c_bar) as originals:
        for size in args.size or (32, 64, 224):
            compare(originals, size, args.images, args.rounds, args.name or CORRUPTIONS)


if __name__ == "__main__":
    main()
