import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from freqfast.data import ImageData, ImageSet, cache, cifar10, load_data


def pixels_by_name(tree, split):
    return {
        (path.parent.name, np.asarray(Image.open(path).convert("RGB")).tobytes()) for path in (tree / split).glob("*/*")
    }


def assert_holds_tree(data, tree, test_split="test"):
    """Every image of the tree is there once, under its class, and nothing else."""
    for images, split in ((data.train, "train"), (data.test, test_split)):
        found = {
            (data.classes[label], image.tobytes()) for image, label in zip(images.images, images.labels, strict=True)
        }
        assert found == pixels_by_name(tree, split)
        assert len(images) == len(found)


# Layouts


@pytest.mark.parametrize("test_split", ["test", "valid", "val"])
def test_folder_tree(make_tree, test_split):
    tree = make_tree(splits=("train", test_split), classes=("bee", "ant"))
    data = load_data("cifar10", tree)
    assert data.classes == ("ant", "bee")
    assert data.name == "images"
    assert data.train.images.shape == (6, 6, 8, 3)
    assert_holds_tree(data, tree, test_split)


def test_test_goes_before_valid(make_tree):
    tree = make_tree(splits=("train", "valid", "test"))
    assert_holds_tree(load_data("cifar10", tree), tree)


def test_tree_is_mixed_and_always_in_the_same_order(make_tree, tmp_path, monkeypatch, pack):
    tree = make_tree(count=40)
    data = load_data("cifar10", tree)
    assert np.bincount(data.train.head(20).labels).min() >= 9
    monkeypatch.setenv("FREQFAST_CACHE", str(tmp_path / "other"))
    again = load_data("cifar10", pack(tree, tmp_path / "again.tgz"))
    np.testing.assert_array_equal(again.train.images, data.train.images)
    np.testing.assert_array_equal(again.test.labels, data.test.labels)


def test_archive_of_a_tree(make_tree, tmp_path, pack):
    tree = make_tree(tmp_path / "cifar10")
    (tree / "labels.txt").write_text("ant\nbee\n")
    (tree / "train" / "ant" / "._0.png").write_bytes(b"macOS leaves these")
    data = load_data("cifar10", pack(tree, tmp_path / "cifar10.tgz"))
    (tree / "train" / "ant" / "._0.png").unlink()
    assert_holds_tree(data, tree)


@pytest.mark.parametrize("packed", [False, True])
def test_batches_without_names_of_files_keep_their_order(batches, tmp_path, packed, pack):
    folder, planes, labels = batches
    data = load_data("cifar10", pack(folder, tmp_path / "cifar-10-python.tar.gz") if packed else folder)
    names = [f"data_batch_{i}" for i in range(1, 6)]
    expected = np.concatenate([planes[name] for name in names])
    np.testing.assert_array_equal(data.train.images.transpose(0, 3, 1, 2), expected)
    np.testing.assert_array_equal(data.test.images.transpose(0, 3, 1, 2), planes["test_batch"])
    assert data.train.labels.tolist() == [label for name in names for label in labels[name]]
    assert data.test.labels.tolist() == labels["test_batch"]
    assert data.classes[0] == "airplane"
    assert data.classes[9] == "truck"


def write_batches(folder, tree, seed=0):
    """The images of a tree of five times as many training images as test images, as batches, in a random order."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    names = sorted(path.name for path in (tree / "train").iterdir())
    paths = {split: rng.permutation(sorted((tree / split).glob("*/*"))) for split in ("train", "test")}
    parts = dict(zip(cifar10.BATCHES, [*np.split(paths["train"], 5), paths["test"]], strict=True))
    for batch, part in parts.items():
        content = {
            b"data": np.stack([np.asarray(Image.open(path)).transpose(2, 0, 1).ravel() for path in part]),
            b"labels": [names.index(path.parent.name) for path in part],
            b"filenames": [path.name.encode() for path in part],
        }
        (folder / batch).write_bytes(pickle.dumps(content, protocol=4))
    return paths["test"]


def write_tree(folder, counts, classes):
    """Small images under names that are in no order of any kind, some of them the same in several classes."""
    rng = np.random.default_rng(1)
    for split, count in counts.items():
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for i in rng.permutation(count):
                image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
                image.save(folder / split / name / f"{'Za_9'[i % 4]}_s_{i:06}.png")
    return folder


def test_batches_have_the_order_of_their_tree(tmp_path):
    tree = write_tree(tmp_path / "tree", {"train": 15, "test": 7}, cifar10.CLASSES)
    published = write_batches(tmp_path / "cifar-10-batches-py", tree)
    of_tree, of_batches = load_data("cifar10", tree), load_data("cifar10", tmp_path / "cifar-10-batches-py")
    for part in ("train", "test"):
        np.testing.assert_array_equal(getattr(of_batches, part).images, getattr(of_tree, part).images)
        np.testing.assert_array_equal(getattr(of_batches, part).labels, getattr(of_tree, part).labels)
    expected = np.stack([np.asarray(Image.open(path)) for path in published])
    np.testing.assert_array_equal(of_batches.published_test.images, expected)
    assert [cifar10.CLASSES[label] for label in of_batches.published_test.labels] == [p.parent.name for p in published]
    np.testing.assert_array_equal(of_tree.published_test.images, of_tree.test.images)
    assert of_batches.hold_out(5).published is None


def test_batches_pickled_by_python_2(batches):
    # The published files name NumPy's old module and hold byte strings: protocol 2 with those opcodes, written by hand.
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
    np.testing.assert_array_equal(data.test.images.transpose(0, 3, 1, 2), planes["test_batch"])
    assert data.test.labels.tolist() == labels["test_batch"]


@pytest.mark.parametrize(("mode", "suffix"), [("L", ".png"), ("P", ".png"), ("RGBA", ".png"), ("RGB", ".JPG")])
def test_other_modes_become_rgb(make_tree, mode, suffix):
    tree = make_tree(suffix=suffix)
    for path in tree.rglob(f"*{suffix}"):
        Image.open(path).convert(mode).save(path)
    assert_holds_tree(load_data("cifar10", tree), tree)


# Where data is looked for


def test_every_name_for_the_same_tree(make_tree, tmp_path, monkeypatch, pack):
    parent = tmp_path / "parent"
    tree = make_tree(parent / "cifar10")
    expected = load_data("cifar10", tree)
    monkeypatch.setenv("FREQFAST_DATA", str(parent))
    for path in (parent, str(parent), None):
        np.testing.assert_array_equal(load_data("cifar10", path).train.images, expected.train.images)
    archives = tmp_path / "archives"
    archives.mkdir()
    pack(tree, archives / "cifar10.tgz")
    for path in (archives, archives / "cifar10.tgz"):
        np.testing.assert_array_equal(load_data("cifar10", path).train.images, expected.train.images)


def test_path_goes_before_environment(make_tree, tmp_path, monkeypatch):
    tree = make_tree()
    other = make_tree(tmp_path / "other", classes=("cat", "dog"))
    monkeypatch.setenv("FREQFAST_DATA", str(other))
    assert load_data("cifar10", tree).classes == ("ant", "bee")
    assert load_data("cifar10").classes == ("cat", "dog")


@pytest.mark.parametrize("by_environment", [False, True])
def test_named_place_without_data_is_an_error(tmp_path, make_tree, monkeypatch, cache_folder, by_environment):
    make_tree(cache_folder / "cifar10")  # is there, but must not stand in
    (tmp_path / "empty").mkdir()
    for place, message in (("empty", "holds no data set: name an archive"), ("absent", "absent does not exist")):
        path = tmp_path / place
        if by_environment:
            monkeypatch.setenv("FREQFAST_DATA", str(path))
        with pytest.raises(FileNotFoundError, match=message):
            load_data("cifar10", None if by_environment else path)


def test_decoded_cifar10_in_the_cache_serves_without_its_source(monkeypatch):
    monkeypatch.setattr(cifar10, "_download", lambda progress: pytest.fail("must not download"))
    images = np.zeros((1, 32, 32, 3), np.uint8)
    one = ImageSet(images, np.zeros(1, np.int64))
    cache.store("key", ImageData("cifar10", cifar10.CLASSES, one, one))
    assert load_data("cifar10").classes == cifar10.CLASSES


class _Handler(BaseHTTPRequestHandler):
    content = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path, make_tree, pack):
    """Serves a small archive in place of the published one."""
    archive = pack(make_tree(tmp_path / "remote"), tmp_path / "remote.tgz")
    handler = type("Handler", (_Handler,), {"content": archive.read_bytes()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        monkeypatch.setattr(cifar10, "URL", f"http://127.0.0.1:{http.server_address[1]}/archive")
        monkeypatch.setattr(cifar10, "MD5", cifar10.pooch.file_hash(str(archive), "md5"))
        yield archive
        http.shutdown()


def test_download_is_checked_kept_and_reported(server, cache_folder):
    calls = []
    data = load_data("cifar10", progress=lambda *call: calls.append(call))
    assert data.classes == ("ant", "bee")
    size = server.stat().st_size
    assert (size, size, "downloading CIFAR-10") in calls
    assert (cache_folder / "cifar-10-python.tar.gz").read_bytes() == server.read_bytes()


def test_download_with_a_wrong_hash_is_refused(server, cache_folder, monkeypatch):
    monkeypatch.setattr(cifar10, "MD5", "0" * 32)
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded .*hash"):
        load_data("cifar10")
    assert not list(cache_folder.iterdir())


def test_without_a_network_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:9/archive")
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded .*; pass --data or set FREQFAST_DATA"):
        load_data("cifar10")


# The cache


def test_second_load_decodes_nothing(make_tree, monkeypatch):
    tree = make_tree()
    first = load_data("cifar10", tree)
    monkeypatch.setattr(cifar10, "_decode", lambda *args: pytest.fail("must come from the cache"))
    np.testing.assert_array_equal(load_data("cifar10", tree).train.images, first.train.images)


def test_changed_tree_is_decoded_again(make_tree):
    tree = make_tree()
    load_data("cifar10", tree)
    (tree / "train" / "ant" / "new.png").write_bytes((tree / "test" / "bee" / "0.png").read_bytes())
    assert len(load_data("cifar10", tree).train) == 7


def test_damaged_cache_is_mended(make_tree, cache_folder):
    tree = make_tree()
    load_data("cifar10", tree)
    (damaged,) = cache_folder.glob("*/train_images.npy")
    damaged.write_bytes(b"\x93NUMPY")
    assert_holds_tree(load_data("cifar10", tree), tree)
    assert len(damaged.read_bytes()) > 100


def test_progress_reaches_its_end(make_tree, tmp_path, pack):
    calls = []
    load_data("cifar10", pack(make_tree(), tmp_path / "a.tgz"), progress=lambda *call: calls.append(call))
    assert calls[0][2] == "reading a.tgz"
    assert calls[-1] == (12, 12, "decoding images")


# The real thing


@pytest.mark.slow
def test_real_cifar10(real_cifar10):
    data = load_data("cifar10", real_cifar10)
    assert data.name == "cifar10"
    assert data.classes == cifar10.CLASSES
    assert data.train.images.shape == (50_000, 32, 32, 3)
    assert data.test.images.shape == (10_000, 32, 32, 3)
    assert set(np.bincount(data.train.labels)) == {5000}
    assert set(np.bincount(data.test.labels)) == {1000}
    # Statistics that every CIFAR-10 tutorial quotes.
    np.testing.assert_allclose(data.mean, (0.4914, 0.4822, 0.4465), atol=5e-5)
    np.testing.assert_allclose(data.std, (0.2470, 0.2435, 0.2616), atol=5e-5)
