import h5py
import numpy as np
import pytest

from freqfast.run import load_checkpoint


def test_export_opens_in_plain_h5py(call, checkpoint, place):
    result = call("spectra", checkpoint, "-o", "[red]out.h5")
    assert result.code == 0, result.err
    assert result.out.startswith("[red]out.h5: 4 filters of layer conv1, low ")
    weight = load_checkpoint(checkpoint).model.conv1.weight.numpy()
    oracle = np.abs(np.fft.fftshift(np.fft.fft2(weight.astype(np.float64), s=(32, 32)), axes=(2, 3))) ** 2
    with h5py.File(place / "[red]out.h5") as file:
        np.testing.assert_allclose(file["entry/spectra/power"][()], oracle.sum(1) / 32**2, rtol=1e-4, atol=1e-7)
    assert [path.name for path in place.iterdir()] == ["[red]out.h5"]


def test_layer_points_and_bands(call, checkpoint, place):
    words = ("--layer", "layer2.0.conv1", "--points", 16, "--bands", 3)
    result = call("spectra", checkpoint, "--output", "out.h5", *words)
    assert result.code == 0, result.err
    assert "8 filters of layer layer2.0.conv1, low " in result.out
    assert ", mid " in result.out
    with h5py.File(place / "out.h5") as file:
        assert file["entry/spectra/power"].shape == (8, 16, 16)


def test_a_former_export_is_replaced(call, checkpoint, place):
    (place / "out.h5").write_text("old")
    assert call("spectra", checkpoint, "-o", "out.h5").code == 0
    assert h5py.is_hdf5(place / "out.h5")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--layer", "nosuch"), "layer 'nosuch' is not in the model"),
        (("--layer", "fc"), "layer 'fc' is a Linear, not a Conv2d"),
        (("--points", "2"), "n must be at least the kernel's size 3, got 2"),
        (("--points", "-4"), "n must be at least the kernel's size 3, got -4"),
    ],
)
def test_wrong_options(refused, checkpoint, words, message):
    assert message in refused("spectra", checkpoint, "-o", "out.h5", *words)


def test_unwritable_output_is_named(refused, checkpoint, place):
    assert "folder absent does not exist" in refused("spectra", checkpoint, "-o", "absent/out.h5")
    (place / "folder").mkdir()
    assert "folder" in refused("spectra", checkpoint, "-o", "folder")
    (place / "file").write_text("in the way")
    assert "file does not exist" in refused("spectra", checkpoint, "-o", "file/out.h5")


def test_missing_and_damaged_checkpoints_are_named(refused, checkpoint):
    assert "absent does not exist" in refused("spectra", "absent", "-o", "out.h5")
    checkpoint.write_bytes(b"\x80\x04N.")
    assert "is not a sound safetensors file" in refused("spectra", checkpoint, "-o", "out.h5")
