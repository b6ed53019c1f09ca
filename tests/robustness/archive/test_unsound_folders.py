"""Folders whose files are not what the layout says."""

import os
import pickle

import numpy as np
import pytest

from freqfast.robustness.archive.reading import stored_source
from tests.support.attacks import Payload, little_memory


def npy(header):
    """A .npy file of format 1.0 with any header."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)


def shaped(shape, kind="|u1"):
    return npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}")


CORRUPT = {
    "empty": b"",
    "zip archive": b"PK\x03\x04",
    "no dictionary": npy("__import__('os')"),
    "nested": npy("{'descr': " + "[" * 4000),
    "absurd shape": shaped((10**30, 8, 8, 3)),
    "negative shape": shaped((-20, 8, 8, 3)),
    "unknown type": shaped((20, 1, 1, 3), "evil"),
    "cut": shaped((20, 8, 8, 3)),
}


@pytest.mark.parametrize("kind", CORRUPT)
def test_corrupt_array_is_named(archive, kind):
    (archive / "fog.npy").write_bytes(CORRUPT[kind])
    with pytest.raises(ValueError, match=r"fog\.npy is not a sound \.npy array: ") as caught:
        stored_source(archive)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["labels", "fog"])
def test_pickles_are_refused_and_never_run(archive, tmp_path, name):
    payload, path = Payload(tmp_path / "ran"), archive / f"{name}.npy"
    for write in (
        lambda: path.write_bytes(pickle.dumps(payload)),
        lambda: np.save(path, np.array([payload] * 20, object), allow_pickle=True),
    ):
        write()
        with pytest.raises(ValueError, match=rf"{name}\.npy is not a sound"):
            stored_source(archive)
    assert not (tmp_path / "ran").exists()


def test_a_pipe_instead_of_a_file(archive):
    (archive / "fog.npy").unlink()
    os.mkfifo(archive / "fog.npy")
    with pytest.raises(ValueError, match=r"fog\.npy is no regular file"):
        stored_source(archive)


def test_labels_beyond_the_images_take_no_memory(archive):
    count = 5 * 2**30
    content = shaped((count,))[:-64]
    (archive / "labels.npy").write_bytes(content)
    os.truncate(archive / "labels.npy", len(content) + count)
    with little_memory(), pytest.raises(ValueError, match=rf"must be uint8 of shape \({count}, H, W, 3\) like labels"):
        stored_source(archive)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("fog", np.zeros((20, 4, 4, 3), np.float32), r"must be uint8 of shape \(20, H, W, 3\) like labels.*float32"),
        ("fog", np.zeros((20, 3, 4, 4), np.uint8), r"must be uint8 of shape .*, got uint8 of shape \(20, 3, 4, 4\)"),
        ("fog", np.zeros((), np.uint8), r"must be uint8 of shape .*, got uint8 of shape \(\)"),
        ("fog", np.zeros((20, 4, 8, 3), np.uint8), r"must hold images of \(4, 4\) like the other files, got \(4, 8\)"),
        ("fog", np.zeros((20, 0, 4, 3), np.uint8), r"holds images without pixels, of shape \(20, 0, 4, 3\)"),
        ("labels", np.zeros(20), "must hold integers, a multiple of 5 of them, got float64"),
        ("labels", np.zeros(0, np.int64), r"a multiple of 5 of them, got int64 of shape \(0,\)"),
        ("labels", np.array([0, 1, 2, 3] * 4 + [0, 1, 3, 2]), "must repeat the images' labels 5 times"),
        ("labels", np.tile([0, 1, 2, -1], 5), "must hold class numbers, got -1 to 2"),
        ("labels", np.tile([0, 1, 2, 2**40], 5), "must hold class numbers, got 0 to"),
    ],
    ids=lambda value: f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else value[:9],
)
def test_arrays_of_another_shape_type_or_range(archive, name, array, message):
    np.save(archive / f"{name}.npy", array)
    with pytest.raises(ValueError, match=rf"{name}\.npy .*{message}"):
        stored_source(archive)
