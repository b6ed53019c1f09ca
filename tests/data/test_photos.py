import socket

import numpy as np
import pytest

from freqfast.data import load_data, photos


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail("the photographs must need no network"))


def test_shapes_balance_and_that_every_call_gives_the_same():
    data, changed = load_data("photos"), load_data("photos")
    for part in (changed.train, changed.test):  # by whoever
        part.pixels[:], part.labels[:] = 0, 0
    np.testing.assert_array_equal(load_data("photos").train.pixels, data.train.pixels)
    assert set(load_data("photos").test.labels) == set(range(10))
    photos._load.cache_clear()
    again = load_data("photos")
    np.testing.assert_array_equal(again.train.pixels, data.train.pixels)
    np.testing.assert_array_equal(again.test.labels, data.test.labels)
    assert len(data.classes) == 10
    assert list(data.classes) == sorted(data.classes)
    assert data.train.pixels.shape == (5120, 32, 32, 3)
    assert data.test.pixels.shape == (1000, 32, 32, 3)
    assert set(np.bincount(data.train.labels)) == {512}
    assert set(np.bincount(data.test.labels)) == {100}
    assert np.bincount(data.test[:200].labels, minlength=10).min() >= 18


def test_no_row_of_a_test_patch_is_in_a_training_patch():
    """A row of a photograph that both sets had would show up; flat rows occur anywhere."""
    data = load_data("photos")
    rows = {}
    for part in ("train", "test"):
        flat = getattr(data, part).pixels.reshape(-1, 32 * 3)
        textured = np.ptp(flat.reshape(-1, 32, 3).astype(int), axis=1).min(1) > 40
        rows[part] = {row.tobytes() for row in flat[textured]}
    assert len(rows["test"]) > 10_000
    assert not rows["train"] & rows["test"]


def test_missing_photograph_is_named(monkeypatch):
    photos._load.cache_clear()
    monkeypatch.setitem(photos.PHOTOS, "astronaut", "skimage/data/no_such.png")
    with pytest.raises(FileNotFoundError, match=r"no_such\.png is missing; reinstall"):
        load_data("photos")


def test_photos_take_no_place(tmp_path):
    with pytest.raises(ValueError, match=r"a place .* has no use here; leave it out, or name data = \"cifar10\""):
        load_data("photos", tmp_path)
