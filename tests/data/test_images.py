import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqfast.data import ImageData, Images
from freqfast.data.images import data_hash, mixed_order


def image_set(labels=(0, 1, 1), size=(4, 5), seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), *size, 3), dtype=np.uint8)
    return Images(images, np.array(labels, np.int64))


def test_moments_are_those_of_the_training_pixels():
    train = image_set([0, 1] * 700)
    data = ImageData("noise", ("a", "b"), train, image_set(seed=1))
    pixels = train.pixels.astype(np.float64) / 255
    np.testing.assert_allclose(data.mean, pixels.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(data.std, pixels.std((0, 1, 2)), rtol=1e-12)
    grey = Images(np.full((2, 4, 4, 3), 99, np.uint8), np.array([0, 0]))
    assert ImageData("grey", ("a", "b"), grey, grey).std == (1.0, 1.0, 1.0)


def test_head_keeps_images_with_their_labels():
    images = image_set()
    head = images[:2]
    assert len(head) == 2
    np.testing.assert_array_equal(head.pixels, images.pixels[:2])
    np.testing.assert_array_equal(head.labels, images.labels[:2])
    assert len(images[:99]) == 3


def test_the_last_training_images_are_held_out():
    data = ImageData("noise", ("a", "b"), image_set([0, 1, 0, 1]), image_set(seed=1))
    held = data.hold_out(1)
    np.testing.assert_array_equal(held.train.pixels, data.train.pixels[:3])
    np.testing.assert_array_equal(held.test.pixels, data.train.pixels[3:])
    np.testing.assert_array_equal(held.test.labels, [1])
    assert data.hold_out(0) is data
    assert len(data.hold_out(0.5 * 4).test) == 2
    for count in (-1, 4, 0.5):
        with pytest.raises(ValueError, match=rf"^holdout must be a number of images in 0\.\.3, got {count}$"):
            data.hold_out(count)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), np.zeros(2, np.int64), "uint8"),
        (np.zeros((2, 3, 4, 4), np.uint8), np.zeros(2, np.int64), r"\(N, H, W, 3\)"),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int64), r"\(N, H, W, 3\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, np.int32), "int64"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, np.int64), "2 int64"),
    ],
)
def test_invalid_set_is_refused(images, labels, message):
    with pytest.raises(ValueError, match=message):
        Images(images, labels)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (image_set([0, 2]), image_set(), "training labels run from 0 to 2, but there are 2 classes"),
        (image_set(), image_set([-1, 0]), "test labels run from -1"),
        (image_set([]), image_set(), "no training images"),
        (image_set(), image_set([]), "no test images"),
        (image_set(), image_set(size=(5, 4)), "one size"),
    ],
)
def test_invalid_data_is_refused(train, test, message):
    with pytest.raises(ValueError, match=message):
        ImageData("noise", ("a", "b"), train, test)


def test_the_hash_is_of_classes_shapes_images_and_labels():
    """As in version 0.1, whose results say it."""
    data = ImageData("noise", ("a", "b"), image_set(), image_set([1, 0], seed=1))
    digest = hashlib.sha256(b"('a', 'b')")
    for shape, part in ((b"(3, 4, 5, 3)", data.train), (b"(2, 4, 5, 3)", data.test)):
        digest.update(shape + part.pixels.tobytes() + part.labels.tobytes())
    assert data_hash(data) == digest.hexdigest()


def test_the_mixed_order_is_that_of_published_results():
    """Which images are held out, and which are corrupted, depends on it."""
    assert mixed_order(np.arange(12) % 3).tolist() == [3, 8, 1, 5, 6, 7, 2, 0, 4, 10, 11, 9]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.data())
def test_mixed_order_keeps_proportions_in_every_prefix(counts, data):
    labels = np.repeat(np.arange(len(counts)), counts)
    order = mixed_order(labels)
    assert sorted(order) == list(range(len(labels)))
    np.testing.assert_array_equal(order, mixed_order(labels))
    length = data.draw(st.integers(0, len(labels)))
    found = np.bincount(labels[order[:length]], minlength=len(counts))
    # Before position p in (0, 1) class c has p * counts[c] images, give or take one.
    assert np.abs(found - length * np.array(counts) / len(labels)).max() <= 2


def test_the_fingerprint_is_that_of_manifests_and_results(monkeypatch):
    images = image_set([0, 1, 1, 0, 2])
    digest = hashlib.sha256(images.pixels.tobytes() + images.labels.tobytes()).hexdigest()
    monkeypatch.setattr("freqfast.data.images._PART", 2)
    assert images.fingerprint() == digest != images[:4].fingerprint()


def test_one_class_is_refused():
    with pytest.raises(ValueError, match=r"^noise has one class, a, so there is nothing"):
        ImageData("noise", ("a",), image_set([0, 0]), image_set([0, 0]))
