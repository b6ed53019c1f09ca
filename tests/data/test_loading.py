"""Which data a name or a place means, the data sets of other packages, and what the cache spares."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from freqfast.data import ImageData, Images, cache, cifar10, load_data, stored
from freqfast.data.loading import is_test_folder, load_place
from freqfast.plugins import plugin_versions
from freqfast.preprocessing import scaled_side
from freqfast.progress import RunStoppedError, stopping
from tests.support.trees import assert_holds_tree

STRIPES = """
import numpy as np
from freqfast.data import ImageData, Images

def load(place, progress):
    images = np.zeros((40, 16, 16, 3), np.uint8)
    images[::2, ::2] = 255
    labels = np.arange(40) % 2
    if progress:
        progress(40, 40, f"drawing stripes of {place}")
    return ImageData("stripes", ("across", "none"), Images(images, labels), Images(images[:8], labels[:8]))
"""


@pytest.mark.parametrize("kind", ["archive", "download", "package"])
def test_a_stop_is_no_fault_of_the_data(install, make_tree, pack, tmp_path, monkeypatch, cache_folder, kind):
    install("data", STRIPES, stripes="load")
    monkeypatch.setattr(stored, "download_cifar10", lambda progress: progress(1, 2, "downloading"))
    name, place = "stripes" if kind == "package" else "cifar10", None
    if kind == "archive":
        place = pack(make_tree(), tmp_path / "cifar10.tgz")
    with pytest.raises(RunStoppedError) as caught:
        load_data(name, place, stopping(None, lambda: 2))
    assert caught.value.signum == 2


# Data sets of other packages


def test_data_set_of_another_package(install):
    """It is one function and one entry point, and cannot replace one of ours."""
    install("data", STRIPES, stripes="load", photos="load")
    calls = []
    data = load_data("stripes", "/a/place", lambda *call: calls.append(call))
    assert data.classes == ("across", "none")
    assert calls == [(40, 40, "drawing stripes of /a/place")]
    assert load_place("stripes").name == "stripes"
    assert plugin_versions()["other-data"] == "1.0"
    assert len(load_data("photos").classes) == 10
    unknown = r"^unknown data 'imagenet'; the data sets are cifar10, photos, folder, stripes$"
    with pytest.raises(ValueError, match=unknown):
        load_data("imagenet")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", r"^data entry point 'bad' \(other_data:load\) cannot be imported: .*load"),
        ("def load(place, progress): return 3", r"^data entry point 'bad' .* must return ImageData, got int$"),
        ("def load(place, progress): return {}['x']", r"^data 'bad' cannot be loaded \(KeyError: 'x'\)$"),
        ("def load(place, progress): raise ValueError(f'{place} is corrupt')", "^/a/place is corrupt$"),
    ],
)
def test_faulty_data_set_of_another_package(install, source, message):
    install("data", source, bad="load")
    with pytest.raises(ValueError, match=message):
        load_data("bad", "/a/place")


# Names and places


def test_images_in_files_alone_have_a_size():
    for name, size in (("photos", 32), ("folder", 0)):
        with pytest.raises(ValueError, match=f'^data = "{name}" with image_size {size}: .*; other data has none$'):
            load_data(name, image_size=size)
    with pytest.raises(FileNotFoundError, match="say where the folder of images is"):
        load_data("folder", image_size=32)
    assert scaled_side(33) == 38  # of 37.7


def test_name_of_a_data_set_is_no_place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="photos is the name of a data set, not a place"):
        load_data("cifar10", "photos")
    assert load_place("photos").name == "photos"
    (tmp_path / "photos").mkdir()
    for place in (Path("photos"), "./photos"):
        with pytest.raises(FileNotFoundError, match="photos holds no data set"):
            load_place(place)


def test_a_folder_called_folder(make_tree, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tree = make_tree(tmp_path / "folder")
    assert_holds_tree(load_place("folder"), tree)
    shutil.rmtree(tree / "train")
    assert is_test_folder("folder")


def test_where_a_tree_is_found(make_tree, tmp_path, monkeypatch, pack):
    parent, archives = tmp_path / "parent", tmp_path / "archives"
    tree = make_tree(parent / "cifar10")
    archives.mkdir()
    archive = pack(tree, archives / "cifar10.tgz")
    monkeypatch.setenv("FREQFAST_DATA", str(make_tree(tmp_path / "other", classes=("cat", "dog"))))
    for place in (tree, parent, str(parent), archives, archive):
        data = load_data("cifar10", place)
        assert data.classes == ("ant", "bee")
        assert data.name == (archive if place in (archive, archives) else tree).name
    assert load_data("cifar10").classes == ("cat", "dog")
    assert [is_test_folder(place, may_train=True) for place in (tree, archives)] == [True, False]
    assert not is_test_folder(tree)
    monkeypatch.chdir(tree)
    monkeypatch.setenv("HOME", str(tree))
    assert load_data("cifar10", ".").name == load_data("cifar10", "~").name == tree.name
    assert [is_test_folder(place) for place in ("~/test", "~", "~/absent")] == [True, False, False]


@pytest.mark.parametrize("by_environment", [False, True])
def test_named_place_without_data_is_an_error(tmp_path, make_tree, monkeypatch, cache_folder, by_environment):
    make_tree(cache_folder / "cifar10")  # must not be taken instead
    (tmp_path / "empty").mkdir()
    for place, message in (("empty", "holds no data set: name an archive"), ("absent", "does not exist")):
        path = tmp_path / place
        message = f"^{'FREQFAST_DATA=' if by_environment else ''}{path} {message}"
        if by_environment:
            monkeypatch.setenv("FREQFAST_DATA", str(path))
        with pytest.raises(FileNotFoundError, match=message):
            load_data("cifar10", None if by_environment else path)


# The cache


def test_what_is_in_the_cache_needs_no_source(make_tree, cache_folder, monkeypatch):
    monkeypatch.setattr(stored, "download_cifar10", lambda progress: pytest.fail("must not download"))
    monkeypatch.setenv("FREQFAST_DATA", "")  # which names nothing
    one = Images(np.zeros((1, 32, 32, 3), np.uint8), np.zeros(1, np.int64))
    cache.store("key", ImageData("cifar10", cifar10.CLASSES, one, one))
    assert load_data("cifar10").classes == cifar10.CLASSES
    tree = make_tree(cache_folder / "cifar10")
    assert_holds_tree(load_data("cifar10"), tree)


def test_a_changed_tree_and_a_corrupt_entry_are_decoded_again(make_tree, cache_folder, monkeypatch):
    tree = make_tree()
    first = load_data("cifar10", tree)
    with monkeypatch.context() as patch:
        patch.setattr(stored, "_decode", lambda *args: pytest.fail("must come from the cache"))
        np.testing.assert_array_equal(load_data("cifar10", tree).train.pixels, first.train.pixels)
    (corrupt,) = cache_folder.glob("*.npz")
    corrupt.write_bytes(b"PK")
    assert_holds_tree(load_data("cifar10", tree), tree)
    assert len(corrupt.read_bytes()) > 100
    (tree / "train" / "ant" / "new.png").write_bytes((tree / "test" / "bee" / "0.png").read_bytes())
    assert len(load_data("cifar10", tree).train) == 7
