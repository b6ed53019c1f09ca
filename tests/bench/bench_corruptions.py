"""How long the set of 19 corruptions x 5 severities takes, against the per-image definitions; and how close it stays.

    python -m tests.bench.bench_corruptions [N] [--oracle-images M] [--fidelity M] [--frost-dir DIR]

Times the set on N images (default 10,000: CIFAR-10's test images where they are at hand, else photo patches repeated),
and each definition on M images, in one run on one machine. ``--fidelity M`` prints instead, by corruption, the worst
deviation of the statistics over the severities from the definitions' on M images.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from freqfast.corruptions import CORRUPTIONS, SEVERITIES, corrupt, unavailable
from freqfast.corruptions.photographs import find_photographs
from tests.support import corrupted, corruption_oracles

# The original generator (OpenCV, ImageMagick through files, frost photographs read anew for each image), one core:
# the sum over the 19 corruptions, for one image at one severity.
ORIGINAL_MS = 26


def run_oracle(images, name, severity, options, rng):
    return np.stack(
        [getattr(corruption_oracles, name)(image, severity, rng, **options.get(name, {})) for image in images]
    )


def timed(work):
    """Seconds on the clock and of processor time (all threads), the latter for machines that others use too."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return np.array([time.perf_counter() - wall, time.process_time() - cpu])


def bench(images, oracle_images, frost_dir, options):
    print(f"{'':18s} {'the set':>17s} {'definitions':>17s} {'ratio':>15s}")
    print(
        f"{'corruption':18s} {'clock, s':>8s} {'cpu, s':>8s} {'clock, s':>8s} {'cpu, s':>8s} {'clock':>7s} {'cpu':>7s}"
    )

    def line(name, ours, theirs):
        ratio = theirs / ours
        print(f"{name:18s} " + " ".join(f"{x:8.1f}" for x in (*ours, *theirs)) + f" {ratio[0]:7.1f} {ratio[1]:7.1f}")

    def batched(name):
        for severity in SEVERITIES:
            corrupt(images, name, severity, frost_dir=frost_dir)

    def one_by_one(name):
        for severity in SEVERITIES:
            run_oracle(images[:oracle_images], name, severity, options, np.random.default_rng(0))

    total, total_oracle = np.zeros(2), np.zeros(2)
    for name in CORRUPTIONS:
        corrupt(images[:256], name, 1, frost_dir=frost_dir)  # imports and tables
        ours = timed(lambda name=name: batched(name))
        theirs = timed(lambda name=name: one_by_one(name)) * len(images) / oracle_images
        line(name, ours, theirs)
        total, total_oracle = total + ours, total_oracle + theirs
    line("all", total, total_oracle)
    original = ORIGINAL_MS / 1000 * len(SEVERITIES) * len(images)
    print(f"the original generator at {ORIGINAL_MS} ms: {original:.0f} s, {original / total[0]:.1f} times the clock")


def fidelity(images, frost_dir, options):
    keys = list(corrupted.LIMITS)
    print(f"{'corruption':18s} " + " ".join(f"{key:>15s}" for key in keys) + f" {'max |levels|':>13s}")
    for name in CORRUPTIONS:
        worst, gap = dict.fromkeys(keys, 0.0), 0
        for severity in SEVERITIES:
            actual = corrupt(images, name, severity, frost_dir=frost_dir)
            expected = run_oracle(images, name, severity, options, np.random.default_rng(severity))
            found = corrupted.deviations(images, actual, expected)
            worst = {key: max(worst[key], found[key]) for key in keys}
            gap = max(gap, int(np.abs(actual.astype(int) - expected).max()))
        print(f"{name:18s} " + " ".join(f"{100 * worst[key]:14.2f}%" for key in keys) + f" {gap:13d}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", nargs="?", type=int, default=10_000)
    parser.add_argument("--oracle-images", type=int, default=50)
    parser.add_argument("--fidelity", type=int, metavar="M")
    parser.add_argument("--frost-dir", help="default: the installed photographs, else stand-ins")
    args = parser.parse_args()

    images = corrupted.cifar10_test()
    source = "CIFAR-10 test images" if images is not None else "photo patches"
    images = corrupted.photo_patches() if images is None else images
    count = args.fidelity or args.n
    images = np.resize(images, (count, *images.shape[1:]))
    with tempfile.TemporaryDirectory() as folder:
        stand_ins = unavailable(args.frost_dir)
        frost_dir = corrupted.write_frost_stand_ins(Path(folder)) if stand_ins else args.frost_dir
        options = {"frost": {"photographs": corrupted.read_frost(find_photographs(frost_dir)[0].parent)}}
        print(
            f"{count} {source}, {torch.get_num_threads()} threads, torch {torch.__version__}"
            + (", stand-ins for the frost photographs" if stand_ins else "")
        )
        if args.fidelity:
            fidelity(images, frost_dir, options)
        else:
            bench(images, args.oracle_images, frost_dir, options)


if __name__ == "__main__":
    main()
