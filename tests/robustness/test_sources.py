from dataclasses import replace

import numpy as np
import pytest

from freqfast.corruptions import TABLES, corrupt
from freqfast.data import cache, cifar10, load_data
from freqfast.data.images import ImageData, Images
from freqfast.robustness import CLEAN, corrupted_source
from freqfast.robustness.archive import published as cifar10c
from freqfast.robustness.archive.writing import write_archive
from freqfast.robustness.sources import find_source
from tests.support.cells import cell_of, cells_of

CLASSES = ("airplane", "automobile")


@pytest.fixture
def data(noise):
    """A small data set under the name of CIFAR-10."""
    train = Images(noise(4, 1), np.array([0, 1, 0, 1]))
    return ImageData("cifar10", CLASSES, train, Images(noise(6, 2), np.array([0, 1, 1, 0, 1, 0])))


@pytest.fixture
def made(data, tmp_path):
    write_archive(tmp_path / "made", data.test, ["contrast"], source="cifar10")
    return tmp_path / "made"


def test_clean_images_are_known_by_the_hash_in_the_manifest(made, data):
    source, notes = find_source(made)
    assert source.clean is None
    assert notes == ["no clean accuracy: no test images are at hand; name the data"]
    cache.store("any", data)
    source, notes = find_source(made, limit=4)
    np.testing.assert_array_equal(source.clean.pixels, data.test.pixels[:4])
    assert (source.classes, notes) == (CLASSES, [])
    other = ImageData("cifar10", CLASSES, data.train, Images(255 - data.test.pixels, data.test.labels))
    cache.store("newer", other)
    source, notes = find_source(made)
    assert source.clean is None
    why = f"the test images of cifar10 are not those that {made} was made from; name them as data"
    assert notes == [f"no clean accuracy: {why}"]


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
    assert find_source(made, data=replace(data, name="mine"))[0].clean is None  # and no other data come in two orders
    np.save(made / "labels.npy", np.tile([1, 1, 1, 1, 1, 0], 5))
    assert find_source(made)[0].clean is None


def test_without_a_manifest_images_come_in_the_published_order(made, data):
    published = np.array([4, 1, 5, 0, 2, 3])
    cache.store("any", replace(data, published=published))
    (made / "manifest.json").unlink()
    np.save(made / "labels.npy", np.tile(data.test.labels[published], 5))
    source, _ = find_source(made, limit=3)
    np.testing.assert_array_equal(source.clean.pixels, data.test.pixels[[4, 1, 5]])


def test_missing_data(made, monkeypatch):
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        find_source(made, data="absent")
    monkeypatch.setenv("FREQFAST_DATA", "gone")
    source, notes = find_source(made)
    assert source.clean is None
    assert notes == ["no clean accuracy: FREQFAST_DATA=gone does not exist; name an archive or a folder of images"]


def test_photos_are_always_found(tmp_path):
    test = load_data("photos").test
    write_archive(tmp_path / "p", test, ["contrast"], source="photos", limit=5)
    source, notes = find_source(tmp_path / "p")
    np.testing.assert_array_equal(source.clean.pixels, test.pixels[:5])
    assert notes == []
    assert find_source(tmp_path / "p", data="photos")[0].clean is not None


def test_published_images_are_found_in_the_cache(made):
    with pytest.raises(FileNotFoundError, match=r"name a folder or CIFAR-10-C.tar, download them .*, or corrupt a"):
        find_source()
    cache.folder().mkdir()
    made.rename(cache.folder() / cifar10c.FOLDER)
    for source, _ in (find_source(), find_source(download=True)):
        assert (source.name, source.sha256) == ("CIFAR-10-C, as published", cifar10c.SHA256)
        assert source.classes == cifar10.CLASSES
        assert source.corruptions == ("contrast",)


def test_images_corrupted_on_the_fly_are_those_of_corrupt(noise):
    images, names = Images(noise(3, size=32), np.arange(3)), ("gaussian_noise", "pixelate")
    source = corrupted_source(images, [*names, "pixelate"], seed=4, name="mine", classes=tuple("abc"))
    assert (source.name, source.classes, source.seed) == ("mine, corrupted on the fly", tuple("abc"), 4)
    assert source.keys == [CLEAN, *((name, severity) for name in names for severity in (1, 2, 3, 4, 5))]
    clean, *cells = cells_of(source)
    assert clean.images is images.pixels
    for cell in cells:
        expected = corrupt(images.pixels, cell.corruption, cell.severity, seed=4)
        np.testing.assert_array_equal(cell.images, expected)
        np.testing.assert_array_equal(cell.labels, images.labels)


def test_images_that_are_too_small_are_refused_before_any_is_evaluated(noise):
    with pytest.raises(ValueError, match="images must be at least 8 x 8 pixels, got 7 x 7"):
        corrupted_source(Images(noise(2, size=7), np.array([0, 1])), ["fog"])


def test_frost_photographs_and_the_table_unless_it_is_cifar10s_are_part_of_the_hash(noise, frost_dir):
    """That table is the one that all results of version 0.1 were measured by, at any size."""
    images = Images(noise(1, size=64), np.zeros(1, np.int64))
    sources = {table: corrupted_source(images, ["fog"], table=table) for table in ("auto", *TABLES)}
    assert len(sources["cifar10"].sha256) == 64
    assert sources["tiny-imagenet"].sha256 == sources["cifar10"].sha256 + "tiny-imagenet" == sources["auto"].sha256
    with_frost = corrupted_source(images, ["fog", "frost"], frost_dir=frost_dir, table="cifar10")
    assert with_frost.sha256.startswith(sources["cifar10"].sha256)
    assert len(with_frost.sha256) == 128
    frosted = corrupt(images.pixels, "frost", 3, frost_dir=frost_dir, table="cifar10")
    np.testing.assert_array_equal(cell_of(with_frost, ("frost", 3)).images, frosted)
    for table in TABLES:
        expected = corrupt(images.pixels, "fog", 3, table=table)
        np.testing.assert_array_equal(cell_of(sources[table], ("fog", 3)).images, expected)
