"""`freqfast show`."""

import json
import shlex
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
import torch
from rich.console import Console
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


@pytest.fixture
def several(place):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 7), nn.Conv2d(8, 5, 3))
    write_spectra("several.h5", measure_layers(model))
    return place / "several.h5"


@pytest.fixture
def terminal(monkeypatch, accepted):
    """Shows as a terminal of this width does: the characters with their escape sequences, the head left out."""

    def terminal(width, *words, **options):
        settings = {"force_terminal": True, "color_system": "truecolor", "_environ": {}} | options
        console = Console(file=StringIO(), width=width, height=30, markup=False, highlight=False, **settings)
        monkeypatch.setattr("freqfast.cli.show.console", console)
        accepted("show", *words)
        return console.file.getvalue()

    return terminal


def test_tables_of_a_layer(accepted, exported):
    result = accepted("show", exported)
    assert "\x1b" not in result.out  # no colours in a pipe
    head, _, tables = result.out.partition("frequency proportion")
    assert "layer 0, 3 filters of 1x3x3, spectra of 32x32 points" in head
    assert "recipe quickstart; seed 3; 2 records up to epoch 7" in head
    assert "█ low 0.000 to 0.399, ▒ high 0.399 to 0.707" in head
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in tables.splitlines() if line.startswith("│")]
    shares = read_spectra(exported).shares
    energy = [f"{50 * share:.2f}" for share in shares[0] + shares[1]]  # both filters' squares sum to 36
    # A silent filter counts for the lowest band.
    assert rows[:2] == [["low", "2", "66.67", "75.00", energy[0]], ["high", "1", "33.33", "25.00", energy[1]]]
    assert [row[:3] for row in rows[2:]] == [["0", "low", "36"], ["1", "high", "36"], ["2", "silent", "0"]]
    assert [float(row[4]) for row in rows[2:]] == pytest.approx(100 * shares[:, 0], abs=0.05)
    assert [row[3].count("█") for row in rows[2:]] == np.rint(24 * shares[:, 0]).tolist()
    assert [row[3].count("▒") for row in rows[2:]] == [24 - rows[2][3].count("█"), 24 - rows[3][3].count("█"), 0]


def test_several_layers_have_a_table(call, several):
    out = call("show", several).out
    assert "8x3x7x7" in out
    assert "5x8x3x3" in out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "x3x" in line]
    layers = [read_spectra(several, name) for name in "01"]
    assert [row[3:] for row in rows[-2:]] == [[f"{100 * share:.0f}" for share in one.proportion] for one in layers]
    assert out.count("energy by band in percent") == 1
    assert len(json.loads(call("show", several, "--json").out)["layers"]) == 2
    one = call("show", several, "--layer", "1").out
    assert "layer 1, 5 filters of 8x3x3," in one
    assert "8x3x7x7" not in one


def test_layers_of_other_bands_have_bars_alone(call):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 7))
    write_spectra("two.h5", [measure_spectra(model, "0"), measure_spectra(model, "1", bands=3)])
    (head,) = (line for line in call("show", "two.h5").out.splitlines() if "weight" in line)
    assert [cell.strip() for cell in head.split("┃")[1:-1]] == ["layer", "weight", "proportion"]


def test_bars_have_the_bands_colours(terminal, exported):
    text = terminal(80, exported)
    assert "\x1b[38;2;0;114;178m█" in text  # low is blue, as in every figure
    assert "\x1b[38;2;213;94;0m█" in text
    for options in ({"no_color": True}, {"force_terminal": False, "color_system": None}):
        plain = terminal(80, exported, **options)
        assert "[38;" not in plain
        assert "█▒" in plain


@pytest.mark.parametrize(
    ("width", "points", "words"), [(40, 32, ()), (60, 100, ("--filter", 1)), (80, 32, ()), (200, 100, ("--filter", 1))]
)
def test_fits_the_terminal(terminal, width, words, points):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3))
    write_spectra("two.h5", measure_layers(model, n=points))
    body = terminal(width, "two.h5", *words, color_system=None)
    assert max(map(len, body.splitlines())) <= width
    assert "…" not in body.replace("pro…", "")
    if not words:
        assert all(f"{100 * share:.1f}" in body for share in read_spectra("two.h5").shares.ravel())


def test_many_bands_have_no_columns(call):
    write_spectra("bands.h5", measure_spectra(nn.Conv2d(3, 4, 7), bands=Bands.equal_area(9)))
    assert call("show", "bands.h5").out.splitlines()[-2].count("│") == 5


def test_draws_a_filter_s_spectrum(call, terminal, exported):
    def picture(number):
        out = call("show", exported, "--filter", number).out
        assert "\x1b" not in out
        assert out.count("(cycles/pixel)") == 2
        return [line.partition("│")[2] for line in out.splitlines() if "│" in line]

    blur, edge, silent = (picture(number) for number in range(3))
    assert len(blur) == 16  # two rows a line
    assert {len(row) for row in blur} == {32}
    assert (blur[7][16], blur[15][0]) == ("@", " ")  # fx = 0 is column 16, fy = 0 between lines 7 and 8
    assert (edge[7][16], edge[15][0]) == (" ", "@")
    assert set("".join(silent)) == {" "}
    low, high = (f"{100 * share:.2f} %" for share in read_spectra(exported).shares[0])
    assert f"filter 0: low, energy 36; low {low}, high {high}\n" in call("show", exported, "--filter", 0).out
    assert "\x1b[38;2;253;231;37" in terminal(80, exported, "--filter", 0)  # viridis' yellow


def test_a_picture_has_fy_upwards_and_30_db_from_blank_to_black(call, several):
    level = 10 * np.log10((power := read_spectra(several, "0").power[3].astype(float)) / power.max())
    dense = (1 + level / 30).clip(0, 1)[::-1].reshape(16, 2, 32).mean(1)  # two rows a line, the highest first
    lines = [line.split("│") for line in call("show", several, "--filter", 3).out.splitlines() if "│" in line]
    assert [line for _, line in lines] == ["".join(" .:-=+*#%@"[round(9 * x)] for x in row) for row in dense]
    assert {i: label.strip() for i, (label, _) in enumerate(lines) if label.strip()} == {
        3: "0.25", 7: "0", 11: "-0.25", 15: "-0.5",
    }  # fmt: skip


def test_json_holds_the_same_numbers(call, exported):
    content = json.loads(call("show", exported, "--json").out)
    (layer,) = content["layers"]
    spectra = read_spectra(exported)
    assert content["provenance"]["seed"] == 3
    assert [band["target"] for band in layer["bands"]] == [0.75, 0.25]
    assert [band["proportion"] for band in layer["bands"]] == pytest.approx([2 / 3, 1 / 3])
    assert [f["shares"]["low"] for f in layer["filters"]] == spectra.shares[:, 0].tolist()
    assert [f["class"] for f in layer["filters"]] == ["low", "high", "silent"]
    assert [f["energy"] for f in layer["filters"]] == pytest.approx([36, 36, 0])
    edges = list(spectra.bands.edges)
    assert [band["edges_cpp"] for band in layer["bands"]] == [edges[:2], edges[1:]]
    assert [band["energy_proportion"] for band in layer["bands"]] == spectra.energy_proportion.tolist()
    assert layer["shape"] == [3, 1, 3, 3]
    (layer,) = json.loads(call("show", exported, "--json", "--filter", 1).out)["layers"]
    (shown,) = layer["filters"]
    np.testing.assert_array_equal(np.float32(shown["power"]), spectra.power[1])
    assert shown["frequencies_cpp"] == (np.arange(-16, 16) / 32).tolist()


def test_refusals(refused, exported):
    assert "has no filter 3; its filters are 0 to 2" in refused("show", exported, "--filter", 3)
    assert "has no layer 'conv9'; its layers are 0" in refused("show", exported, "--layer", "conv9")
    exported.write_bytes(b"PK\3\4 a zip")
    assert f"{exported}: it is not an HDF5 file" in refused("show", exported)


def test_a_run(call, accepted, place):
    """Its accuracy comes first, then the spectra that it exported, which options ask for alone."""
    run = RunDirectory(write_run(place / "finished"))
    write_record(run.report, replace(run.read_report(), proportion=Proportions((0.25, 0.75), (1.0, 0.0))))
    result = accepted("show", "finished")
    assert "clean accuracy" in result.out.partition("spectra.h5: layer ")[0]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.out.splitlines() if "│" in line]
    found = CorruptionResult.load("finished/evaluation.json")
    for name in ("mean15", "mean7"):
        low, high = (100 * end for end in found.interval(MEANS[name]))
        assert [name, f"{100 * found.mean(MEANS[name]):.2f} % (95 %: {low:.2f} to {high:.2f})"] in rows
    assert ["frequency proportion before", "low 25 %, high 75 %"] in rows
    assert ["frequency proportion after", "low 100 %, high 0 %"] in rows
    assert ["seconds", "90 training, 1 evaluation"] in rows
    for words in (("--json",), ("--filter", 0)):
        assert call("show", "finished", *words).out == call("show", "finished/spectra.h5", *words).out


def test_a_run_of_a_recipe_without_a_name(accepted, place):
    assert accepted("show", write_run(place / "run", name="")).out.strip().startswith("a recipe, 2 epochs, seed 0")


def test_an_unfinished_run(call, accepted, refused, place):
    """Its spectra are shown once they are written, since the evaluation that follows may take long."""
    run = write_run(place / "a run")
    (run / "report.json").unlink()
    result = accepted("show", "a run")
    assert result.out.startswith("a run is not finished")
    assert call("show", "a run", "--json").out.startswith("{")
    (run / "spectra.h5").unlink()
    assert "a run is not finished and has no spectra yet; go on with `freqfast run --resume 'a run'`" in refused(
        "show", "a run"
    )
    (run / "recipe.toml").unlink()
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
    run = RunDirectory(write_run(place / "a run"))
    run.spectra.unlink()
    result = call("show", "a run")
    assert (result.code, "clean accuracy" in result.out) == (2, True)
    command = "freqfast spectra 'a run' -o 'a run/spectra.h5'"
    assert result.err == f"freqfast: a run/spectra.h5 is missing; `{command}` writes it\n"
    assert call(*shlex.split(command)[1:]).code == 0
    assert call("show", "a run").code == 0
