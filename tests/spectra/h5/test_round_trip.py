"""What is written is read back; what cannot be is not written."""

import fcntl
import os
from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from freqfast.spectra import Spectra, SpectraHistory
from freqfast.spectra.h5 import read_layers, read_spectra, write_spectra, writing
from freqfast.spectral.bands import Bands


def exactly(value):
    """What is equal for values of the same types that are equal bit for bit, NaN too."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, Spectra | SpectraHistory):
        return type(value), {field.name: exactly(getattr(value, field.name)) for field in fields(value)}
    return repr(sorted(value.items()) if isinstance(value, dict) else value)  # files keep attributes in no order


@settings(max_examples=8, deadline=None)
@given(
    filters=st.integers(1, 5),
    channels=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 5), st.integers(2, 4)),
    bands=st.integers(1, 4),
    n=st.integers(5, 9),
    epochs=st.integers(0, 2),
    gains=st.sampled_from([None, "layer", "filter"]),
    names=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=4, unique=True),
    provenance=st.dictionaries(
        st.text("abc é/.", min_size=1), st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text("ab\nπ")
    ),
)
def test_round_trip_is_exact(tmp_path_factory, make_spectra, bands, names, provenance, **options):
    spectra = make_spectra(
        bands=Bands.equal_area(bands, names[:bands]), target={names[0]: 1}, provenance=provenance, **options
    )
    path = tmp_path_factory.mktemp("round") / "spectra.h5"
    write_spectra(path, spectra)
    assert exactly(read_spectra(path)) == exactly(spectra)


def test_layers_return_in_their_order(several, layers):
    assert list(map(exactly, read_layers(several))) == list(map(exactly, layers))
    assert exactly(read_spectra(several)) == exactly(layers[0])
    for spectra in layers:
        assert exactly(read_spectra(several, spectra.layer)) == exactly(spectra)
    with pytest.raises(ValueError, match=r"has no layer 'conv'; its layers are stem, block\.1\.conv, block\.0\.conv"):
        read_spectra(several, "conv")


def test_a_model_is_measured(tmp_path):
    write_spectra(tmp_path / "a.h5", nn.Sequential(nn.ReLU(), nn.Conv2d(1, 2, 3)))
    assert read_spectra(tmp_path / "a.h5").layer == "1"


@pytest.mark.skipif(h5py.version.version_tuple[:2] < (3, 15), reason="groups of an older h5py keep the time")
def test_same_spectra_make_the_same_bytes(tmp_path, spectra):
    path, contents = tmp_path / "spectra.h5", set()
    for _ in range(2):
        write_spectra(path, spectra)
        with h5py.File(path) as file:
            stamp = file.attrs["file_time"].encode()
        contents.add(path.read_bytes().replace(stamp, b"-" * len(stamp)))
    assert len(contents) == 1


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_file_that_is_locked_or_open_elsewhere_is_read(path, spectra, mode):
    """As by xarray, in this process; and some network systems grant no lock."""
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with h5py.File(path, mode, locking=False):
            assert exactly(read_spectra(path)) == exactly(spectra)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: [], "one or more layers of different names"),
        (lambda a, b: [a, a], "different names"),
        (lambda a, b: [b, a], "only the first has a history"),
        (lambda a, b: [a, replace(b, layer="a/b")], "cannot name an HDF5 group"),
        (lambda a, b: [a, replace(b, provenance={"seed": 1})], "have one provenance"),
        (lambda a, b: b, "at most 1,000 fit"),
    ],
)
def test_what_no_file_can_hold_is_refused(tmp_path, monkeypatch, layers, change, message):
    monkeypatch.setattr(writing, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match=message):
        write_spectra(tmp_path / "layers.h5", change(*layers[:2]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file(path, spectra, monkeypatch, error):
    def fail(*paths):
        raise error

    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(error)):
        write_spectra(path, spectra)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
