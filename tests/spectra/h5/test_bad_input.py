import multiprocessing
import os
import re
import signal
import time

import h5py
import numpy as np
import pytest

from freqfast.spectra.h5 import check_readable, read_spectra, reading


def replace(name, **options):
    """An edit that puts another dataset in place of one."""

    def edit(file):
        del file[name]
        file.create_dataset(name, **options)

    return edit


def fill(name, value):
    return lambda file: file[name].write_direct(np.full_like(file[name], value))


def relink(name, link):
    def edit(file):
        file.move(name, "entry/elsewhere")
        file[name] = link

    return edit


def stored_outside(file):
    del file["entry/spectra/fy"]
    file.create_dataset("entry/spectra/fy", (16,), "f8", external=[("/etc/passwd", 0, 128)])


def virtual(file):
    layout = h5py.VirtualLayout((16,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "data", (16,))
    del file["entry/spectra/fy"]
    file.create_virtual_dataset("entry/spectra/fy", layout)


UNREADABLE = {
    "newer": (lambda f: f.attrs.__setitem__("freqfast_schema", 3), "schema 3 is newer than 2,.*upgrade freqfast"),
    "text schema": (lambda f: f.attrs.__setitem__("freqfast_schema", "1"), "must be a positive integer"),
    "array schema": (lambda f: f.attrs.__setitem__("freqfast_schema", [1]), "must be a scalar"),
    "foreign": (lambda f: f.attrs.__delitem__("freqfast_schema"), "not an export of freqfast"),
    "no spectra": (lambda f: f.__delitem__("entry/spectra"), "/entry/spectra is missing"),
    "no power": (lambda f: f.__delitem__("entry/spectra/power"), "/entry/spectra/power is missing"),
    "no layer": (lambda f: f["entry/spectra"].attrs.__delitem__("layer"), "no attribute 'layer'"),
    "array for provenance": (replace("entry/provenance", data=[1]), "/entry/provenance is not a group"),
    "NaN": (fill("entry/spectra/power", np.nan), "power holds NaN or infinite values in 6 of 6"),
    "bands apart": (fill("entry/spectra/band_lower", 0.2), "must adjoin"),
    "fx unlike fy": (fill("entry/spectra/fx", 0), "must be equal"),
    "text power": (replace("entry/spectra/power", data="none"), "must hold numbers"),
    "numeric bands": (replace("entry/spectra/band", data=[1, 2]), "must hold up to 1024 names"),
    "three targets": (replace("entry/spectra/target", data=[0.5, 0.5, 0.0]), "must have 2 values"),
    "never stored": (replace("entry/spectra/power", shape=(6, 4000, 4000), dtype="f4", chunks=(1, 8, 8)), "absurd"),
    "vast chunk": (replace("entry/spectra/fy", shape=16, maxshape=2**30, dtype="f8", chunks=2**28 + 1), "absurd shape"),
    "no dataspace": (replace("entry/spectra/fy", data=h5py.Empty("f8")), "is empty"),
    "soft link": (relink("entry/spectra", h5py.SoftLink("/entry/elsewhere")), "is a link to somewhere else"),
    "external link": (relink("entry/training", h5py.ExternalLink("o.h5", "/")), "/entry/training is a link"),
    "external storage": (stored_outside, "stored in another file"),
    "virtual dataset": (virtual, "stored in another file"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_invalid_files_are_refused_on_one_line(path, case):
    edit, message = UNREADABLE[case]
    with h5py.File(path, "a") as file:
        edit(file)
    with pytest.raises(ValueError, match=message) as error:
        read_spectra(path)
    assert re.fullmatch(f"{path}: .+; .+", str(error.value))


def damage_values(content, chunk):
    changed = bytearray(content)
    changed[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content, chunk: b"", "not an HDF5 file"),
        (lambda content, chunk: content[:-100], "truncated or damaged"),
        (damage_values, "truncated or damaged"),
    ],
)
def test_other_and_damaged_files_are_refused(path, change, message):
    with h5py.File(path) as file:
        chunk = file["entry/training/power"].id.get_chunk_info(1)
    path.write_bytes(change(path.read_bytes(), chunk))
    with pytest.raises(ValueError, match=rf"^{path}.*{message}.*\Z"):
        read_spectra(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.h5 does not exist"):
        read_spectra(tmp_path / "absent.h5")
    with pytest.raises(ValueError, match="is a folder, not a file"):
        read_spectra(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_workers_of_a_pool_read_files_too(path):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(check_readable, (path,)) is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_file_that_hangs_or_crashes_hdf5_is_refused(path, monkeypatch):
    check_readable(path)
    path.with_name("other.h5").write_bytes(b"no HDF5")
    check_readable(path.with_name("other.h5"))  # the reader refuses it
    monkeypatch.setattr(reading, "_SECONDS", 1)
    monkeypatch.setattr(reading, "read_layers", lambda path: time.sleep(60))
    with pytest.raises(ValueError, match=f"{path}: reading it does not end within 2 s, so it is damaged"):
        check_readable(path)
    monkeypatch.setattr(reading, "read_layers", lambda path: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(ValueError, match="reading it crashes the HDF5 library"):
        check_readable(path)
