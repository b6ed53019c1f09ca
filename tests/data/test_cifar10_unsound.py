"""Hostile and unsound data: one line that names the file, and nothing of it runs."""

import io
import pickle
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from freqfast.data import cache, cifar10, load_data, tars
from freqfast.data.pickles import read_batch


def png(size=(8, 6), mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, size, 7).save(buffer, "PNG")
    return buffer.getvalue()


def add(archive, name, content=b"", kind=tarfile.REGTYPE, link=""):
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(content), kind, link
    archive.addfile(member, io.BytesIO(content))


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
    refused(folder, "test_batch is not a sound CIFAR-10 batch: it (asks for|holds an array of type) ")
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


@pytest.mark.parametrize(
    "content",
    [
        b"}r" + (20_000_000).to_bytes(4, "little") + b".",
        b"}p20000000\n.",
        b"(" + b"N" * 1_500_000 + b"l.",
        b"N" + b"\x94" * 1_500_000 + b".",
    ],
    ids=["binary index", "index in words", "steps", "entries"],
)
def test_a_batch_that_takes_much_memory(batches, content):
    folder, _, _ = batches
    (folder / "data_batch_2").write_bytes(content)
    tracemalloc.start()
    refused(folder, "data_batch_2 is not a sound CIFAR-10 batch: it takes more than 1,000,000 steps or memo entries")
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()


@pytest.mark.parametrize("protocol", [3, 4])
def test_a_batch_with_file_names_of_its_own(protocol):
    batch = {b"data": np.zeros((10_000, 3072), np.uint8), b"labels": [7] * 10_000}
    names = [f"leptodactylus_s_{i:06}.png" for i in range(10_000)]  # of which every pickle keeps track
    content = pickle.dumps(batch | {b"filenames": names}, protocol)
    images, labels, found = read_batch(content)
    assert images.shape == (10_000, 32, 32, 3)
    assert labels.tolist() == batch[b"labels"]
    assert found == names


STEPS = [b"r\xff", b"p" + b"9" * 9999 + b"\n.", b"p-1\n.", b"B" + b"\xff" * 4, b"\x80\x04\xfe"]


@pytest.mark.parametrize("content", STEPS)
def test_steps_that_are_none(batches, content):
    folder, _, _ = batches
    (folder / "data_batch_2").write_bytes(content)
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
    monkeypatch.setattr(tars, "MEMBER_LIMIT", 1000)
    path = tmp_path / "huge.tgz"
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "d/train/ant/0.png", bytes(1001))
    refused(path, "unsafe path or size")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x1f\x8b not gzip"])
def test_no_archive(tmp_path, content):
    path = tmp_path / "a.tgz"
    path.write_bytes(content)
    refused(path, "not a sound tar archive")


def test_archive_cut_anywhere_or_with_a_wrong_byte_anywhere(make_tree, tmp_path, pack):
    # Most cuts fall between two members at some length; an archive must never pass for a smaller one.
    path = pack(make_tree(count=2), tmp_path / "a.tgz")
    content = path.read_bytes()
    for position in range(20, len(content) - 8, 61):
        wrong = bytearray(content)
        wrong[position] ^= 0x55
        for damaged in (content[:position], bytes(wrong)):
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match="not a sound tar archive"):
                list(tars.read_members(path, cifar10._is_wanted))


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
        (b"", "train/bee/1.png cannot be used as an image: its content is none of PNG, JPEG, BMP, WEBP$"),
        (
            png(mode="I;16"),
            r"train/bee/1.png .* it has more than 8 bits a channel \(Pillow's mode I(;16)?\); convert it to",
        ),
        (png((9, 6)), "train/bee/1.png has 9x6 pixels, but .* has 8x6"),
        (png((2000, 2000)), "train/bee/1.png .* 2000x2000 pixels are too many"),
        (png((20000, 20000), "1"), "train/bee/1.png cannot be used"),
    ],
    ids=["cut", "empty", "16 bits", "size", "large", "bomb"],
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
