"""Stored corruptions, and what their tests look at."""

import numpy as np

NAMES = ("shot_noise", "fog", "contrast")


def write_arrays(folder, names, count):
    """Noise in the published layout, each image of a class of its own."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.save(folder / "labels.npy", np.tile(np.arange(count), 5))
    for name in names:
        np.save(folder / f"{name}.npy", rng.integers(0, 256, (5 * count, 16, 16, 3), dtype=np.uint8))
    return folder


def contents(folder):
    """Bytes, time and inode of every file: equal only if nothing was touched."""
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns, p.stat().st_ino) for p in sorted(folder.iterdir())}


def data(folder):
    return {name: content for name, (content, *_) in contents(folder).items() if name.endswith(".npy")}
