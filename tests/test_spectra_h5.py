import os
import random
import signal
import time
from datetime import datetime

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import freqfast.spectra_h5.writing as writing
from freqfast.bands import Bands, band_shares
from freqfast.modulation import apply_modulation
from freqfast.spectra import Spectra, SpectraHistory, measure_spectra
from freqfast.spectra_h5 import read_spectra, validate, write_spectra
from freqfast.spectrum import power_spectrum


def make_spectra(filters=6, channels=3, kernel=(3, 3), bands=None, n=16, epochs=0, gains=None, seed=0, **options):
    """Spectra of random filters; gains is "filter", "layer" or None."""
    torch.manual_seed(seed)
    bands = bands or Bands.equal_area(2)
    model = nn.Sequential(nn.Conv2d(channels, filters, kernel))
    if gains:
        apply_modulation(model, per_filter=gains == "filter", seed=0)
        nn.init.normal_(model[0].log_gain)
    history = None
    if epochs:
        weights = [torch.randn(filters, channels, *kernel) for _ in range(epochs)]
        history = SpectraHistory(
            epochs=range(3, 3 + epochs),
            power=[power_spectrum(w, n).numpy() for w in weights],
            weight=[w.numpy() for w in weights],
            shares=[band_shares(w, bands).numpy() for w in weights],
            log_gain=[model[0].log_gain_grid().numpy() + i for i in range(epochs)] if gains else None,
        )
    return measure_spectra(model, bands=bands, n=n, history=history, **options)


@pytest.fixture
def spectra():
    """Spectra with everything that a file can hold."""
    return make_spectra(
        epochs=3,
        gains="filter",
        target={"low": 0.75, "high": 0.25},
        provenance={"recipe": "π\n" * 40_000, "seed": -(2**63), "lr": 0.1, "loss": float("nan"), "empty": ""},
    )


@pytest.fixture
def path(tmp_path, spectra):
    """A sound file of these spectra."""
    write_spectra(tmp_path / "spectra.h5", spectra)
    return tmp_path / "spectra.h5"


def assert_same(a, b):
    """Two dataclasses hold the same values of the same types, bit for bit."""
    assert type(a) is type(b)
    for name, value in vars(a).items():
        other = getattr(b, name)
        if isinstance(value, np.ndarray):
            assert (value.dtype, value.shape) == (other.dtype, other.shape), name
            assert value.tobytes() == other.tobytes(), name
        elif isinstance(value, SpectraHistory):
            assert_same(value, other)
        elif isinstance(
            value, dict
        ):  # a file does not keep the order of its attributes; repr takes NaN as equal to NaN
            assert repr(sorted(value.items())) == repr(sorted(other.items())), name
        else:
            assert repr(value) == repr(other), name


# The form that tools need


def test_plain_h5py_sees_the_schema(path, spectra):
    with h5py.File(path) as file:
        assert {k: file.attrs[k] for k in ("NX_class", "default", "creator", "file_name", "freqfast_schema")} == {
            "NX_class": "NXroot",
            "default": "entry",
            "creator": "freqfast",
            "file_name": "spectra.h5",
            "freqfast_schema": 1,
        }
        assert datetime.fromisoformat(file.attrs["file_time"]).tzinfo is not None
        assert (file.attrs["HDF5_Version"], file.attrs["h5py_version"]) == (h5py.version.hdf5_version, h5py.__version__)
        group = file[file.attrs["default"]][file["entry"].attrs["default"]]
        assert (file["entry"].attrs["NX_class"], group.attrs["NX_class"]) == ("NXentry", "NXdata")
        assert list(group.attrs["axes"]) == ["filter", "fy", "fx"]
        signal = group[group.attrs["signal"]]
        assert signal.attrs["interpretation"] == "image"
        assert (signal.compression, signal.shuffle, signal.chunks) == ("gzip", True, (6, 16, 16))
        for name in ("fy", "fx"):
            assert group[name].attrs["units"] == "cycles/pixel"
            assert group[name].attrs["long_name"] == f"{name} (cycles/pixel)"
        assert dict(file["entry/provenance"].attrs)["seed"] == -(2**63)
        training = file["entry/training"]
        assert list(training.attrs["axes"]) == ["epoch", "filter", "fy", "fx"]
        assert list(training.attrs["default_slice"]) == ["2", "0", ".", "."]
        np.testing.assert_array_equal(training["epoch"], [3, 4, 5])


def test_text_is_scalar_and_every_dimension_has_one_scale(path):
    own = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}
    datasets = []

    def visit(name, item):
        for key in set(item.attrs) - own - {"axes", "default_slice"}:
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
    assert len(datasets) == 14


def test_parseval_holds_in_the_file(path):
    with h5py.File(path) as file:
        for name in ("entry/spectra", "entry/training"):
            power, weight = file[name]["power"][()], file[name]["weight"][()]
            np.testing.assert_allclose(power.sum((-2, -1)), np.square(weight).sum((-3, -2, -1)), rtol=1e-5)


def test_xarray_has_named_dimensions(path, spectra):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    with xarray.open_dataset(path, group="entry/spectra", engine="h5netcdf") as data:
        assert data["power"].dims == ("filter", "fy", "fx")
        assert data["weight"].dims == ("filter", "channel", "ky", "kx")
        assert data["log_gain"].dims == ("filter", "gain_fy", "gain_fx")
        np.testing.assert_array_equal(data["fy"], spectra.frequencies)
        np.testing.assert_array_equal(data["shares"].sel(band="high"), spectra.shares[:, 1])
        np.testing.assert_array_equal(data["target"].sel(band=["low", "high"]), [0.75, 0.25])
        assert data["power"].sel(fy=0, fx=0.25).shape == (6,)
    with xarray.open_dataset(path, group="entry/training", engine="h5netcdf") as data:
        assert data["power"].dims == ("epoch", "filter", "fy", "fx")
        np.testing.assert_array_equal(data["weight"].sel(epoch=4), spectra.history.weight[1])


def test_silx_finds_an_image_stack(path):
    nxdata = pytest.importorskip("silx.io.nxdata")
    with h5py.File(path) as file:
        default = nxdata.get_default(file)
        assert default.is_valid
        assert (default.group.name, default.interpretation) == ("/entry/spectra", "image")
        assert default.axes_dataset_names == ["filter", "fy", "fx"]
        assert nxdata.get_default(file["entry/training"]).is_valid


# Round trip


@settings(max_examples=15, deadline=None)
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
def test_round_trip_is_exact(tmp_path_factory, bands, names, provenance, **options):
    spectra = make_spectra(
        bands=Bands.equal_area(bands, names[:bands]), target={names[0]: 1}, provenance=provenance, **options
    )
    path = tmp_path_factory.mktemp("round") / "spectra.h5"
    write_spectra(path, spectra)
    assert_same(read_spectra(path), spectra)
    assert validate(path) == []


def test_everything_returns(path, spectra):
    assert_same(read_spectra(path), spectra)
    assert_same(read_spectra(str(path)), spectra)
    assert validate(path) == []


def test_a_model_is_measured(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    write_spectra(tmp_path / "model.h5", model)
    assert_same(read_spectra(tmp_path / "model.h5"), measure_spectra(model))


def test_a_bare_convolution_has_an_empty_name(tmp_path):
    write_spectra(tmp_path / "conv.h5", nn.Conv2d(3, 4, 3))
    assert read_spectra(tmp_path / "conv.h5").layer == ""


def test_same_spectra_make_the_same_bytes(tmp_path, spectra):
    contents = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_spectra(tmp_path / folder / "spectra.h5", spectra)
        with h5py.File(tmp_path / folder / "spectra.h5") as file:
            stamp = file.attrs["file_time"].encode()
        contents.append((tmp_path / folder / "spectra.h5").read_bytes().replace(stamp, b"-" * len(stamp)))
    assert contents[0] == contents[1]


def test_large_layers_are_chunked_by_filters(tmp_path):
    write_spectra(tmp_path / "large.h5", make_spectra(filters=300, n=32, epochs=1))
    with h5py.File(tmp_path / "large.h5") as file:
        assert file["entry/spectra/power"].chunks == (64, 32, 32)
        assert file["entry/training/power"].chunks == (1, 64, 32, 32)


# Whole or not at all


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file(path, spectra, monkeypatch, error):
    before = path.read_bytes()

    def fail(*args):
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(error)) as caught:
        write_spectra(path, spectra)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    if isinstance(error, OSError):
        assert str(caught.value) == f"cannot write {path}: No space left on device; choose another path"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_killed_write_leaves_a_whole_file(tmp_path):
    path = tmp_path / "spectra.h5"
    versions = [make_spectra(epochs=4, seed=seed) for seed in (0, 1)]
    write_spectra(path, versions[0])
    for _ in range(10):
        child = os.fork()
        if child == 0:
            while True:
                for spectra in versions:
                    write_spectra(path, spectra)
        time.sleep(random.uniform(0.005, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert validate(path) == []
        assert read_spectra(path).weight.tobytes() in [v.weight.tobytes() for v in versions]


def test_folders_that_do_not_serve(tmp_path, spectra):
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        write_spectra(tmp_path / "absent" / "spectra.h5", spectra)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file does not exist|cannot write"):
        write_spectra(tmp_path / "file" / "spectra.h5", spectra)
    with pytest.raises(OSError, match=r"cannot write .*choose another path"):
        write_spectra(tmp_path, spectra)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="nothing is forbidden to root")
def test_forbidden_places(path, spectra):
    path.chmod(0)
    with pytest.raises(PermissionError, match="cannot read"):
        read_spectra(path)
    path.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="cannot write"):
            write_spectra(path, spectra)
    finally:
        path.parent.chmod(0o700)


def test_too_large_to_read_is_too_large_to_write(tmp_path, spectra, monkeypatch):
    monkeypatch.setattr(writing, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1,000 fit"):
        write_spectra(tmp_path / "spectra.h5", spectra)
    assert list(tmp_path.iterdir()) == []


def test_a_reserved_provenance_name(tmp_path):
    with pytest.raises(ValueError, match="NX_class"):
        write_spectra(tmp_path / "spectra.h5", make_spectra(provenance={"NX_class": "NXroot"}))


# Bad input


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
    "newer": (lambda f: f.attrs.__setitem__("freqfast_schema", 2), "schema 2 is newer than 1.*upgrade freqfast"),
    "odd schema": (lambda f: f.attrs.__setitem__("freqfast_schema", "1"), "must be a positive integer"),
    "schema array": (lambda f: f.attrs.__setitem__("freqfast_schema", [1]), "must be a scalar"),
    "foreign": (lambda f: f.attrs.__delitem__("freqfast_schema"), "no export of freqfast"),
    "no entry": (lambda f: f.__delitem__("entry"), "/entry is missing"),
    "no spectra": (lambda f: f.__delitem__("entry/spectra"), "/entry/spectra is missing"),
    "no power": (lambda f: f.__delitem__("entry/spectra/power"), "/entry/spectra/power is missing"),
    "no layer": (lambda f: f["entry/spectra"].attrs.__delitem__("layer"), "no attribute 'layer'"),
    "group for power": (
        lambda f: (f.__delitem__("entry/spectra/power"), f.create_group("entry/spectra/power")),
        "not a",
    ),
    "NaN": (fill("entry/spectra/power", np.nan), "power holds NaN or infinite values in 6 of 6"),
    "infinite history": (fill("entry/training/weight", np.inf), "history.weight holds NaN"),
    "NaN target": (fill("entry/spectra/target", np.nan), "proportions must be finite"),
    "bands apart": (fill("entry/spectra/band_lower", 0.2), "must adjoin"),
    "fx unlike fy": (fill("entry/spectra/fx", 0), "must be equal"),
    "text power": (replace("entry/spectra/power", data="none"), "must hold numbers"),
    "numeric bands": (replace("entry/spectra/band", data=[1, 2]), "must hold up to 1024 names"),
    "three targets": (replace("entry/spectra/target", data=[0.5, 0.5, 0.0]), "must have 2 values"),
    "absurd": (
        replace("entry/spectra/power", shape=(10**6, 10**4, 10**4), dtype="f4", chunks=(1, 8, 8)),
        "absurd shape",
    ),
    "never stored": (
        replace("entry/spectra/power", shape=(6, 4000, 4000), dtype="f4", chunks=(1, 8, 8)),
        "absurd shape",
    ),
    "vast chunk": (
        replace("entry/spectra/fy", shape=(16,), maxshape=(None,), dtype="f8", chunks=(2**28 + 1,)),
        "absurd shape",
    ),
    "no dataspace": (replace("entry/spectra/fy", data=h5py.Empty("f8")), "is empty"),
    "soft link": (relink("entry/spectra", h5py.SoftLink("/entry/elsewhere")), "is a link to somewhere else"),
    "external link": (relink("entry/training", h5py.ExternalLink("o.h5", "/")), "/entry/training is a link"),
    "external storage": (stored_outside, "stored in another file"),
    "virtual dataset": (virtual, "stored in another file"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_refuses_in_one_line(path, case):
    edit, message = UNREADABLE[case]
    with h5py.File(path, "a") as file:
        edit(file)
    with pytest.raises(ValueError, match=message) as error:
        read_spectra(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "; " in str(error.value)
    assert "\n" not in str(error.value)
    assert validate(path) == [str(error.value)]


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "not an HDF5 file"), (b"PK\3\4 a zip", "not an HDF5 file"), (None, "truncated")]
)
def test_refuses_files_that_are_no_hdf5(path, content, message):
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(ValueError, match=message) as error:
        read_spectra(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert validate(path) == [str(error.value)]


@pytest.mark.parametrize("use", [read_spectra, validate])
def test_refuses_absent_files_and_folders(tmp_path, use):
    with pytest.raises(FileNotFoundError, match=r"absent\.h5 does not exist"):
        use(tmp_path / "absent.h5")
    with pytest.raises(ValueError, match="not a regular file"):
        read_spectra(tmp_path)


def test_refuses_damaged_values(path):
    with h5py.File(path) as file:
        chunk = file["entry/training/power"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="truncated or damaged") as error:
        read_spectra(path)
    assert "\n" not in str(error.value)


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
    "double power": (fill("entry/spectra/power", 1), "in 6 filters the power does not sum"),
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


def test_additions_are_no_departure(path):
    with h5py.File(path, "a") as file:
        file["entry"].create_group("layers").attrs["NX_class"] = "NXcollection"
        file.attrs["note"] = "mine"
    assert validate(path) == []
