"""The smallest run that has everything, for tests of training, studies and faults."""

import hashlib
import json

import h5py
import numpy as np
import torch

from freqfast.runs.recipe import Recipe
from freqfast.training import fit_recipe
from freqfast.training.checkpoint import CheckpointPolicy
from tests.support import networks  # noqa: F401 (the model of the recipe)

FILES = [
    "environment.json", "evaluation.json", "metrics.csv", "model.safetensors", "recipe.toml", "report.json",
    "spectra.h5",
]  # fmt: skip
TINY = Recipe(
    "two classes of stripes, wide and narrow",
    model="tiny",
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
OFTEN = CheckpointPolicy(minutes=0, share=1)  # a checkpoint after each step


def fit_quietly(learn, recipe):
    """Train a Learner without a bar or lines of metrics."""
    with learn.no_bar(), learn.no_logging():
        fit_recipe(learn, recipe)


def stop_at(count):
    """A stop function that gives SIGTERM at the n-th call."""
    calls = iter(range(1, 1000))
    return lambda: 15 if next(calls) == count else None


def equal(a, b):
    """Equality to the last bit, of the types too, however deep."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, torch.Tensor):
        return a.stride() == b.stride() and torch.equal(a, b)
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


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
