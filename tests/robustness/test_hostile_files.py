import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from freqfast.robustness.archive.reading import stored_source


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (Path(self.target),))


def npy(header):
    """A .npy file of format 1.0 with any header."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)


def zipped():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(20))
    return buffer.getvalue()


HOSTILE = {
    "empty": b"",
    "text": b"hello",
    "cut header": b"\x93NUMPY\x01\x00",
    "zip archive": zipped(),
    "cut zip archive": zipped()[:50],
    "no dictionary": npy("__import__('os')"),
    "unfinished": npy("{'descr': (("),
    "indented": npy("  \n   {"),
    "nested": npy("{'descr': " + "[" * 4000),
    "huge shape": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000, 8, 8, 3), }"),
    "absurd shape": npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**30}, 8, 8, 3), }}"),
    "negative shape": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-20, 8, 8, 3), }"),
    "odd type": npy("{'descr': 'evil', 'fortran_order': False, 'shape': (20, 1, 1, 3), }"),
    "cut": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (20, 8, 8, 3), }"),
}


@pytest.mark.parametrize("name", ["labels", "fog"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_array_is_named(archive, name, kind):
    path = archive / f"{name}.npy"
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(ValueError, match=rf"{name}\.npy is not a sound \.npy array: ") as caught:
        stored_source(archive)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["labels", "fog"])
@pytest.mark.parametrize("kind", ["object array", "pickle"])
def test_pickles_are_refused_and_never_run(archive, tmp_path, name, kind):
    payload = Payload(tmp_path / "ran")
    if kind == "pickle":
        (archive / f"{name}.npy").write_bytes(pickle.dumps(payload))
    else:
        np.save(archive / f"{name}.npy", np.array([payload] * 20, object), allow_pickle=True)
    with pytest.raises(ValueError, match=rf"{name}\.npy is not a sound"):
        stored_source(archive)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((20, 4, 4, 3), np.float32),
        np.zeros((20, 4, 4, 3), np.int8),
        np.zeros((20, 3, 4, 4), np.uint8),
        np.zeros((20, 4, 4), np.uint8),
        np.zeros((19, 4, 4, 3), np.uint8),
        np.zeros((40, 4, 4, 3), np.uint8),
        np.zeros((), np.uint8),
        np.zeros((20, 4, 4, 3), [("a", "u1")]),
    ],
    ids=lambda a: f"{a.dtype} {a.shape}",
)
def test_images_of_another_shape_or_type(archive, images):
    np.save(archive / "fog.npy", images)
    with pytest.raises(ValueError, match=r"fog\.npy must be uint8 of shape \(20, H, W, 3\) like labels.npy, got"):
        stored_source(archive)


def test_images_of_two_sizes(archive):
    np.save(archive / "fog.npy", np.zeros((20, 4, 8, 3), np.uint8))
    with pytest.raises(ValueError, match=r"fog\.npy must hold images of \(4, 4\) like the other files, got \(4, 8\)"):
        stored_source(archive)


@pytest.mark.parametrize("shape", [(20, 0, 4, 3), (20, 4, 0, 3), (0, 4, 4, 3)])
def test_images_without_pixels(archive, shape):
    np.save(archive / "fog.npy", np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=r"fog\.npy "):
        stored_source(archive)


@pytest.mark.parametrize(
    "labels",
    [np.zeros(20), np.zeros((20, 1), np.int64), np.zeros(19, np.int64), np.zeros(20, bool), np.zeros((), np.int64)],
    ids=lambda a: f"{a.dtype} {a.shape}",
)
def test_labels_of_another_shape_or_type(archive, labels):
    np.save(archive / "labels.npy", labels)
    with pytest.raises(ValueError, match=r"labels\.npy must hold integers, a multiple of 5 of them, got"):
        stored_source(archive)


def test_no_labels_at_all(archive):
    np.save(archive / "labels.npy", np.zeros(0, np.int64))
    with pytest.raises(ValueError, match=r"labels\.npy "):
        stored_source(archive)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3] * 4 + [0, 1, 3, 2], [0] * 10 + [1] * 10])
def test_labels_that_do_not_repeat(archive, labels):
    np.save(archive / "labels.npy", np.array(labels))
    with pytest.raises(ValueError, match=r"labels\.npy must repeat the images' labels 5 times"):
        stored_source(archive)


@pytest.mark.parametrize("label", [-1, 2**40])
def test_labels_that_are_no_classes(archive, label):
    np.save(archive / "labels.npy", np.tile([0, 1, 2, label], 5))
    with pytest.raises(ValueError, match=rf"labels\.npy must hold class numbers, got {min(label, 0)} to"):
        stored_source(archive)
