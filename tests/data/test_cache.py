import dataclasses
import os
import shutil
from unittest.mock import Mock

import numpy as np
import pytest

from freqfast.data import ImageData, Images, cache, load_data


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
    assert os.listdir(cache_folder) == ["decoded-3-key.npz"]  # nothing temporary stays
    ordered = dataclasses.replace(data, published=np.array([2, 0, 3, 1]))
    cache.store("key", ordered)
    assert_same(cache.load("key"), ordered)


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
    os.utime(cache_folder / "decoded-3-old.npz", (1, 1))
    (cache_folder / "decoded-3-gone.npz").symlink_to("nowhere")
    assert_same(cache.recall("noise"), newer)


@pytest.mark.parametrize("damage", ["cut", "flipped", "garbage", "pickle"])
def test_corrupt_entry_is_ignored_and_replaced(data, cache_folder, assert_same, damage):
    cache.store("key", data)
    path = cache_folder / "decoded-3-key.npz"
    content = path.read_bytes()
    if damage == "pickle":
        np.savez(path, **(dict(np.load(path)) | {"test_labels": np.array([data], dtype=object)}))
    else:
        pixel = content.index(data.test.pixels.tobytes())  # one of a corrupt lowest bit shows nowhere but in a checksum
        flipped = content[:pixel] + bytes([content[pixel] ^ 1]) + content[pixel + 1 :]
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


def test_fingerprint_follows_place_size_time_and_names(make_tree, tmp_path):
    def print_of(folder):
        return cache.fingerprint(folder.rglob("*.png"))

    tree = make_tree()
    prints = [print_of(tree)]
    assert prints[0] == print_of(tree / ".." / tree.name)
    os.utime(tree / "train" / "ant" / "0.png", ns=(5, 5))
    prints.append(print_of(tree))
    first, second = tree / "train" / "ant" / "0.png", tree / "train" / "ant" / "2.png"
    content, status = first.read_bytes(), first.stat()
    first.write_bytes(bytes(len(content)))  # of the same size, and with its old time
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))
    prints.append(print_of(tree))
    (tree / "train" / "ant" / "1.png").rename(tree / "train" / "bee" / "9.png")
    prints.append(print_of(tree))
    second.write_bytes(b"")
    prints.append(print_of(tree))
    shutil.copytree(tree, tmp_path / "copy")
    prints.append(print_of(tmp_path / "copy"))
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
