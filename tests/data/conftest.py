"""Every test has a cache of its own and no data in its environment."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NAMED_BY_USER = os.environ.get("FREQFAST_DATA")
BESIDE_PROJECT = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("FREQFAST_CACHE", str(folder))
    monkeypatch.delenv("FREQFAST_DATA", raising=False)
    return folder


@pytest.fixture
def real_cifar10():
    place = Path(NAMED_BY_USER) if NAMED_BY_USER else BESIDE_PROJECT
    if not place.exists():
        pytest.skip("no real CIFAR-10: set FREQFAST_DATA")
    return place


@pytest.fixture
def make_tree(tmp_path):
    """Writes an image-folder tree; images are noise, so that each is unlike any other."""

    def make(
        folder=tmp_path / "tree", splits=("train", "test"), classes=("ant", "bee"), count=3, size=(8, 6), suffix=".png"
    ):
        rng = np.random.default_rng(0)
        for split in splits:
            for name in classes:
                (folder / split / name).mkdir(parents=True)
                for i in range(count):
                    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / split / name / f"{i}{suffix}")
        return folder

    return make
