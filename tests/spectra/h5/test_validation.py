import h5py
import numpy as np
import pytest

from freqfast.spectra import Spectra
from freqfast.spectra.h5 import read_spectra, validate


def fill(name, value):
    return lambda file: file[name].write_direct(np.full_like(file[name], value))


DEPARTURES = {
    "no units": (
        lambda f: f["entry/spectra/fy"].attrs.__delitem__("units"),
        "/entry/spectra/fy: attribute 'units' must be 'cycles/pixel', got 'nothing'",
    ),
    "text array": (
        lambda f: f.attrs.__setitem__("default", ["entry"]),
        "/: attribute 'default' must be 'entry', got array",
    ),
    "fixed text": (
        lambda f: f["entry/spectra/power"].attrs.__setitem__("interpretation", np.bytes_("image")),
        "/entry/spectra/power: attribute 'interpretation' must be 'image', got np.bytes_",
    ),
    "no scale": (
        lambda f: f["entry/spectra/power"].dims[0].detach_scale(f["entry/spectra/filter"]),
        "must be float32(6, 16, 16) with scales [['filter'], ['fy'], ['fx']], got float32(6, 16, 16) with scales [[]",
    ),
    "two scales": (
        lambda f: f["entry/training/shares"].dims[1].attach_scale(f["entry/training/fy"]),
        "got float32(3, 6, 2) with scales [['epoch'], ['filter', 'fy'], ['band']]",
    ),
    "extra without scale": (
        lambda f: f["entry/spectra"].create_dataset("extra", data=[1, 2]),
        "extra: must have one dimension scale on every dimension",
    ),
    "classes": (fill("entry/spectra/classes", 1), "classes: its values do not follow"),
    "no classes": (lambda f: f.__delitem__("entry/spectra/classes"), "/entry/spectra/classes is missing"),
    "no proportion": (lambda f: f.__delitem__("entry/training/proportion"), "/entry/training/proportion is missing"),
}


@pytest.mark.parametrize("case", DEPARTURES)
def test_validate_lists_departures(path, case):
    edit, message = DEPARTURES[case]
    with h5py.File(path, "a") as file:
        edit(file)
    (departure,) = validate(path)
    assert message in departure
    assert isinstance(read_spectra(path), Spectra)


def test_power_is_compared_with_the_weight_and_the_response_with_the_power(path):
    with h5py.File(path, "a") as file:
        fill("entry/spectra/power", 1)(file)
    found = validate(path)
    assert len(found) == 2
    assert "response_db: its values do not follow" in found[0]
    assert "in 6 filters it does not sum to the squared L2 norm" in found[1]


def test_additions_are_not_departures(path):
    with h5py.File(path, "a") as file:
        file["entry"].create_group("notes").attrs["NX_class"] = "NXcollection"
        file.attrs["note"] = "mine"
    assert validate(path) == []


def test_every_layer_is_validated(several):
    assert validate(several) == []
    with h5py.File(several, "a") as file:
        fill("entry/layers/block.0.conv/power", 1)(file)
        fill("entry/layers/block.1.conv/proportion", 0.1)(file)
        del file["entry/layers/stem"]
        file.copy("entry/spectra", file["entry/layers"], "stem")
    found = "\n".join(validate(several))
    assert "block.1.conv/proportion: its values do not follow" in found
    assert "power of layer 'block.0.conv': in 2 filters it does not sum" in found
    assert "/entry/spectra: must be another name of an object, not an object of its own" in found
