import dataclasses
import os
import shutil
import warnings
from unittest.mock import Mock

import numpy as np
import pytest

from freqfast.data import ImageData, Images, cache, load_data
from freqfast.data.folders import is_tree_image


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    sets = (Images(rng.integers(0, 256, (n, 4, 5, 3), dtype=np.uint8), rng.integers(0, 2, n)) for n in (6, 4))
    return ImageData("noise", ("a", "b"), *sets)


def test_stored_data_is_loaded_again(data, cache_folder, assert_same):
    assert cache.load("key") is None
    cache.store("key", data)
    assert_same(cache.load("key"), data)
    assert_same(cache.recall("noise"), data)
    assert cache.recall("cifar10") is None
    assert os.listdir(cache_folder) == ["decoded-2-key"]  # nothing temporary stays
    ordered = dataclasses.replace(data, published=np.array([2, 0, 3, 1]))
    cache.store("ordered", ordered)
    assert_same(cache.load("ordered"), ordered)


def test_a_user_without_a_home_folder_names_the_cache(monkeypatch):
    """As a container's user is who has a number alone."""
    for name in ("FREQFAST_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", Mock(side_effect=KeyError))
    with pytest.raises(FileNotFoundError, match="no home folder to cache data in; set FREQFAST_CACHE to a folder"):
        cache.folder()


def test_recall_takes_the_newest_valid_entry(data, cache_folder, assert_same):
    cache.store("old", data)
    newer = ImageData("noise", ("x", "y"), data.train, data.test)
    cache.store("new", newer)
    os.utime(cache_folder / "decoded-2-old", (1, 1))
    (cache_folder / "decoded-2-gone").symlink_to("nowhere")
    assert_same(cache.recall("noise"), newer)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("data.json", "garbage"),
        ("train_images.npy", "cut"),
        ("train_images.npy", "flipped"),
        ("test_labels.npy", "pickle"),
    ],
)
def test_corrupt_entry_is_ignored_and_replaced(data, cache_folder, assert_same, file, damage):
    cache.store("key", data)
    path = cache_folder / "decoded-2-key" / file
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-8] ^= 1  # the lowest bit of a value, which stays in range
    if damage == "pickle":
        np.save(path, np.array([data], dtype=object), allow_pickle=True)
    else:
        path.write_bytes({"cut": content[:-9], "garbage": bytes(9), "flipped": flipped}[damage])
    assert cache.load("key") is None
    cache.store("key", data)
    assert_same(cache.load("key"), data)


def test_unwritable_cache_is_a_warning(data, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FREQFAST_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="decoded data not cached .* set FREQFAST_CACHE"):
        cache.store("key", data)
    assert cache.load("key") is None


def test_entry_that_another_process_stored_first(data, monkeypatch):
    cache.store("key", data)
    monkeypatch.setattr(cache, "new_folder", Mock(side_effect=FileExistsError))
    with warnings.catch_warnings(action="error"):
        cache.store("key", data)


def test_fingerprint_follows_place_size_time_and_names(make_tree, tmp_path):
    tree = make_tree()
    prints = [cache.fingerprint(tree, is_tree_image)]
    assert prints[0] == cache.fingerprint(tree / ".." / tree.name, is_tree_image)
    os.utime(tree / "train" / "ant" / "0.png", ns=(5, 5))
    prints.append(cache.fingerprint(tree, is_tree_image))
    (tree / "train" / "ant" / "1.png").rename(tree / "train" / "bee" / "9.png")
    prints.append(cache.fingerprint(tree, is_tree_image))
    shutil.copytree(tree, tmp_path / "copy")
    prints.append(cache.fingerprint(tmp_path / "copy", is_tree_image))
    archive = tmp_path / "archive.tgz"
    for content in (b"one", b"three"):
        archive.write_bytes(content)
        prints.append(cache.fingerprint(archive, is_tree_image))
    assert len(set(prints)) == len(prints)


def test_what_is_written_into_a_data_set_does_not_change_it(make_tree, cache_folder):
    tree = make_tree()
    load_data("cifar10", tree)
    for name in ("notes.txt", "corrupted/fog.npy", "train/ant/.hidden.png"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text("other")
        load_data("cifar10", tree)
    assert len(os.listdir(cache_folder)) == 1


def test_folder_is_the_users_by_default(monkeypatch):
    monkeypatch.delenv("FREQFAST_CACHE")
    assert cache.folder().name == "freqfast"
    monkeypatch.setenv("FREQFAST_CACHE", "~/elsewhere")
    assert cache.folder() == cache.Path.home() / "elsewhere"
