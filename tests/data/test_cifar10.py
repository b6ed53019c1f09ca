"""CIFAR-10's published batches: their order, their download, and hostile pickles in their place."""

import os
import pickle
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from freqfast.data import ImageData, Images, cifar10, load_data, pickles
from freqfast.data.pickles import read_batch
from tests.support.attacks import Payload

NAMED_BY_USER = os.environ.get("FREQFAST_DATA")
BESIDE_PROJECT = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize("packed", [False, True])
def test_without_names_of_files_the_published_order_stays(batches, tmp_path, packed):
    folder, planes, labels = batches
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in reversed(cifar10.BATCHES):  # as little in order as in the published archive
            tar.add(folder / name, f"{folder.name}/{name}")
    data = load_data("cifar10", archive if packed else folder)
    names = [f"data_batch_{i}" for i in range(1, 6)]
    expected = np.concatenate([planes[name] for name in names])
    np.testing.assert_array_equal(data.train.pixels.transpose(0, 3, 1, 2), expected)
    np.testing.assert_array_equal(data.test.pixels.transpose(0, 3, 1, 2), planes["test_batch"])
    assert data.train.labels.tolist() == [label for name in names for label in labels[name]]
    assert data.test.labels.tolist() == labels["test_batch"]
    assert data.classes == cifar10.CLASSES


def write_batches(folder, tree):
    """The images of a tree as batches, in a random order; returns the paths of the test images in it."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = {split: rng.permutation(sorted((tree / split).glob("*/*"))) for split in ("train", "test")}
    parts = dict(zip(cifar10.BATCHES, [*np.split(paths["train"], 5), paths["test"]], strict=True))
    for batch, part in parts.items():
        content = {
            b"data": np.stack([np.asarray(Image.open(path)).transpose(2, 0, 1).ravel() for path in part]),
            b"labels": [cifar10.CLASSES.index(path.parent.name) for path in part],
            b"filenames": [path.name.encode() for path in part],
        }
        (folder / batch).write_bytes(pickle.dumps(content, protocol=4))
    return paths["test"]


def test_batches_have_the_order_of_their_tree(tmp_path, make_tree):
    tree = make_tree(classes=cifar10.CLASSES, count=12, size=(32, 32))  # files of one name in all classes
    published = write_batches(tmp_path / "cifar-10-batches-py", tree)
    of_tree, of_batches = load_data("cifar10", tree), load_data("cifar10", tmp_path / "cifar-10-batches-py")
    for ours, theirs in ((of_batches.train, of_tree.train), (of_batches.test, of_tree.test)):
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
    expected = np.stack([np.asarray(Image.open(path)) for path in published])
    np.testing.assert_array_equal(of_batches.published_test.pixels, expected)
    assert [cifar10.CLASSES[label] for label in of_batches.published_test.labels] == [p.parent.name for p in published]
    np.testing.assert_array_equal(of_tree.published_test.pixels, of_tree.test.pixels)
    assert of_batches.hold_out(5).published is None


def test_batches_pickled_by_python_2(batches):
    """The published files name NumPy's old module and hold byte strings: protocol 2 with those opcodes, by hand."""
    folder, planes, labels = batches
    pixels = planes["test_batch"].tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
        b"(K\x01(K\x14M\x00\x0ctcnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + len(pixels).to_bytes(4, "little") + pixels + b"tb"
    )
    numbers = b"(l" + b"".join(b"K" + bytes([label]) + b"a" for label in labels["test_batch"])
    (folder / "test_batch").write_bytes(b"\x80\x02}(U\x04data" + array + b"U\x06labels" + numbers + b"u.")
    data = load_data("cifar10", folder)
    np.testing.assert_array_equal(data.test.pixels.transpose(0, 3, 1, 2), planes["test_batch"])
    assert data.test.labels.tolist() == labels["test_batch"]


def test_batch_of_full_size():
    names = [f"leptodactylus_s_{i:06}.png" for i in range(10_000)]  # of which every pickle keeps track
    batch = {b"data": np.zeros((10_000, 3072), np.uint8), b"labels": np.full(10_000, 7), b"filenames": names}
    images, labels, found = read_batch(pickle.dumps(batch))
    assert images.shape == (10_000, 32, 32, 3)
    assert labels.tolist() == [7] * 10_000
    assert found == names


@pytest.mark.parametrize(
    ("train", "test", "side", "found"),
    [(50_000, 10_000, 32, True), (49_999, 10_000, 32, False), (50_000, 9_999, 32, False), (50_000, 10_000, 31, False)],
)
def test_the_data_set_is_known_by_all_of_its_images(train, test, side, found):
    sets = (Images(np.zeros((count, side, side, 3), np.uint8), np.zeros(count, np.int64)) for count in (train, test))
    assert cifar10.is_cifar10(ImageData("mine", cifar10.CLASSES, *sets)) == found


# Corrupt and hostile batches


@pytest.mark.parametrize("where", ["alone", "value", "object array"])
def test_pickle_payload_never_runs(batches, tmp_path, refused, where):
    folder, _, labels = batches
    payload = Payload(tmp_path / "ran")
    content = {
        "alone": payload,
        "value": {b"data": payload, b"labels": labels["test_batch"]},
        "object array": {b"data": np.array([payload], object), b"labels": [0]},
    }[where]
    (folder / "test_batch").write_bytes(pickle.dumps(content, protocol=4))
    refused(folder, "test_batch is not a valid CIFAR-10 batch: it (asks for|holds an array of type) ")
    assert not (tmp_path / "ran").exists()


PIXELS = np.zeros((2, 3072), np.uint8)
INVALID = {
    "system": b"cos\nsystem\n(S'true'\ntR.",
    "function of NumPy": b"\x80\x04\x8c\x05numpy\x8c\x08f2py.run\x93.",
    "too few labels": pickle.dumps({b"data": PIXELS, b"labels": [1]}),
    "no integers": pickle.dumps({b"data": PIXELS, b"labels": [1, None]}),
    "floats": pickle.dumps({b"data": PIXELS.astype(np.float32), b"labels": [1, 2]}),
    "swapped bytes": pickle.dumps({b"data": PIXELS, b"labels": np.array([1, 2], ">i4")}),
    "other size": pickle.dumps({b"data": PIXELS[:, :99], b"labels": [1, 2]}),
    "bytes": pickle.dumps({b"data": bytes(6144), b"labels": [1, 2]}),
    "array without bytes": b"\x80\x02cnumpy\nndarray\n)R(K\x01K\x02cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R\x89Ntb.",
    "unknown opcode": b"r\xff",
    "number of 10,000 digits": b"p" + b"9" * 9999 + b"\n.",
    "negative index": b"p-1\n.",
    "length beyond the end": b"B" + b"\xff" * 4,
}


@pytest.mark.parametrize("content", INVALID.values(), ids=INVALID)
def test_invalid_batch(batches, refused, content):
    folder, _, _ = batches
    (folder / "data_batch_2").write_bytes(content)
    refused(folder, "data_batch_2 is not a valid CIFAR-10 batch")


@pytest.mark.parametrize(
    "content",
    [
        b"}r" + (20_000_000).to_bytes(4, "little") + b".",
        b"}p20000000\n.",
        b"(" + b"N" * 2000 + b"l.",
        b"N" + b"\x94" * 2000 + b".",
    ],
    ids=["binary index", "index in words", "steps", "entries"],
)
def test_batch_that_takes_much_memory(batches, refused, monkeypatch, content):
    folder, _, _ = batches
    monkeypatch.setattr(pickles, "_STEPS", 1000)
    (folder / "data_batch_1").write_bytes(content)
    tracemalloc.start()
    refused(folder, "data_batch_1 is not a valid CIFAR-10 batch: it takes more than 1,000 steps or memo entries")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_missing_batch_and_unknown_label(batches, refused):
    folder, planes, _ = batches
    (folder / "data_batch_4").unlink()
    refused(folder, "data_batch_4 is missing")
    batch = {b"data": planes["test_batch"].reshape(20, 3072), b"labels": [10] * 20, b"filenames": [b"x", 3] * 10}
    (folder / "data_batch_4").write_bytes(pickle.dumps(batch, protocol=4))
    refused(folder, "labels run from 0 to 10, but there are 10 classes")


# The download


@pytest.fixture
def remote(monkeypatch, tmp_path, make_tree, pack, serve):
    """A small archive that is served in place of the published one."""
    archive = pack(make_tree(tmp_path / "remote"), tmp_path / "remote.tgz")
    content = archive.read_bytes()
    monkeypatch.setattr(cifar10, "URL", serve(content)[1])
    monkeypatch.setattr(cifar10, "SIZE", len(content))
    monkeypatch.setattr(cifar10, "MD5", cifar10.hashlib.md5(content).hexdigest())
    return archive


def test_download_is_checked_kept_and_reported(remote, cache_folder):
    calls = []
    data = load_data("cifar10", progress=lambda *call: calls.append(call))
    assert data.classes == ("ant", "bee")
    size = remote.stat().st_size
    assert (size, size, "downloading file") in calls
    assert (cache_folder / "cifar-10-python.tar.gz").read_bytes() == remote.read_bytes()
    assert not list(cache_folder.glob("*.part"))


def test_download_with_a_wrong_hash_is_refused(remote, cache_folder, monkeypatch):
    monkeypatch.setattr(cifar10, "MD5", "0" * 32)
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded \(its MD5 is .*, not 0000"):
        load_data("cifar10")
    assert not list(cache_folder.iterdir())


def test_download_that_another_process_finished_first(remote, cache_folder, monkeypatch):
    def overtaken(url, path, size, progress):
        path.with_name(cifar10.ARCHIVE).write_bytes(remote.read_bytes())
        raise FileNotFoundError(path)

    monkeypatch.setattr(cifar10, "fetch", overtaken)
    assert load_data("cifar10").classes == ("ant", "bee")


def test_without_a_network_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:9/archive")
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded .*; name the place .* or set FREQFAST_DATA"):
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
