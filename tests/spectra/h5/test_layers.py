import fcntl
from dataclasses import replace

import h5py
import pytest

from freqfast.spectra.h5 import read_layers, read_spectra, write_spectra


def test_layers_return_in_their_order(several, layers, assert_same):
    for a, b in zip(read_layers(several), layers, strict=True):
        assert_same(a, b)
    assert_same(read_spectra(several), layers[0])
    for spectra in layers:
        assert_same(read_spectra(several, spectra.layer), spectra)
    with pytest.raises(ValueError, match=r"has no layer 'conv'; its layers are stem, block\.1\.conv, block\.0\.conv"):
        read_spectra(several, "conv")


def test_every_layer_is_a_group_in_the_models_order(several):
    with h5py.File(several) as file:
        assert list(file["entry/layers"]) == ["stem", "block.1.conv", "block.0.conv"]
        assert file["entry/layers/stem"] == file["entry/spectra"]
        for name, group in file["entry/layers"].items():
            assert (group.attrs["NX_class"], group.attrs["signal"], group.attrs["layer"]) == ("NXdata", "power", name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: [], "one or more layers of different names"),
        (lambda a, b: [a, a], "different names"),
        (lambda a, b: [b, a], "only the first has a history"),
        (lambda a, b: [a, replace(b, layer="a/b")], "cannot name an HDF5 group"),
        (lambda a, b: [a, replace(b, provenance={"seed": 1})], "have one provenance"),
    ],
)
def test_layers_that_no_file_can_hold_are_refused(tmp_path, layers, change, message):
    with pytest.raises(ValueError, match=message):
        write_spectra(tmp_path / "layers.h5", change(*layers[:2]))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_read_without_a_lock(path, assert_same, spectra):
    """Which some network file systems do not grant."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert_same(read_spectra(path), spectra)


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_file_that_this_process_has_open_is_read(path, assert_same, spectra, mode):
    """As xarray keeps it open."""
    with h5py.File(path, mode):
        assert_same(read_spectra(path), spectra)
