"""`freqfast spectra`."""

import json

import h5py
import numpy as np
import pytest
import torch
import torchvision

from freqfast.models.file import read_model
from freqfast.models.zoo import read_cards
from freqfast.spectra import measure_spectra
from freqfast.spectra.h5 import read_layers, read_spectra, write_spectra
from tests.support.finished import history_of, write_network


def test_export_opens_in_plain_h5py(accepted, checkpoint, place):
    result = accepted("spectra", checkpoint, "-o", "[red]out.h5")
    assert result.out.startswith("[red]out.h5: 8 filters of layer conv1, low ")
    weight = read_model(checkpoint).module.conv1.weight.detach().numpy()
    oracle = np.abs(np.fft.fftshift(np.fft.fft2(weight.astype(np.float64), s=(32, 32)), axes=(2, 3))) ** 2
    with h5py.File(place / "[red]out.h5") as file:
        np.testing.assert_allclose(file["entry/spectra/power"][()], oracle.sum(1) / 32**2, rtol=1e-4, atol=1e-7)
    assert [path.name for path in place.iterdir()] == ["[red]out.h5"]


def test_layers_points_and_bands(accepted, checkpoint, place):
    (place / "out.h5").write_text("a former file is replaced")
    result = accepted(
        "spectra", checkpoint, "-o", "out.h5", "--force", "--layers", "conv2, conv1", "--points", 16, "--bands", 3
    )
    assert "16 filters of layer conv2, low " in result.out
    assert ", mid " in result.out
    assert [(one.layer, one.power.shape) for one in read_layers("out.h5")] == [
        ("conv2", (16, 16, 16)), ("conv1", (8, 16, 16))
    ]  # fmt: skip


def test_all_layers_go_into_one_file(accepted, checkpoint, place):
    result = accepted("spectra", checkpoint, "-o", "all.h5", "--layers", "all")
    assert "; 2 layers, " in result.out  # a 1x1 shortcut has no spectrum
    weights = read_model(checkpoint).module.state_dict()
    with h5py.File(place / "all.h5") as file:
        for name, group in file["entry/layers"].items():
            np.testing.assert_array_equal(group["weight"], weights[f"{name}.weight"])


@pytest.fixture
def run(checkpoint, tmp_path):
    """What an export reads of a run: its model and the spectra that it recorded."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").touch()
    checkpoint.rename(tmp_path / "run" / "model.safetensors")
    model = read_model(tmp_path / "run").module
    history = history_of([model.conv1.weight.detach()] * 2)
    target = {"low": 0.25, "high": 0.75}
    recorded = measure_spectra(model, target=target, history=history, provenance={"recipe": "quickstart", "seed": 3})
    write_spectra(tmp_path / "run" / "spectra.h5", recorded)
    return tmp_path / "run"


def test_a_library_s_network_of_another_number_of_classes(accepted):
    torch.save(torchvision.models.squeezenet1_1(num_classes=3).state_dict(), "three.pth")
    words = ("--weights", "three.pth", "-o", "out.h5")
    assert ": 64 filters of layer features.0, " in accepted("spectra", "torchvision:squeezenet1_1", *words).out


def test_networks_of_the_zoo_have_their_files_hash(accepted):
    accepted("spectra", "zoo:robust-w16", "-o", "out.h5")
    assert read_spectra("out.h5").provenance["sha256"] == read_cards()["robust-w16"].sha256


def test_a_run_s_record_goes_along(accepted, run, place):
    accepted("spectra", run, "-o", "out.h5", "--layers", "all")
    first, second, *_ = read_layers(place / "out.h5")
    assert first.target == {"low": 0.25, "high": 0.75}
    assert first.history.epochs.tolist() == [0, 1]
    assert (second.target, second.history) == (None, None)
    assert {"recipe", "seed", "sha256", "source", "command"} == set(first.provenance)
    assert first.provenance["source"] == str(run)
    for option, value, target in (("--points", 64, first.target), ("--bands", 3, None)):
        accepted("spectra", run, "-o", "other.h5", option, value, "--force")
        other = read_spectra("other.h5")
        assert (other.target, other.history) == (target, None)


def test_the_target_of_another_layer_than_the_first_goes_along(accepted, run, place):
    target = {"low": 0.25, "high": 0.75}
    write_spectra(run / "spectra.h5", measure_spectra(read_model(run).module, "conv2", target=target))
    accepted("spectra", run, "-o", "out.h5", "--layers", "all")
    assert {s.layer: s.target for s in read_layers(place / "out.h5")} == {"conv1": None, "conv2": target}


def test_a_run_s_record_is_written_where_it_is_missing_and_never_replaced(accepted, refused, run):
    record = run / "spectra.h5"
    before = record.read_bytes()
    for words in ((run,), (run, "--bands", 3), ("zoo:robust-w16",)):
        assert "spectra.h5 is a file of the run run; choose another path" in refused(
            "spectra", *words, "-o", record, "--force"
        )
    assert record.read_bytes() == before
    record.unlink()
    accepted("spectra", run / "model.safetensors", "-o", record)


def test_a_record_that_is_damaged_or_another_model_s_is_named(accepted, run):
    write_network(run / "model.safetensors", "abcdefghij", seed=1)
    hostile = run.rename(run.with_name("\x1b[2J"))
    record = hostile / "spectra.h5"
    for out, reason in (("out.h5", "is of another model"), ("other.h5", "damaged")):
        if reason == "damaged":
            record.write_bytes(b"damaged")
        error = accepted("spectra", hostile, "-o", out, "--force").err
        assert error.startswith("freqfast: exported without the run's target and history: ")
        assert reason in error
        assert "\x1b" not in error
        found = read_spectra(out)
        assert (found.target, found.history, found.provenance.get("recipe")) == (None, None, None)


NETS = """
import torch
print("nets are read")
def alone():
    print("a net is built")
    return torch.nn.Conv2d(3, 8, 3)
def meta():
    with torch.device("meta"):
        return alone()
"""


def test_a_network_of_ones_own_that_is_a_layer_and_talks(call, accepted, place):
    (place / "nets.py").write_text(NETS)
    result = accepted("spectra", "./nets.py:alone", "--weights", "none", "-o", "a.h5")
    assert result.out.startswith("a.h5: 8 filters of layer (the model itself), low ")
    assert "a net is built" in result.err
    assert json.loads(accepted("quality", "./nets.py:alone", "--weights", "none", "--json").out)
    result = call("spectra", "./nets.py:meta", "--weights", "none", "-o", "out.h5")
    assert (result.code, result.out) == (2, "")
    assert "./nets.py:meta is on the meta device, where weights have no values; build it on the CPU" in result.err


@pytest.mark.parametrize("words", [("spectra", "-o", "out.h5"), ("evaluate",), ("heatmap",)])
def test_an_unfinished_run_is_no_network_yet(refused, run, words):
    (run / "model.safetensors").unlink()
    command, *others = words
    line = refused(command, run, *others)
    assert f"{run} is not finished and has no network yet; go on with `freqfast run --resume {run}`" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--layers", ","), "one or more layers of different names, got []"),
        (("--layer", "fc"), "layer 'fc' is a Linear, not a Conv2d"),
        (("-o", "report.json"), "cannot write report.json: its name must end in .h5 or .hdf5 or .nxs"),
    ],
)
def test_wrong_options(refused, checkpoint, words, message):
    assert message in refused("spectra", checkpoint, *words, *(() if "-o" in words else ("-o", "out.h5")))
