import numpy as np
import pytest
from PIL import Image

from freqfast.runs.recipe import Recipe
from freqfast.study import Arm, ResultRow, Study

STUDY = """
title = "Stripes"
description = "Does an all-low first layer help?"
seeds = [0, 1]
baseline = "baseline"

[settings]
width = 8
batch_size = 16
test_images = 2
epochs = 1
lr = 0.05
precision = "float32"

[arms.baseline]
recipe = "resnet18_cifar10.baseline"

[arms.low]
recipe = "resnet18_cifar10.baseline"
description = "all filters low"
[arms.low.callbacks.frequency_proportion]
proportions = { low = 1.0 }
"""


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.setenv("FREQFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FREQFAST_DATA", raising=False)


@pytest.fixture
def write(tmp_path):
    """Writes a study file: the text above, with replacements."""

    def write(*replacements, extra=""):
        text = STUDY
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "stripes.toml"
        path.write_text(text + extra, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """An image-folder tree of two classes: 32 training and 8 test images."""
    folder = tmp_path_factory.mktemp("data") / "tree"
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 4)):
        for i, name in enumerate(("dark", "light")):
            (folder / split / name).mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(0, 128, (16, 16, 3)) + 100 * i
                Image.fromarray(pixels.astype(np.uint8)).save(folder / split / name / f"{k}.png")
    return folder


@pytest.fixture
def here(monkeypatch):
    """Runs in this process, as where submitit is not installed, and measures two corruptions only."""
    monkeypatch.setattr("freqfast.study.running.find_spec", lambda name: None)
    monkeypatch.setattr("freqfast.training.outcome.available", lambda: ("contrast", "pixelate"))
    monkeypatch.setattr("freqfast.corruptions.unavailable", dict)


@pytest.fixture
def make_row():
    """A finished run out of its numbers."""

    def make_row(arm, seed, clean, mean15=None, seconds=10.0, processor="x", **recipe):
        report = {
            "clean": clean,
            "mean15": mean15,
            "mean_bar": None,
            "precision": "float32",
            "families": {} if mean15 is None else {"noise": mean15 - 0.1, "blur": mean15 + 0.1},
            "seconds": {"fit": seconds, "evaluate": 1.0},
        }
        return ResultRow(arm, Recipe(arm, seed=seed, lr=recipe_lr(arm), **recipe), report, {"processor": processor})

    return make_row


def recipe_lr(arm):
    """Arms of the made-up study differ in this."""
    return {"baseline": 0.1, "low": 0.2, "high": 0.3}[arm]


@pytest.fixture
def study():
    """A made-up study of three arms."""
    arms = tuple(Arm(name, Recipe(name, lr=recipe_lr(name)), (0, 1, 2)) for name in ("baseline", "low", "high"))
    return Study("Made up", "", "baseline", arms, {"clean": -0.005, "mean15": 0.13})
