import json
import re
from datetime import datetime

import h5py
import numpy as np
import pytest

import freqfast.spectra.h5
from freqfast.spectra.h5 import write_spectra
from freqfast.spectra.h5.schema import SCHEMA


def test_a_file_says_what_it_is_and_where_it_comes_from(path):
    assert path.read_bytes()[8] == 3  # the superblock's version; from 2 on everything but text has checksums
    with h5py.File(path) as file:
        assert (file.attrs["creator"], file.attrs["file_name"]) == ("freqfast", "spectra.h5")
        assert datetime.fromisoformat(file.attrs["file_time"]).tzinfo is not None
        group = file[file.attrs["default"]][file["entry"].attrs["default"]]
        signal, training = group[group.attrs["signal"]], file["entry/training"]
        images = (signal, group["response_db"], training["power"])
        assert {image.attrs["interpretation"] for image in images} == {"image"}
        assert signal.attrs["normalization"] == "sums over fy and fx to the squared L2 norm of the filter's weight"
        assert (signal.compression, signal.shuffle, signal.chunks) == ("gzip", True, (6, 16, 16))
        assert file["entry/title"].asstr()[()] == group.attrs["title"] == "Power spectra of the filters of 0, seed 3"
        assert list(training.attrs["default_slice"]) == ["2", "0", ".", "."]


def kind_of(dataset):
    """A dataset as the description writes it: its dtype and, unless it is an axis, its dimensions."""
    if dataset.shape == ():
        return "UTF-8 text[]"
    dtype = "UTF-8 name" if h5py.check_string_dtype(dataset.dtype) else str(dataset.dtype)
    if dataset.is_scale:
        return dtype
    return f"{dtype}[{', '.join(dim[0].name.rsplit('/', 1)[-1] for dim in dataset.dims)}]"


def compare(described, group):
    """The names, dtypes and dimensions of a group are those that the description has."""
    names = {name.rstrip("?"): value for name, value in described.items() if not name.startswith(("@", "<"))}
    assert set(group) == set(names), group.name
    attributes = {name.strip("@?"): value for name, value in described.items() if name.startswith("@")}
    if "<name>" not in attributes:
        assert set(group.attrs) == set(attributes), group.name
        for name in ("NX_class", "default", "signal", "axes", "auxiliary_signals", "freqfast_schema"):
            assert np.array_equal(group.attrs.get(name, 0), attributes.get(name, 0)), name
    for name, value in names.items():
        if isinstance(value, dict):
            compare(value, group[name])
        elif value.startswith("same as"):
            assert kind_of(group[name]) == kind_of(group[value.split()[-1]])
        else:
            assert re.match(re.escape(kind_of(group[name])) + r"($|[;,])", value), (name, kind_of(group[name]))


def described():
    """The description in the module's docstring."""
    text = freqfast.spectra.h5.__doc__
    return json.loads(text[text.index("{") : text.rindex("}\n") + 1])


def test_the_file_matches_the_documented_schema(path):
    schema = described()
    assert schema["@freqfast_schema"] == SCHEMA
    del schema["entry"]["layers?"]  # of a file of one layer
    with h5py.File(path) as file:
        compare(schema, file)


def test_the_layers_match_the_documented_schema(several):
    schema = described()["entry"]
    with h5py.File(several) as file:
        layers = file["entry/layers"]
        assert (layers.attrs["NX_class"], layers["stem"]) == (schema["layers?"]["@NX_class"], file["entry/spectra"])
        assert list(layers) == ["stem", "block.1.conv", "block.0.conv"]  # the model's order
        for name, group in layers.items():
            absent = {name for name in schema["spectra"] if name.endswith("?") and name.strip("@?") not in group}
            compare({k: v for k, v in schema["spectra"].items() if k not in absent or k.startswith("@")}, group)
            assert group.attrs["layer"] == name


def test_derived_arrays_are_written(path, spectra):
    with h5py.File(path) as file:
        for name in ("response_db", "phase", "band_index", "energy", "proportion", "energy_proportion"):
            np.testing.assert_array_equal(file["entry/spectra"][name], getattr(spectra, name))
        for name in ("band_index", "proportion"):
            np.testing.assert_array_equal(file["entry/training"][name], getattr(spectra.history, name))


@pytest.mark.parametrize("place", ["entry/spectra", "entry/training"])
def test_a_dataset_has_units_or_a_name_in_words(path, place):
    """Axes of integers and names have neither."""
    with h5py.File(path) as file:
        for name, dataset in file[place].items():
            is_count = name in ("epoch", "filter", "channel", "band")
            assert ("units" in dataset.attrs) + ("long_name" in dataset.attrs) == (not is_count), name
            assert dataset.attrs.get("units") == "cycles/pixel" or not name.endswith(("fy", "fx", "lower", "upper"))
        for name, unit in (("response_db", "dB"), ("phase", "rad"), ("kx", "pixel")):
            assert file["entry/spectra"][name].attrs["units"] == unit


def test_axes_of_kernels_that_are_not_square(tmp_path, make_spectra):
    write_spectra(tmp_path / "wide.h5", make_spectra(kernel=(3, 4), gains="filter"))
    with h5py.File(tmp_path / "wide.h5") as file:
        for axis, size in (("y", 3), ("x", 4)):
            np.testing.assert_array_equal(file[f"entry/spectra/k{axis}"], np.arange(size))
            frequencies = np.fft.fftshift(np.fft.fftfreq(size))
            np.testing.assert_allclose(file[f"entry/spectra/gain_f{axis}"], frequencies)


def test_text_is_scalar_and_every_dimension_has_one_scale(path):
    own = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}
    datasets = []

    def visit(name, item):
        for key in set(item.attrs) - own - {"axes", "auxiliary_signals", "default_slice"}:
            if isinstance(item.attrs[key], str):
                kind = h5py.check_string_dtype(item.attrs.get_id(key).dtype)
                assert (item.attrs.get_id(key).shape, kind) == ((), ("utf-8", None)), (name, key)
        if isinstance(item, h5py.Dataset) and not item.is_scale:
            datasets.append(name)
            for axis, dim in enumerate(item.dims):
                (scale,) = dim.values()
                assert scale.parent == item.parent
                assert scale.shape == (item.shape[axis],)

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)
    assert len(datasets) == 20  # and the title, which has no dimension


def test_large_layers_are_chunked_by_filters(tmp_path, make_spectra):
    write_spectra(tmp_path / "large.h5", make_spectra(filters=80, n=32, epochs=1))
    with h5py.File(tmp_path / "large.h5") as file:
        assert file["entry/spectra/power"].chunks == (64, 32, 32)
        assert file["entry/training/power"].chunks == (1, 64, 32, 32)
