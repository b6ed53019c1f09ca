import h5py
import numpy as np
import pytest

from freqfast.spectra import Spectra
from freqfast.spectra.h5 import read_spectra, validate


def fill(name, value):
    return lambda file: file[name].write_direct(np.full_like(file[name], value))


DEPARTURES = {
    "no units": (lambda f: f["entry/spectra/fy"].attrs.__delitem__("units"), "fy: attribute 'units' is missing"),
    "text array": (
        lambda f: f.attrs.__setitem__("default", ["entry"]),
        "/: attribute 'default' must be variable-length",
    ),
    "fixed text": (
        lambda f: f["entry/spectra/power"].attrs.__setitem__("interpretation", np.bytes_("image")),
        "power: attribute 'interpretation' must be variable-length",
    ),
    "other signal": (
        lambda f: f["entry/spectra"].attrs.__setitem__("signal", "weight"),
        "must be 'power', got 'weight'",
    ),
    "no scale": (
        lambda f: f["entry/spectra/power"].dims[0].detach_scale(f["entry/spectra/filter"]),
        "power: every dimension must have one scale",
    ),
    "two scales": (
        lambda f: f["entry/training/shares"].dims[1].attach_scale(f["entry/training/fy"]),
        "shares: every dimension must have one scale",
    ),
    "extra without scale": (
        lambda f: f["entry/spectra"].create_dataset("extra", data=[1, 2]),
        "extra: every dimension",
    ),
    "classes": (fill("entry/spectra/classes", 1), "classes: its values do not follow"),
    "proportion": (fill("entry/spectra/proportion", 0.1), "proportion: its values do not follow"),
    "no classes": (lambda f: f.__delitem__("entry/spectra/classes"), "'classes' is missing"),
}


@pytest.mark.parametrize("case", DEPARTURES)
def test_validate_lists_departures(path, case):
    edit, message = DEPARTURES[case]
    with h5py.File(path, "a") as file:
        edit(file)
    (violation,) = validate(path)
    assert message in violation
    assert isinstance(read_spectra(path), Spectra)


def test_power_is_compared_with_the_weight_and_the_response_with_the_power(path):
    with h5py.File(path, "a") as file:
        fill("entry/spectra/power", 1)(file)
    found = validate(path)
    assert len(found) == 2
    assert "response_db: its values do not follow" in found[0]
    assert "in 6 filters it does not sum to the squared L2 norm" in found[1]


def test_additions_are_no_departure(path):
    with h5py.File(path, "a") as file:
        file["entry"].create_group("notes").attrs["NX_class"] = "NXcollection"
        file.attrs["note"] = "mine"
    assert validate(path) == []


@pytest.mark.parametrize("name", ["spectra/energy", "spectra/response_db", "spectra/phase", "training/proportion"])
def test_what_follows_from_the_rest_must_be_there_too(path, name):
    with h5py.File(path, "a") as file:
        del file[f"entry/{name}"]
    group, leaf = name.split("/")
    assert validate(path) == [f"/entry/{group}: {leaf!r} is missing"]


def test_every_layer_is_validated(several):
    with h5py.File(several, "a") as file:
        fill("entry/layers/block.0.conv/power", 1)(file)
        fill("entry/layers/block.1.conv/proportion", 0.1)(file)
        del file["entry/layers/stem"]
        file.copy("entry/spectra", file["entry/layers"], "stem")
    found = "\n".join(validate(several))
    assert "block.1.conv/proportion: its values do not follow" in found
    assert "power of layer 'block.0.conv': in 2 filters it does not sum" in found
    assert "must be the same object as" in found


def test_every_layer_of_a_sound_file_is(several):
    assert validate(several) == []
