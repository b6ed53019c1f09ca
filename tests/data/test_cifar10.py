import io
import pickle
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from freqfast.data import ImageData, ImageSet, cache, cifar10, load_data


def png(size=(8, 6), mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, size, 7).save(buffer, "PNG")
    return buffer.getvalue()


def add(archive, name, content=b"", kind=tarfile.REGTYPE, link=""):
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(content), kind, link
    archive.addfile(member, io.BytesIO(content))


def pack(folder, archive):
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    return archive


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


@pytest.fixture
def batches(tmp_path):
    """A cifar-10-batches-py folder of 20 images a batch, with the planes that the folder should hold."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    planes, labels = {}, {}
    for name in cifar10.BATCHES:
        planes[name] = rng.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
        labels[name] = rng.integers(0, 10, 20).tolist()
        batch = {b"data": planes[name].reshape(20, 3072), b"labels": labels[name], b"filenames": [b"x.png"] * 20}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=4))
    return folder, planes, labels


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


def test_tree_is_mixed_and_always_in_the_same_order(make_tree, tmp_path, monkeypatch):
    tree = make_tree(count=40)
    data = load_data("cifar10", tree)
    assert np.bincount(data.train.head(20).labels).min() >= 9
    monkeypatch.setenv("FREQFAST_CACHE", str(tmp_path / "other"))
    again = load_data("cifar10", pack(tree, tmp_path / "again.tgz"))
    np.testing.assert_array_equal(again.train.images, data.train.images)
    np.testing.assert_array_equal(again.test.labels, data.test.labels)


def test_archive_of_a_tree(make_tree, tmp_path):
    tree = make_tree(tmp_path / "cifar10")
    (tree / "labels.txt").write_text("ant\nbee\n")
    (tree / "train" / "ant" / "._0.png").write_bytes(b"macOS leaves these")
    data = load_data("cifar10", pack(tree, tmp_path / "cifar10.tgz"))
    (tree / "train" / "ant" / "._0.png").unlink()
    assert_holds_tree(data, tree)


@pytest.mark.parametrize("packed", [False, True])
def test_published_batches_keep_their_order(batches, tmp_path, packed):
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


def test_every_name_for_the_same_tree(make_tree, tmp_path, monkeypatch):
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
def server(monkeypatch, tmp_path, make_tree):
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
    (tree / "train" / "ant" / "new.png").write_bytes(png())
    assert len(load_data("cifar10", tree).train) == 7


def test_damaged_cache_is_mended(make_tree, cache_folder):
    tree = make_tree()
    load_data("cifar10", tree)
    (damaged,) = cache_folder.glob("*/train_images.npy")
    damaged.write_bytes(b"\x93NUMPY")
    assert_holds_tree(load_data("cifar10", tree), tree)
    assert len(damaged.read_bytes()) > 100


def test_progress_reaches_its_end(make_tree, tmp_path):
    calls = []
    load_data("cifar10", pack(make_tree(), tmp_path / "a.tgz"), progress=lambda *call: calls.append(call))
    assert calls[0][2] == "reading a.tgz"
    assert calls[-1] == (12, 12, "decoding images")


# Hostile and unsound data: one line that names the file, and nothing of it runs


def refused(path, match):
    with pytest.raises(ValueError, match=match) as caught:
        load_data("cifar10", path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not cache.folder().exists()


class _Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (Path(self.target),))


@pytest.mark.parametrize("where", ["alone", "value", "object array"])
def test_pickle_payload_never_runs(batches, tmp_path, where):
    folder, _, labels = batches
    payload = _Payload(tmp_path / "ran")
    content = {
        "alone": payload,
        "value": {b"data": payload, b"labels": labels["test_batch"]},
        "object array": {b"data": np.array([payload], object), b"labels": [0]},
    }[where]
    (folder / "test_batch").write_bytes(pickle.dumps(content, protocol=4))
    refused(folder, "test_batch is not a sound CIFAR-10 batch: it asks for ")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "text",
    [b"cos\nsystem\n(S'true'\ntR.", b"cbuiltins\neval\n(S'1'\ntR.", b"\x80\x04\x8c\x05numpy\x8c\x08f2py.run\x93."],
)
def test_pickle_opcodes_reach_no_function(batches, text):
    folder, _, _ = batches
    (folder / "data_batch_3").write_bytes(text)
    refused(folder, "data_batch_3 is not a sound CIFAR-10 batch: it asks for")


@pytest.mark.parametrize(
    "batch",
    [
        {b"data": np.zeros((2, 3072), np.uint8)},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]},
        {b"data": np.zeros((2, 3072), np.float32), b"labels": [1, 2]},
        {b"data": np.zeros((2, 99), np.uint8), b"labels": [1, 2]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, None]},
        [],
        None,
    ],
)
def test_unsound_batch(batches, batch):
    folder, _, _ = batches
    (folder / "data_batch_2").write_bytes(pickle.dumps(batch, protocol=4))
    refused(folder, "data_batch_2 is not a sound CIFAR-10 batch")


def test_cut_batch_missing_batch_and_wrong_label(batches):
    folder, planes, _ = batches
    content = (folder / "data_batch_4").read_bytes()
    (folder / "data_batch_4").write_bytes(content[:1000])
    refused(folder, "data_batch_4 is not a sound")
    (folder / "data_batch_4").unlink()
    refused(folder, "data_batch_4 is missing")
    batch = {b"data": planes["test_batch"].reshape(20, 3072), b"labels": [10] * 20}
    (folder / "data_batch_4").write_bytes(pickle.dumps(batch, protocol=4))
    refused(folder, "labels run from 0 to 10, but there are 10 classes")


@pytest.mark.parametrize("name", ["../train/ant/0.png", "/train/ant/0.png", "a/../../train/ant/0.png"])
def test_tar_traversal(tmp_path, name):
    path = tmp_path / "deep" / "hostile.tgz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        add(tar, name, png())
    before = sorted(tmp_path.rglob("*"))
    refused(path, "unsafe path")
    assert sorted(tmp_path.rglob("*")) == before


def test_tar_links_and_devices_are_passed_over(tmp_path):
    (tmp_path / "secret.png").write_bytes(png())
    path = tmp_path / "links.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for split in ("train", "test"):
            add(tar, f"d/{split}/ant/link.png", kind=tarfile.SYMTYPE, link=str(tmp_path / "secret.png"))
            add(tar, f"d/{split}/ant/hard.png", kind=tarfile.LNKTYPE, link="/etc/passwd")
            add(tar, f"d/{split}/ant/device.png", kind=tarfile.CHRTYPE)
            add(tar, f"d/{split}/ant/real.png", png())
    data = load_data("cifar10", path)
    assert (len(data.train), len(data.test)) == (1, 1)


def test_huge_tar_member(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "MEMBER_LIMIT", 1000)
    path = tmp_path / "huge.tgz"
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "d/train/ant/0.png", bytes(1001))
    refused(path, "unsafe path or size")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x1f\x8b not gzip"])
def test_no_archive(tmp_path, content):
    path = tmp_path / "a.tgz"
    path.write_bytes(content)
    refused(path, "not a sound tar archive")


def test_archive_cut_anywhere_or_with_a_wrong_byte_anywhere(make_tree, tmp_path):
    # Most cuts fall between two members at some length; an archive must never pass for a smaller one.
    path = pack(make_tree(count=2), tmp_path / "a.tgz")
    content = path.read_bytes()
    for position in range(20, len(content) - 8, 61):
        wrong = bytearray(content)
        wrong[position] ^= 0x55
        for damaged in (content[:position], bytes(wrong)):
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match="not a sound tar archive"):
                list(cifar10._archive_files(path, None))


def test_archive_of_two_data_sets(tmp_path):
    path = tmp_path / "two.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("a/train/ant/0.png", "a/test/ant/0.png", "b/train/ant/0.png"):
            add(tar, name, png())
    refused(path, r"several data sets \(a, b\)")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (png()[:45], "train/bee/1.png cannot be used as an image"),
        (b"", "train/bee/1.png cannot be used"),
        (png((9, 6)), "train/bee/1.png has 9x6 pixels, but .* has 8x6"),
        (png((2000, 2000)), "train/bee/1.png .* 2000x2000 pixels are too many"),
        (png((20000, 20000), "1"), "train/bee/1.png cannot be used"),
    ],
    ids=["cut", "empty", "size", "large", "bomb"],
)
def test_unsound_image(make_tree, content, match):
    tree = make_tree()
    (tree / "train" / "bee" / "1.png").write_bytes(content)
    refused(tree, match)


def test_trees_that_lack_something(make_tree, tmp_path):
    (tmp_path / "bare" / "train").mkdir(parents=True)
    (tmp_path / "bare" / "test").mkdir()
    refused(tmp_path / "bare", "no images under both train/<class>/ and test/<class>/")
    tree = make_tree()
    (tree / "test" / "wasp").mkdir()
    (tree / "test" / "wasp" / "0.png").write_bytes(png())
    refused(tree, "class 'wasp' has test images, but none under train/")


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
