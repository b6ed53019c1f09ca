import fcntl
import subprocess
import sys
from dataclasses import replace

import h5py
import pytest

from freqfast.spectra.h5 import read_layers, read_spectra, reading, write_spectra


def test_layers_return_in_their_order(several, layers, assert_same):
    for a, b in zip(read_layers(several), layers, strict=True):
        assert_same(a, b)
    assert_same(read_spectra(several), layers[0])
    for spectra in layers:
        assert_same(read_spectra(several, spectra.layer), spectra)


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
        (lambda a, b: [b, a], "only the first layer can have a history"),
        (lambda a, b: [a, replace(b, layer="a/b")], "cannot name an HDF5 group"),
        (lambda a, b: [a, replace(b, provenance={"seed": 1})], "share their provenance"),
        (lambda a, b: [replace(a, provenance={"NX_class": "NXroot"})], "NX_class"),
    ],
)
def test_layers_that_no_file_can_hold_are_refused(tmp_path, layers, change, message):
    with pytest.raises(ValueError, match=message):
        write_spectra(tmp_path / "layers.h5", change(*layers[:2]))
    assert list(tmp_path.iterdir()) == []


def test_unknown_layers_are_refused(several, path):
    with pytest.raises(ValueError, match=r"has no layer 'conv'; its layers are stem, block\.1\.conv, block\.0\.conv"):
        read_spectra(several, "conv")
    with pytest.raises(ValueError, match=r"has no layer '\.\./entry'"):
        read_spectra(path, "../entry")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f.__delitem__("entry/layers/stem"), "/entry/layers lacks 'stem'"),
        (lambda f: f["entry/layers"].__setitem__("twin", f["entry/layers/block.1.conv"]), "twin holds another layer"),
        (lambda f: f["entry/layers"].__setitem__("far", h5py.ExternalLink("o.h5", "/")), "far is a link"),
        (lambda f: f["entry/layers"].create_group("empty"), "empty has no attribute 'layer'"),
        (lambda f: f.__delitem__("entry/layers/block.0.conv/weight"), "block.0.conv/weight is missing"),
    ],
)
def test_invalid_layers_are_refused_on_one_line(several, edit, message):
    with h5py.File(several, "a") as file:
        edit(file)
    with pytest.raises(ValueError, match=message) as error:
        read_layers(several)
    assert "\n" not in str(error.value)


def test_all_declared_sizes_count_for_the_limit(path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", 2**26)
    with h5py.File(path, "a") as file:
        for group in (file["entry/spectra"], file["entry/training"]):
            del group["weight"]
            group.create_dataset("weight", shape=2**22, dtype="f4", chunks=2**20, compression="gzip")[:] = 0
    assert 4 * 2**22 < 100 * path.stat().st_size  # which each of them is allowed
    for read in (read_layers, read_spectra):
        with pytest.raises(ValueError, match=r"its layers declare 3\d,\d+,\d+ bytes for the"):
            read(path)


def test_a_file_is_read_without_a_lock(path, assert_same, spectra):
    """Which some network file systems do not grant."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert_same(read_spectra(path), spectra)


@pytest.mark.parametrize("options", [{}, {"locking": "best-effort"}, {"locking": False}])
def test_a_file_that_this_process_has_open_is_read(path, assert_same, spectra, options):
    """As xarray keeps it open."""
    with h5py.File(path, **options):
        assert_same(read_spectra(path), spectra)


def test_a_file_that_is_being_written_is_not_called_damaged(path):
    code = "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        for read in (read_layers, read_spectra):
            with pytest.raises(BlockingIOError, match="is open in a program that writes it") as error:
                read(path)
            assert "damaged" not in str(error.value)
        writer.communicate(b"\n")
