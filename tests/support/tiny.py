"""The smallest run that has everything, for tests of training, studies and faults."""

import hashlib
import json

import h5py
import numpy as np
from PIL import Image

from freqfast.runs.recipe import Recipe
from freqfast.training import fit_recipe

FILES = [
    "environment.json", "evaluation.json", "metrics.csv", "model.safetensors", "recipe.toml", "report.json",
    "spectra.h5",
]  # fmt: skip
TINY = Recipe(
    "two classes of stripes, wide and narrow",
    model_options={"width": 8},
    epochs=2,
    batch_size=16,
    lr=0.05,
    precision="float32",
    test_images=2,
    callbacks={
        "frequency_proportion": {"proportions": {"low": 0.75, "high": 0.25}},
        "spectral_modulation": {"sigma": 0.5},
        "spectrum_perturbation": {"share": 0.5},
        "spectrum_equalization": {"bins": 4},
        "antialiasing": {},
    },
    name="tiny",
)


def make_tree(folder, train=16):
    """An image-folder tree of 16x16 pixels: so many training images in each of two classes, and 4 test images."""
    rng = np.random.default_rng(0)
    x = np.arange(16)
    for split, count in (("train", train), ("test", 4)):
        for name, frequency in (("narrow", 0.4), ("wide", 0.1)):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                stripes = np.cos(2 * np.pi * frequency * (x[:, None, None] + rng.integers(16)))
                pixels = (128 + 80 * stripes + rng.normal(0, 20, (16, 16, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


def fit_quietly(learn, recipe):
    """Train a Learner without a bar or lines of metrics."""
    with learn.no_bar(), learn.no_logging():
        fit_recipe(learn, recipe)


def stop_at(count):
    """A stop function that gives SIGTERM at the n-th call."""
    calls = iter(range(1, 1000))
    return lambda: 15 if next(calls) == count else None


def outcome(folder):
    """All that must be equal where two runs are: every bit but clock times."""
    report = json.loads((folder / "report.json").read_text())
    del report["seconds"]
    with h5py.File(folder / "spectra.h5") as file:
        arrays = {}
        file.visititems(
            lambda name, item: arrays.update({name: _bits(item)}) if isinstance(item, h5py.Dataset) else None
        )
    return {
        "files": sorted(path.name for path in folder.iterdir()),
        "weights": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "metrics": [line.rpartition(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()],
        "report": report,
        "outcomes": (folder / "evaluation.json").read_text(),
        "spectra": arrays,
    }


def _bits(dataset):
    value = dataset[()]
    return value.tobytes() if isinstance(value, np.ndarray) and value.dtype != object else repr(value)
