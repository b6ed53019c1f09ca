"""Every test has a cache of its own and no data in its environment."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from freqfast.data import cache, load_data
from tests.support.places import cache_folder  # noqa: F401 (a fixture)


@pytest.fixture
def make_tree(tmp_path):
    """Writes an image tree; images are noise, so that each is unlike any other."""

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


@pytest.fixture
def pack():
    """Packs a folder into an archive."""

    def write(folder, archive):
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, folder.name)
        return archive

    return write


@pytest.fixture
def assert_same():
    """Checks that two data sets are equal in all that they hold."""

    def same(one, other):
        assert (one.name, one.classes) == (other.name, other.classes)
        for part in ("train", "test"):
            np.testing.assert_array_equal(getattr(one, part).pixels, getattr(other, part).pixels)
            np.testing.assert_array_equal(getattr(one, part).labels, getattr(other, part).labels)
        np.testing.assert_equal(one.published, other.published)

    return same


@pytest.fixture
def refused():
    """Checks that data is refused with one line that names it, and that nothing of it is kept."""

    def refused(path, match):
        with pytest.raises((FileNotFoundError, ValueError), match=match) as caught:
            load_data("cifar10", path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
        assert not any(cache.folder().glob("*"))

    return refused
