"""CIFAR-10's published batches: their order, their hashes, their download."""

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10

from freqfast.data import ImageData, Images, cifar10, load_data
from tests.support.attacks import Payload

NAMED_BY_USER = os.environ.get("FREQFAST_DATA")
BESIDE_PROJECT = Path(__file__).parents[3] / "shared" / "data"


def text(string):
    """A string as Python 2 pickles it."""
    return b"U" + bytes([len(string)]) + string.encode()


def batch(paths):
    """Images of a tree as Python 2 pickled the published batches, with NumPy's old module and byte strings."""
    pixels = np.stack([np.asarray(Image.open(path)).transpose(2, 0, 1).ravel() for path in paths])
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K"
        + bytes([len(paths)])
        + b"M\x00\x0ctcnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + pixels.size.to_bytes(4, "little")
        + pixels.tobytes()
        + b"tb"
    )
    labels = b"".join(b"K" + bytes([cifar10.CLASSES.index(path.parent.name)]) + b"a" for path in paths)
    names = b"".join(text(path.name) + b"a" for path in paths)
    return (
        b"\x80\x02}("
        + text("data")
        + array
        + text("labels")
        + b"(l"
        + labels
        + text("filenames")
        + b"(l"
        + names
        + b"u."
    )


@pytest.fixture
def tree(make_tree):
    return make_tree(classes=cifar10.CLASSES, count=12, size=(32, 32))  # files of one name in all classes


@pytest.fixture
def batches(tree, tmp_path, monkeypatch):
    """The images of a tree as batches in a random order, which pass for the published ones; and the test images."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    train, test = (rng.permutation(sorted((tree / split).glob("*/*"))) for split in ("train", "test"))
    for number, part in enumerate(np.split(train, 5), 1):
        (folder / f"data_batch_{number}").write_bytes(batch(part))
    (folder / "test_batch").write_bytes(batch(test))
    for batches in ("train_list", "test_list"):
        md5 = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name, _ in getattr(CIFAR10, batches)}
        monkeypatch.setattr(CIFAR10, batches, list(md5.items()))
    return folder, test


def test_batches_have_the_order_of_their_tree(tree, batches, tmp_path, pack):
    folder, published = batches
    of_tree = load_data("cifar10", tree)
    for place in (folder, pack(folder, tmp_path / cifar10.ARCHIVE)):
        of_batches = load_data("cifar10", place)
        assert of_batches.classes == cifar10.CLASSES
        for ours, theirs in ((of_batches.train, of_tree.train), (of_batches.test, of_tree.test)):
            np.testing.assert_array_equal(ours.pixels, theirs.pixels)
            np.testing.assert_array_equal(ours.labels, theirs.labels)
        expected = np.stack([np.asarray(Image.open(path)) for path in published])
        np.testing.assert_array_equal(of_batches.published_test.pixels, expected)
        names = [cifar10.CLASSES[label] for label in of_batches.published_test.labels]
        assert names == [path.parent.name for path in published]
        assert of_batches.hold_out(5).published is None
    np.testing.assert_array_equal(of_tree.published_test.pixels, of_tree.test.pixels)


def test_batches_that_are_not_the_published_ones_are_refused_unread(batches, tmp_path, refused):
    folder, _ = batches
    match = "data_batch_3 is missing or is not the published batch; use the whole cifar-10-python.tar.gz as it is"
    (folder / "data_batch_3").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    refused(folder, match)
    assert not (tmp_path / "ran").exists()
    (folder / "data_batch_3").unlink()
    refused(folder, match)


@pytest.mark.parametrize(
    ("train", "test", "side", "found"),
    [(50_000, 10_000, 32, True), (49_999, 10_000, 32, False), (50_000, 9_999, 32, False), (50_000, 10_000, 31, False)],
)
def test_the_data_set_is_known_by_all_of_its_images(train, test, side, found):
    sets = (Images(np.zeros((count, side, side, 3), np.uint8), np.zeros(count, np.int64)) for count in (train, test))
    assert cifar10.is_cifar10(ImageData("mine", cifar10.CLASSES, *sets)) == found


def test_download_is_checked_kept_and_reported(make_tree, pack, serve, tmp_path, cache_folder, monkeypatch):
    archive = pack(make_tree(tmp_path / "remote"), tmp_path / "remote.tgz")
    monkeypatch.setattr(CIFAR10, "url", serve(archive.read_bytes(), cifar10.ARCHIVE)[1])
    with pytest.raises(
        FileNotFoundError, match=r"cannot be downloaded \(MD5 hash of downloaded file .* does not match"
    ):
        load_data("cifar10")
    assert not list(cache_folder.iterdir())
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    calls = []
    assert load_data("cifar10", progress=lambda *call: calls.append(call)).classes == ("ant", "bee")
    size = archive.stat().st_size
    assert (size, size, f"downloading {cifar10.ARCHIVE}") in calls
    assert (cache_folder / cifar10.ARCHIVE).read_bytes() == archive.read_bytes()


def test_without_a_network_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/archive.tgz")
    with pytest.raises(
        FileNotFoundError, match=r"archive.tgz cannot be downloaded \(.*refused.*\); try again, or fetch"
    ):
        load_data("cifar10")


@pytest.mark.slow
def test_real_cifar10():
    place = Path(NAMED_BY_USER) if NAMED_BY_USER else BESIDE_PROJECT
    if not place.exists():
        pytest.skip("no real CIFAR-10: set FREQFAST_DATA")
    data = load_data("cifar10", place)
    assert data.name == "cifar10"
    assert data.classes == cifar10.CLASSES
    assert data.train.pixels.shape == (50_000, 32, 32, 3)
    assert data.test.pixels.shape == (10_000, 32, 32, 3)
    assert set(np.bincount(data.train.labels)) == {5000}
    assert set(np.bincount(data.test.labels)) == {1000}
    # Statistics that every CIFAR-10 tutorial quotes.
    np.testing.assert_allclose(data.mean, (0.4914, 0.4822, 0.4465), atol=5e-5)
    np.testing.assert_allclose(data.std, (0.2470, 0.2435, 0.2616), atol=5e-5)
