"""Tools that open HDF5 files find the power spectrum, its axes and their names."""

import h5py
import numpy as np
import pytest


def test_xarray_has_named_dimensions_and_coordinates(path, spectra):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    with xarray.open_dataset(path, group="entry/spectra", engine="h5netcdf") as data:
        assert data["power"].dims == data["response_db"].dims == ("filter", "fy", "fx")
        assert data["weight"].dims == ("filter", "channel", "ky", "kx")
        assert data["phase"].dims == ("filter", "channel", "fy", "fx")
        assert data["log_gain"].dims == ("filter", "gain_fy", "gain_fx")
        np.testing.assert_array_equal(data["fy"], spectra.frequencies)
        assert data["fy"].attrs["units"] == "cycles/pixel"
        np.testing.assert_array_equal(data["shares"].sel(band="high"), spectra.shares[:, 1])
        np.testing.assert_array_equal(data["target"].sel(band=["low", "high"]), [0.75, 0.25])
        assert data["power"].sel(fy=0, fx=0.25).shape == (6,)
    with xarray.open_dataset(path, group="entry/training", engine="h5netcdf") as data:
        assert data["power"].dims == ("epoch", "filter", "fy", "fx")
        np.testing.assert_array_equal(data["weight"].sel(epoch=4), spectra.history.weight[1])
        np.testing.assert_array_equal(data["proportion"].sel(band="low"), spectra.history.proportion[:, 0])


def test_silx_finds_a_stack_of_images(path, several, layers):
    nxdata = pytest.importorskip("silx.io.nxdata")
    with h5py.File(path) as file:
        default = nxdata.get_default(file)
        assert default.is_valid
        assert (default.group.name, default.interpretation) == ("/entry/spectra", "image")
        assert default.signal_dataset_name == "power"
        assert default.axes_dataset_names == ["filter", "fy", "fx"]
        assert default.axes_names[1:] == ["fy (cycles/pixel)", "fx (cycles/pixel)"]
        assert default.auxiliary_signals_dataset_names == ["response_db"]
        training = nxdata.get_default(file["entry/training"])
        assert training.is_valid
        assert training.axes_dataset_names == ["epoch", "filter", "fy", "fx"]
    with h5py.File(several) as file:
        assert nxdata.get_default(file).is_valid
        for spectra in layers:
            data = nxdata.NXdata(file[f"entry/layers/{spectra.layer}"])
            assert data.is_valid, data.issues
            np.testing.assert_array_equal(data.signal, spectra.power)


def test_nexusformat_finds_plottable_data(several, layers):
    nexus = pytest.importorskip("nexusformat.nexus")
    root = nexus.nxload(str(several))
    data = root.plottable_data
    assert [axis.nxname for axis in data.nxaxes] == ["filter", "fy", "fx"]
    np.testing.assert_array_equal(data.nxsignal.nxdata, layers[0].power)
    np.testing.assert_array_equal(root["entry/layers/block.0.conv"].nxsignal.nxdata, layers[2].power)
