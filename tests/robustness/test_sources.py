from dataclasses import replace

import numpy as np
import pytest

from freqfast.corruptions import CORRUPTIONS, corrupt, unavailable
from freqfast.data import cache, cifar10, load_data
from freqfast.data.images import ImageData, ImageSet
from freqfast.robustness.archive import published as cifar10c
from freqfast.robustness.archive.writing import write_archive
from freqfast.robustness.sources import find_source, on_the_fly_source

CLASSES = ("airplane", "automobile")


@pytest.fixture
def data(noise):
    """A small data set under the name of CIFAR-10."""
    train = ImageSet(noise(4, 1), np.array([0, 1, 0, 1]))
    return ImageData("cifar10", CLASSES, train, ImageSet(noise(6, 2), np.array([0, 1, 1, 0, 1, 0])))


@pytest.fixture
def made(data, tmp_path):
    write_archive(tmp_path / "made", data.test.images, data.test.labels, ["contrast"], source="cifar10")
    return tmp_path / "made"


def test_clean_images_are_found_by_the_manifest_s_hash(made, data):
    source, notes = find_source(made)
    assert source.clean is None
    assert notes == ["no clean accuracy: no test images are at hand; name them with --data"]
    cache.store("any", data)
    source, notes = find_source(made, limit=4)
    np.testing.assert_array_equal(source.clean.images, data.test.images[:4])
    assert (source.classes, notes) == (CLASSES, [])
    other = ImageData("cifar10", CLASSES, data.train, ImageSet(255 - data.test.images, data.test.labels))
    cache.store("newer", other)
    source, notes = find_source(made)
    assert source.clean is None
    assert notes == [f"no clean accuracy: the test images of cifar10 are not those that {made} was made from"]


def test_without_a_manifest_the_labels_decide(made, data):
    cache.store("any", data)
    (made / "manifest.json").unlink()
    source, _ = find_source(made, limit=3)
    np.testing.assert_array_equal(source.clean.labels, [0, 1, 1])
    reordered = np.roll(data.test.labels, 1)
    np.save(made / "labels.npy", np.tile(reordered, 5))
    source, notes = find_source(made)  # the same images in another order: as good for the accuracy of all
    assert sorted(source.clean.labels) == sorted(reordered)
    assert notes == []
    assert find_source(made, limit=3)[0].clean is None  # but a part of them would be another
    np.save(made / "labels.npy", np.tile([1, 1, 1, 1, 1, 0], 5))
    assert find_source(made)[0].clean is None


def test_without_a_manifest_images_come_in_the_published_order(made, data):
    published = np.array([4, 1, 5, 0, 2, 3])
    cache.store("any", replace(data, published=published))
    (made / "manifest.json").unlink()
    np.save(made / "labels.npy", np.tile(data.test.labels[published], 5))
    source, _ = find_source(made, limit=3)
    np.testing.assert_array_equal(source.clean.images, data.test.images[[4, 1, 5]])


def test_data_that_is_named_must_be_sound(made, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        find_source(made, data="absent")
    monkeypatch.setenv("FREQFAST_DATA", "gone")
    source, notes = find_source(made)
    assert source.clean is None
    assert notes == ["no clean accuracy: FREQFAST_DATA=gone does not exist; name an archive or a folder of images"]


def test_photos_are_always_at_hand(tmp_path):
    test = load_data("photos").test
    write_archive(tmp_path / "p", test.images, test.labels, ["contrast"], source="photos", limit=5)
    source, notes = find_source(tmp_path / "p")
    np.testing.assert_array_equal(source.clean.images, test.images[:5])
    assert notes == []
    assert find_source(tmp_path / "p", data="photos")[0].clean is not None


def test_the_published_images_are_looked_for_in_the_cache(made):
    with pytest.raises(FileNotFoundError, match=r"pass --cifar10c PATH .*, --download .*, or --on-the-fly"):
        find_source()
    cache.folder().mkdir()
    made.rename(cache.folder() / cifar10c.FOLDER)
    for source, _ in (find_source(), find_source(download=True)):
        assert (source.name, source.sha256) == ("CIFAR-10-C, as published", cifar10c.SHA256)
        assert source.classes == cifar10.CLASSES
        assert source.corruptions == ("contrast",)


# On the fly


def test_on_the_fly_images_are_those_of_corrupt():
    test = load_data("photos").test
    source, notes = on_the_fly_source("photos", ["contrast", "gaussian_noise", "contrast"], limit=7, seed=3)
    assert source.corruptions == ("contrast", "gaussian_noise")
    assert (source.classes, source.seed, notes) == (load_data("photos").classes, 3, [])
    assert source.name == "photos, corrupted on the fly"
    np.testing.assert_array_equal(source.clean.images, test.images[:7])
    np.testing.assert_array_equal(source.read("gaussian_noise", 2), corrupt(test.images[:7], "gaussian_noise", 2, 3))


def test_what_cannot_run_is_left_out_with_a_note(monkeypatch):
    monkeypatch.setattr("freqfast.corruptions.registry.unavailable", lambda place: {"frost": "no photographs"})
    source, notes = on_the_fly_source("photos", limit=1)
    assert source.corruptions == tuple(name for name in CORRUPTIONS if name != "frost")
    assert notes == ["frost is left out: no photographs (--frost-dir)"]


def test_wrong_settings():
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        on_the_fly_source("photos", limit=0)
    with pytest.raises(ValueError, match="no corruption is called 'rain'"):
        on_the_fly_source("photos", ["rain"])
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        on_the_fly_source("absent")
    if unavailable():
        with pytest.raises(FileNotFoundError, match="frost"):
            on_the_fly_source("photos", ["frost"])
