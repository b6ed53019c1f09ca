import dataclasses
import os
import shutil

import numpy as np
import pytest

from freqfast.data import ImageData, ImageSet, cache


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    sets = (ImageSet(rng.integers(0, 256, (n, 4, 5, 3), dtype=np.uint8), rng.integers(0, 2, n)) for n in (6, 4))
    return ImageData("noise", ("a", "b"), *sets)


def assert_same(one, other):
    assert (one.name, one.classes) == (other.name, other.classes)
    for part in ("train", "test"):
        np.testing.assert_array_equal(getattr(one, part).images, getattr(other, part).images)
        np.testing.assert_array_equal(getattr(one, part).labels, getattr(other, part).labels)
    np.testing.assert_equal(one.published, other.published)


def test_what_is_stored_comes_back(data, cache_folder):
    assert cache.load("key") is None
    cache.store("key", data)
    assert_same(cache.load("key"), data)
    assert_same(cache.recall("noise"), data)
    assert cache.recall("cifar10") is None
    assert os.listdir(cache_folder) == ["decoded-2-key"]  # nothing half-made lies about


def test_the_published_order_comes_back(data):
    ordered = dataclasses.replace(data, published=np.array([2, 0, 3, 1]))
    cache.store("key", ordered)
    assert_same(cache.load("key"), ordered)


@pytest.mark.parametrize("mask", [0o077, 0o002])
def test_a_group_shares_it_if_the_umask_lets_it(data, cache_folder, mask):
    old = os.umask(mask)
    try:
        cache.store("key", data)
        (cache_folder / "plain").mkdir()
    finally:
        os.umask(old)
    assert (cache_folder / "decoded-2-key").stat().st_mode == (cache_folder / "plain").stat().st_mode


def test_recall_prefers_the_newest(data, cache_folder):
    cache.store("old", data)
    newer = ImageData("noise", ("x", "y"), data.train, data.test)
    cache.store("new", newer)
    os.utime(cache_folder / "decoded-2-old", (1, 1))
    assert_same(cache.recall("noise"), newer)


@pytest.mark.parametrize("file", ["data.json", "train_images.npy", "test_labels.npy"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "garbage", "pickle"])
def test_damaged_entry_is_no_entry_and_can_be_replaced(data, cache_folder, file, damage):
    cache.store("key", data)
    path = cache_folder / "decoded-2-key" / file
    if damage == "missing":
        path.unlink()
    elif damage == "pickle":
        np.save(path.with_suffix(".npy"), np.array([data], dtype=object), allow_pickle=True)
        os.replace(path.with_suffix(".npy"), path)
    else:
        content = path.read_bytes()
        path.write_bytes({"empty": b"", "cut": content[:-9], "garbage": bytes(len(content))}[damage])
    assert cache.load("key") is None
    cache.store("key", data)
    assert_same(cache.load("key"), data)


@pytest.mark.parametrize("file", ["train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy"])
@pytest.mark.parametrize("bit", [0, 3])
def test_one_bit_that_flipped_is_noticed(data, cache_folder, file, bit):
    cache.store("key", data)
    path = cache_folder / "decoded-2-key" / file
    content = bytearray(path.read_bytes())
    content[-8] ^= 1 << bit  # a value, and one that may well be in range
    path.write_bytes(content)
    assert cache.load("key") is None


def test_unwritable_cache_warns_and_goes_on(data, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FREQFAST_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="decoded data not cached .* set FREQFAST_CACHE"):
        cache.store("key", data)
    assert cache.load("key") is None


def test_failure_while_writing_leaves_nothing(data, cache_folder, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.store("key", data)
    assert os.listdir(cache_folder) == []


def test_fingerprint_follows_place_size_time_and_names(make_tree, tmp_path):
    tree = make_tree()
    prints = [cache.fingerprint(tree)]
    assert prints[0] == cache.fingerprint(tree / ".." / tree.name)
    os.utime(tree / "train" / "ant" / "0.png", ns=(5, 5))
    prints.append(cache.fingerprint(tree))
    (tree / "train" / "ant" / "1.png").rename(tree / "train" / "bee" / "9.png")
    prints.append(cache.fingerprint(tree))
    shutil.copytree(tree, tmp_path / "copy")
    prints.append(cache.fingerprint(tmp_path / "copy"))
    archive = tmp_path / "archive.tgz"
    for content in (b"one", b"three"):
        archive.write_bytes(content)
        prints.append(cache.fingerprint(archive))
    assert len(set(prints)) == len(prints)


def test_folder_is_the_users_by_default(monkeypatch):
    monkeypatch.delenv("FREQFAST_CACHE")
    assert cache.folder().name == "freqfast"
    monkeypatch.setenv("FREQFAST_CACHE", "~/elsewhere")
    assert cache.folder() == cache.Path.home() / "elsewhere"


def test_recall_passes_over_entries_that_vanish(data, cache_folder):
    cache.store("key", data)
    (cache_folder / "decoded-2-gone").symlink_to("nowhere")
    assert_same(cache.recall(data.name), data)
