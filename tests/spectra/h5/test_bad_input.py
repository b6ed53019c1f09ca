"""Files that are no exports, are damaged, or hold what a reader must not follow."""

import re

import h5py
import numpy as np
import pytest

from freqfast.spectra.h5 import read_layers, read_spectra


def put(name, **options):
    """An edit that puts another dataset in place of one."""

    def edit(file):
        del file[name]
        file.create_dataset(name, **options)

    return edit


def relink(name, link):
    def edit(file):
        file.move(name, "entry/elsewhere")
        file[name] = link

    return edit


def virtual(file):
    layout = h5py.VirtualLayout((2,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "data", (2,))
    del file["entry/spectra/target"]
    file.create_virtual_dataset("entry/spectra/target", layout)


UNREADABLE = {
    "newer": (lambda f: f.attrs.__setitem__("freqfast_schema", 3), "has schema 3, not 2; use the version of freqfast"),
    "foreign": (lambda f: f.attrs.__delitem__("freqfast_schema"), "not an export of freqfast"),
    "no spectra": (lambda f: f.__delitem__("entry/spectra"), "/entry/spectra is missing"),
    "no layer": (lambda f: f["entry/spectra"].attrs.__delitem__("layer"), r"damaged \(.*'layer'"),
    "array for a group": (put("entry/provenance", data=[1]), "/entry/provenance is missing, .* or no group"),
    "NaN": (lambda f: f["entry/spectra/power"].write_direct(np.full((6, 16, 16), np.nan, "f4")), "power holds NaN"),
    "text for numbers": (put("entry/spectra/power", data="none"), "power must be real numbers"),
    "numbers for names": (put("entry/spectra/band", data=[1, 2]), "string"),
    "no bands": (put("entry/spectra/band_upper", shape=(0,), dtype="f8"), "damaged"),
    "three targets": (put("entry/spectra/target", data=[0.5, 0.5, 0.0]), "is longer than"),
    "never stored": (put("entry/spectra/power", shape=(6, 4000, 4000), dtype="f4", chunks=(1, 8, 8)), "absurd shape"),
    "no dataspace": (put("entry/spectra/target", data=h5py.Empty("f8")), "is empty"),
    "soft link": (relink("entry/spectra", h5py.SoftLink("/entry/elsewhere")), "a link to somewhere else"),
    "external link": (relink("entry/training", h5py.ExternalLink("o.h5", "/")), "/entry/training is missing, a link"),
    "external storage": (put("entry/spectra/target", shape=2, dtype="f8", external=[("o", 0, 16)]), "another file"),
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


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f["entry/layers"].__setitem__("far", h5py.ExternalLink("o.h5", "/")), "far is missing, a link"),
        (lambda f: f.__delitem__("entry/layers/block.0.conv/weight"), "block.0.conv/weight is missing"),
    ],
)
def test_invalid_layers_are_refused(several, edit, message):
    with h5py.File(several, "a") as file:
        edit(file)
    with pytest.raises(ValueError, match=message):
        read_layers(several)


def damage_values(content, chunk):
    changed = bytearray(content)
    changed[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    return changed


@pytest.mark.parametrize("change", [lambda content, chunk: b"", lambda content, chunk: content[:-100], damage_values])
def test_other_and_damaged_files_are_refused(path, change):
    with h5py.File(path) as file:
        chunk = file["entry/training/power"].id.get_chunk_info(1)
    path.write_bytes(change(path.read_bytes(), chunk))
    with pytest.raises(ValueError, match=rf"^{path}: it is not an HDF5 file of filter spectra, or .*damaged .*\Z"):
        read_spectra(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.h5 does not exist"):
        read_spectra(tmp_path / "absent.h5")
    with pytest.raises(ValueError, match="is a folder, not a file"):
        read_spectra(tmp_path)
