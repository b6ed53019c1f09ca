"""Compares every corruption with the original generators, on photographs at the size that each table is for.

    python -m tests.fidelity.compare ROBUSTNESS C_BAR --python ORIGINALS/bin/python [--size 64] [--name fog] ...

The arguments are checkouts of the two repositories, and an interpreter of Python 3.11 with what they run on:

    pip install numpy==1.26.4 scipy==1.11.4 scikit-image==0.20.0 opencv-python-headless==4.8.1.78 Pillow==10.4.0 Wand

and ImageMagick 7. What is deterministic may differ by one level. What is random may differ, in the mean absolute change
and in its root mean square, by 3 %, or by the deviation that the original's own seeds have, where that is more.
Exits with 1 if one does not hold.
"""

import argparse
import sys

import numpy as np

from freqfast.corruptions import CORRUPTIONS, SEVERITIES, corrupt, find_set, find_table
from tests.fidelity.original_process import Originals, add_arguments, photographs

DETERMINISTIC = {
    *("gaussian_blur", "defocus_blur", "zoom_blur", "brightness", "contrast", "saturate", "pixelate"),
    *("jpeg_compression", "circular_motion_blur"),
}
LIMIT = 0.03


def changes(images, corrupted):
    """Mean absolute change and root mean square."""
    change = corrupted.astype(float) - images
    return np.array([np.abs(change).mean(), np.sqrt((change**2).mean())])


def compare_deterministic(images, theirs, ours):
    """The share of values that differ, the largest difference, and whether it is small enough."""
    gap = np.abs(theirs.astype(int) - ours)
    return f"{(gap > 0).mean():8.2%} differ, by at most {gap.max()}", gap.max() <= 1


def compare_random(theirs, ours):
    """``(seeds, 2)`` statistics each: by how much the means differ, and the deviation of the original's seeds."""
    mean = theirs.mean(axis=0)
    gap, spread = ours.mean(axis=0) / mean - 1, theirs.std(axis=0, ddof=1) / mean
    text = "   ".join(
        f"{name} {g:+7.2%} (seeds {s:6.2%})" for name, g, s in zip(("mae", "rms"), gap, spread, strict=True)
    )
    return text, bool(np.all(np.abs(gap) <= np.maximum(LIMIT, spread)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--size", type=int, action="append", choices=(32, 64, 224))
    parser.add_argument("--name", action="append", help="a corruption; by default all")
    parser.add_argument("--images", type=int, default=7)
    parser.add_argument("--seeds", type=int, default=15, help="of the original; fewer make false alarms")
    args = parser.parse_args()

    failed = 0
    with Originals(args.python, args.robustness, args.c_bar) as originals:
        for size in args.size or (32, 64, 224):
            images = photographs(size)[: args.images]
            table = find_table("auto", size, size)
            bar = () if table == "tiny-imagenet" else find_set("bar", table)  # none was published for it
            for name in args.name or (*CORRUPTIONS, *bar):
                for severity in SEVERITIES:
                    options = {"severity": severity, "frost_dir": originals.frost_dir}
                    if name in DETERMINISTIC:
                        theirs, _ = originals.corrupt(images, name, severity)
                        text, holds = compare_deterministic(images, theirs, corrupt(images, name, **options))
                    else:
                        seeds = range(args.seeds)
                        theirs = [changes(images, originals.corrupt(images, name, severity, seed)[0]) for seed in seeds]
                        # Ours costs little: many seeds leave the comparison to the original's chance.
                        ours = [
                            changes(images, corrupt(images, name, seed=s, **options)) for s in range(4 * args.seeds)
                        ]
                        text, holds = compare_random(np.array(theirs), np.array(ours))
                    failed += not holds
                    print(f"{size:3d} {name:31s} {severity} {text}{'' if holds else '   FAILS'}", flush=True)
    print(f"{failed} of the comparisons fail" if failed else "all hold")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
