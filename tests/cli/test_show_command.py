"""`freqfast show`."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from freqfast.corruptions.registry import MEANS
from freqfast.records import write_record
from freqfast.robustness import CorruptionResult
from freqfast.runs.directory import RunDirectory
from freqfast.runs.report import Proportions
from freqfast.spectra import SpectraHistory, measure_layers, measure_spectra
from freqfast.spectra.h5 import read_spectra, write_spectra
from freqfast.spectral.bands import Bands
from tests.support.finished import measured, write_run


def rows_of(out):
    """The cells of all tables' rows."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]


def blur_and_edge():
    """A layer of one low-frequency and one high-frequency filter, and one of zeros."""
    layer = nn.Conv2d(1, 3, 3)
    kernels = [[1, 2, 1], [2, 4, 2], [1, 2, 1]], [[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.zeros((3, 3))
    layer.weight.data = torch.tensor(np.array(kernels), dtype=torch.float32)[:, None]
    return layer


@pytest.fixture
def exported(place):
    """An export with a target and a history."""
    first = measure_spectra(blur_and_edge())
    write_spectra(
        "one.h5",
        measure_spectra(
            nn.Sequential(blur_and_edge()),
            target={"low": 0.75, "high": 0.25},
            history=SpectraHistory([0, 7], [first.power] * 2, [first.weight] * 2, [first.shares] * 2),
            provenance={"recipe": "quickstart", "seed": 3},
        ),
    )
    return place / "one.h5"


def test_tables_of_a_layer(accepted, exported):
    out = accepted("show", exported).out
    assert "layer 0, weight 3x1x3x3; 2 records up to epoch 7\n" in out
    assert "weight 3x1x3x3; recipe quickstart; seed 3; 2 records" in accepted("show", exported, "--provenance").out
    shares = read_spectra(exported).shares
    energy = [f"{50 * share:.2f}" for share in shares[0] + shares[1]]  # both filters' squares sum to 36
    assert rows_of(out) == [
        ["low", "0.000 to 0.399", "66.67", "75.00", energy[0]],  # a silent filter counts for the lowest band
        ["high", "0.399 to 0.707", "33.33", "25.00", energy[1]],
        ["0", "low", "36", f"low {100 * shares[0, 0]:.3g} %, high {100 * shares[0, 1]:.3g} %"],
        ["1", "high", "36", f"low {100 * shares[1, 0]:.3g} %, high {100 * shares[1, 1]:.3g} %"],
        ["2", "silent", "0", "low 0 %, high 0 %"],
    ]


def test_several_layers_have_a_table(call, place):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 7), nn.Conv2d(8, 5, 3))
    write_spectra("several.h5", measure_layers(model))
    out = call("show", "several.h5").out
    shown = [(one.layer, "x".join(map(str, one.weight.shape)), one.proportion) for one in measure_layers(model)]
    assert rows_of(out)[:2] == [
        [name, shape, f"low {100 * low:.3g} %, high {100 * high:.3g} %"] for name, shape, (low, high) in shown
    ]
    assert len(rows_of(out)) == 2 + 2 + 8
    assert len(json.loads(call("show", "several.h5", "--json").out)["layers"]) == 2
    one = call("show", "several.h5", "--layer", "1").out
    assert "layer 1, weight 5x8x3x3\n" in one
    assert len(rows_of(one)) == 2 + 5


def test_many_bands_fit_a_narrow_terminal(call, monkeypatch):
    monkeypatch.setattr("freqfast.cli.output.console.width", 50)
    write_spectra("bands.h5", measure_spectra(nn.Conv2d(3, 1, 7), bands=Bands.equal_area(9)))
    out = call("show", "bands.h5").out.partition("\n")[2]
    assert max(map(len, out.splitlines())) <= 50
    words = " ".join(row[3] for row in rows_of(out)[-9:])
    assert all(f"band{i} {100 * share:.3g} %" in words for i, share in enumerate(read_spectra("bands.h5").shares[0]))


def test_a_filter_s_power_by_radial_frequency(accepted, exported):
    """The blur is separable: its response is (2 + 2 cos 2 pi fx) times the same of fy, and 16 at its peak, 0."""
    tables = [rows_of(accepted("show", exported, "--filter", number).out) for number in range(3)]
    assert [rows[2][:3] for rows in tables] == [["0", "low", "36"], ["1", "high", "36"], ["2", "silent", "0"]]
    f = np.arange(-16, 16) / 32
    power = np.multiply.outer(2 + 2 * np.cos(2 * np.pi * f), 2 + 2 * np.cos(2 * np.pi * f)) ** 2 / 16**2
    rings = np.rint(16 * np.hypot(f[:, None], f)).ravel().astype(int)
    means = np.bincount(rings, power.ravel()) / np.bincount(rings)
    expected = [[f"{ring / 16:.3f}", f"{10 * np.log10(mean):.1f}"] for ring, mean in enumerate(means)]
    assert tables[0][3:] == expected
    assert tables[1][3] == ["0.000", "-120.0"]
    assert {decibel for _, decibel in tables[2][3:]} == {"-120.0"}


def test_json_holds_the_same_numbers(call, exported):
    content = json.loads(call("show", exported, "--json").out)
    spectra = read_spectra(exported)
    assert (content["run"], content["provenance"]) == (None, {"recipe": "quickstart", "seed": 3})
    (layer,) = content["layers"]
    bands, filters = layer["bands"], layer["filters"]
    assert [list(band.values()) for band in bands] == [
        [name, list(spectra.bands.edges[i : i + 2]), spectra.proportion[i], target, spectra.energy_proportion[i]]
        for i, (name, target) in enumerate(spectra.target.items())
    ]
    assert [one["class"] for one in filters] == ["low", "high", "silent"]
    assert [one["energy"] for one in filters] == pytest.approx([36, 36, 0])
    assert [one["shares"]["low"] for one in filters] == spectra.shares[:, 0].tolist()
    assert layer["shape"] == [3, 1, 3, 3]
    (layer,) = json.loads(call("show", exported, "--json", "--filter", 1).out)["layers"]
    (shown,) = layer["filters"]
    np.testing.assert_array_equal(np.float32(shown["power"]), spectra.power[1])
    assert shown["frequencies_cpp"] == (np.arange(-16, 16) / 32).tolist()
    assert shown["decibels_by_radius_cpp"]["0.0"] == -120


def test_refusals(refused, exported):
    assert "has no filter 3; its filters are 0 to 2" in refused("show", exported, "--filter", 3)
    assert "has no layer 'conv9'; its layers are 0" in refused("show", exported, "--layer", "conv9")
    exported.write_bytes(b"PK\3\4 a zip")
    assert f"{exported}: it is not an HDF5 file of filter spectra" in refused("show", exported)


def test_a_run(call, accepted, place):
    """Its accuracy comes first, then the spectra that it exported, which options ask for alone."""
    run = RunDirectory(write_run(place / "finished"))
    write_record(run.report, replace(run.read_report(), proportion=Proportions((0.25, 0.75), (1.0, 0.0))))
    result = accepted("show", "finished")
    assert "clean accuracy" in result.out.partition("spectra.h5: layer ")[0]
    rows = rows_of(result.out)
    found = CorruptionResult.load("finished/evaluation.json")
    for name in ("mean15", "mean7"):
        low, high = (100 * end for end in found.interval(MEANS[name]))
        assert [name, f"{100 * found.mean(MEANS[name]):.2f} % (95 %: {low:.2f} to {high:.2f})"] in rows
    assert ["frequency proportion before", "low 25 %, high 75 %"] in rows
    assert ["frequency proportion after", "low 100 %, high 0 %"] in rows
    assert ["seconds", "90 training, 1 evaluation"] in rows
    assert call("show", "finished", "--filter", 0).out == call("show", "finished/spectra.h5", "--filter", 0).out
    content = json.loads(call("show", "finished", "--json").out)
    accuracy = content.pop("run")
    assert content | {"run": None} == json.loads(call("show", "finished/spectra.h5", "--json").out)
    assert accuracy.pop("accuracy") == pytest.approx(found.by_corruption)
    means = {name: found.mean(MEANS[name]) for name in ("mean15", "mean7")}
    assert accuracy == pytest.approx({"clean": found.clean, "corrupted": found.mean(), **means})


def test_a_run_of_a_recipe_without_a_name(accepted, place):
    assert accepted("show", write_run(place / "run", name="")).out.strip().startswith("a recipe, 2 epochs, seed 0")


def test_an_unfinished_run(call, accepted, refused, place):
    """Its spectra are shown once they are written, since the evaluation that follows may take long."""
    run = RunDirectory(write_run(place / "a run", name=""))
    assert accepted("show", "a run").out.strip().startswith("a recipe, 2 epochs, seed 0")
    run.report.unlink()
    assert accepted("show", "a run").out.startswith("a run is not finished")
    assert json.loads(call("show", "a run", "--json").out)["run"] is None
    run.spectra.unlink()
    message = "a run/spectra.h5 is missing; `freqfast run --resume 'a run'` writes it"
    assert message in refused("show", "a run")
    run.recipe.unlink()
    assert "a run is no run directory: recipe.toml is missing" in refused("show", "a run")


def test_a_run_without_its_outcomes_by_image_has_no_intervals(accepted, place):
    """They are gone, or were measured again on other images."""
    run = RunDirectory(write_run(place / "run"))
    assert accepted("show", run.path).out.count("95 %") == 4  # clean, corrupted, mean15, mean7
    measured(dict.fromkeys(CorruptionResult.load(run.evaluation).outcomes, 0.5), images=40).save(run.evaluation)
    assert accepted("show", run.path).out.count("95 %") == 1  # of the clean images, by the report
    run.evaluation.unlink()
    assert accepted("show", run.path).out.count("95 %") == 1


def test_a_run_without_its_spectra_names_the_command_that_writes_them(call, place):
    RunDirectory(write_run(place / "a run")).spectra.unlink()
    result = call("show", "a run")
    assert (result.code, "clean accuracy" in result.out) == (2, True)
    command = "freqfast spectra 'a run' -o 'a run/spectra.h5'"
    assert result.err == f"freqfast: a run/spectra.h5 is missing; `{command}` writes it\n"
    assert call(*shlex.split(command)[1:]).code == call("show", "a run").code == 0
