"""The commands of the analyses: on a run and on a bare model, what they refuse, and those of other packages."""

import errno
import json
import re
import sys
from dataclasses import replace
from unittest.mock import Mock

import h5py
import numpy as np
import pytest
from PIL import Image

from freqfast.analysis import ablate_bands, filter_quality, fourier_heat_map, frequency_reliance, read_analysis
from freqfast.compute.precision import resolve_precision
from freqfast.data import load_data
from freqfast.data.images import data_hash
from freqfast.models.classifier import Classifier, hash_weights
from freqfast.models.file import read_model
from freqfast.records import plain, write_record
from freqfast.report.page_figures import page_figures
from freqfast.runs.directory import RunDirectory
from freqfast.runs.environment import DataOrigin
from freqfast.runs.recipe import Recipe
from freqfast.spectral.modulation import effective_weight
from tests.support.finished import write_network, write_run
from tests.support.networks import classifier_of
from tests.support.runs import ENVIRONMENT

NORMALISATION = ("--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")


@pytest.fixture
def run(tmp_path):
    """A run on the tree, as far as an analysis needs it."""
    path = tmp_path / "a run [bold]"
    path.mkdir()
    write_network(path / "model.safetensors", ("narrow", "wide"))
    write_recipe(path)
    return path


def write_recipe(run, **settings):
    write_record(run / "recipe.toml", Recipe("a run", name="mine", model_options={"width": 8}, **settings))


def write_environment(run, tree, sha256="unknown"):
    data = DataOrigin("images", sha256, str(tree))
    write_record(run / "environment.json", replace(ENVIRONMENT, data=data))


def without_command(found):
    """What was found but for what the command adds of itself and its model."""
    values = found if isinstance(found, dict) else plain(found)
    return {key: value for key, value in values.items() if key not in ("command", "weights_sha256")}


def expected(kind, run, tree, **options):
    """What the function finds on the tree's test images."""
    checkpoint = read_model(run)
    classifier = Classifier(checkpoint)
    test = load_data("cifar10", tree).test
    functions = {"heatmap": fourier_heat_map, "reliance": frequency_reliance, "ablation": ablate_bands}
    return functions[kind](classifier, test.pixels, test.labels, **options)


@pytest.mark.parametrize(
    ("kind", "words", "options"),
    [
        ("heatmap", ("--norm", 2, "--seed", 5), {"norm": 2.0, "seed": 5}),
        ("reliance", ("--limit", 8), {}),
        ("ablation", ("--bands", 3, "--seed", 1), {"bands": 3, "seed": 1}),
    ],
)
def test_an_analysis_is_printed_kept_and_drawn(accepted, place, run, tree, kind, words, options):
    result = accepted(kind, run, "--data", tree, *words, "--json", "-o", "figure.svg")
    found = json.loads(result.out)
    assert plain(read_analysis(RunDirectory(run).analysis(kind))) == found
    origin = {"data": "tree", "data_sha256": data_hash(load_data("cifar10", tree))}
    assert without_command(found) == without_command(expected(kind, run, tree, **options)) | origin
    assert found["weights_sha256"] == hash_weights(read_model(run).module)
    assert found["command"].startswith(f"freqfast {kind} '{run}' --data {tree}")
    assert (place / "figure.svg").read_text().startswith("<?xml")


def test_the_first_line_names_the_model_and_the_images(accepted, run, tree, published):
    found = accepted("heatmap", run, "--data", tree, "--grid", 2).out
    assert found.startswith(f"{run} on tree, 8 images, {resolve_precision('auto', 'cpu')}\n")
    words = ("./foreign_net.py:net", "--weights", "theirs.th", *NORMALISATION, "--data", "photos", "--limit", 1)
    found = accepted("reliance", *words).out
    assert found.startswith("./foreign_net.py:net with theirs.th on photos, 1 image, float32\n")


def test_tables_and_lines_show_the_main_numbers(accepted, run, tree):
    for kind, words in (
        ("heatmap", ("error without perturbation", "mean error at L2 norm 4", "at low frequencies", "heatmap.json")),
        ("reliance", ("low-pass", "0.65", "on whole images", "reliance.json")),
        ("ablation", ("as many at random", "low", "high", "layer conv1", "whole model", "ablation.json")),
    ):
        result = accepted(kind, run, "--data", tree)
        assert all(word in result.out for word in words), result.out


def test_quality_needs_no_data(call, run):
    result = call("quality", run, "--layer", "conv2", "--json")
    weight = read_model(run).module.state_dict()["conv2.weight"]
    assert without_command(json.loads(result.out)) == without_command(filter_quality(weight.numpy(), "conv2"))
    assert "variance entropy" in call("quality", run).out


def test_a_model_that_is_not_a_run_is_analysed_and_nothing_is_kept(accepted, place, published):
    before = {*place.iterdir()}
    words = ("--weights", "theirs.th", *NORMALISATION, "--data", "photos", "--limit", 50, "-o", "figure.svg", "--json")
    result = accepted("reliance", "./foreign_net.py:net", *words)
    assert {*place.iterdir()} - before == {place / "figure.svg"}
    classifier = classifier_of(published)
    test = load_data("photos").test[:50]
    assert json.loads(result.out)["clean"] == (classifier.predict(test.pixels) == test.labels).mean()


def test_options_that_do_not_fit_the_model(refused, run, tree, published):
    line = refused(
        "reliance", "./foreign_net.py:net(num_classes=7)", *NORMALISATION, "--weights", "none", "--data", "photos"
    )
    assert "./foreign_net.py:net(num_classes=7) gives 7 logits, but photos has 10 classes" in line
    line = refused("reliance", "./foreign_net.py:net", "--weights", "none", "--data", tree)
    assert "./foreign_net.py:net lacks mean, std; add --mean R,G,B --std R,G,B" in line
    line = refused("reliance", run, *NORMALISATION, "--data", tree)
    assert "must be of its own normalisation; leave out --mean, --std" in line


@pytest.mark.parametrize("kind", ["reliance", "quality"])
def test_the_model_file_of_a_run_stands_for_the_run(call, run, tree, kind):
    write_recipe(run, holdout=6)
    write_environment(run, tree, data_hash(load_data("cifar10", tree)))
    found = json.loads(call(kind, run / "model.safetensors", "--json").out)
    assert found.get("images") == (None if kind == "quality" else 6)
    assert found == plain(read_analysis(RunDirectory(run).analysis(kind)))


def test_other_data_has_no_images_held_out(call, run, tree):
    write_recipe(run, holdout=6)
    write_environment(run, tree, "of other data")
    found = json.loads(call("reliance", run, "--data", tree, "--json").out)
    assert found["images"] == len(load_data("cifar10", tree).test)


def test_results_on_other_data_than_the_run_are_not_kept(call, run, tree):
    own = data_hash(load_data("cifar10", tree))
    write_environment(run, tree, own)
    assert call("reliance", run).err == ""
    kept = RunDirectory(run).analysis("reliance").read_bytes()
    Image.new("RGB", (16, 16)).save(next((tree / "test" / "narrow").iterdir()))
    other = data_hash(load_data("cifar10", tree))
    result = call("reliance", run, "--data", tree)
    assert (result.code, result.err) == (
        0,
        "freqfast: not kept in the run: tree is other data than that of "
        f"{run} (SHA-256 {other[:12]}..., the run's {own[:12]}...)\n",
    )
    assert "on whole images" in result.out
    assert RunDirectory(run).analysis("reliance").read_bytes() == kept


def test_a_result_that_cannot_be_kept_is_printed(accepted, run):
    (run / "analysis").write_text("in the way")
    result = accepted("quality", run)
    assert "sparsity" in result.out
    assert "not kept in the run" in result.err


def test_a_result_is_kept_and_printed_though_its_figure_fails(call, run, monkeypatch):
    fail = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    result = call("quality", run, "-o", "figure.png")
    assert (result.code, result.err) == (1, "freqfast: figure.png cannot be written (No space left on device)\n")
    assert "sparsity" in result.out
    assert RunDirectory(run).analysis("quality").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("heatmap", "absent"), "absent does not exist; name a run directory"),
        (("reliance", "RUN", "-o", "a.jpg"), "cannot write a.jpg: its name must end in .json or .png or .svg or .pdf"),
        (("heatmap", "RUN", "--norm", "nan"), "norm must be positive and at most 1,000,000, got nan"),
        (("ablation", "RUN", "--layer", "conv9"), "conv9"),
        (("reliance", "RUN", "--limit", "0"), "--limit"),
        (("ablation", "RUN", "--bands", "17"), "--bands"),
        (("heatmap", "RUN", "--device", "cuda:99"), "cuda"),
        (("reliance", "RUN", "--precision", "half"), "half"),
        (("reliance", "RUN", "--data", "photos"), "on the classes narrow, wide, but those of photos are astronaut"),
    ],
)
def test_invalid_arguments(refused, run, words, message):
    assert message in refused(*(run if word == "RUN" else word for word in words))


def test_quality_is_that_of_the_modulated_filters(call, run):
    write_network(run / "model.safetensors", ("narrow", "wide"), modulation=True, gains=True)
    conv = read_model(run).module.conv1
    found = json.loads(call("quality", run, "--json").out)["orthogonality"]
    assert found == filter_quality(effective_weight(conv).numpy()).orthogonality
    assert not np.isclose(found, filter_quality(conv.weight.detach().numpy()).orthogonality)


def test_a_closed_pipe_loses_no_figure(call, place, run, monkeypatch):
    closed = Mock(side_effect=BrokenPipeError(errno.EPIPE, "Broken pipe"))
    monkeypatch.setattr("freqfast.cli.output.console.print", closed)
    call("quality", run, "-o", "figure.png")
    assert [path.name for path in place.iterdir()] == ["figure.png"]


def test_an_analysis_of_another_package(call, accepted, place, tree, install, monkeypatch):
    """One module and its entry point: listed without import, run with its options, kept and drawn."""
    install("analyses", "from tests.support.ripple import ripple", ripple="ripple")
    run = write_run(place / "run", classes=("narrow", "wide"))
    write_environment(run, tree, data_hash(load_data("cifar10", tree)))
    monkeypatch.delitem(sys.modules, "tests.support.ripple", raising=False)
    words = call("--help").out
    assert re.search(r"ripple +An analysis by other-analyses\.", words)
    assert words.index("ripple") > words.index("report")
    assert "tests.support.ripple" not in sys.modules
    assert "How deep." in call("ripple", "--help").out
    assert "--depth" in call("ripple", run, "--depth", "0").err
    result = call("ripple", "run", "--depth", "4", "-o", "figure.png")
    line = f"run on tree, 8 images, {resolve_precision('auto', 'cpu')}\n"
    assert result.out.startswith(f"{line}ripples: 0.25\nwritten: run/analysis/ripple.json\n"), result.err
    found = read_analysis(run / "analysis" / "ripple.json")
    assert (found.share, found.images, found.data) == (0.25, 8, "tree")
    monkeypatch.setattr(
        "freqfast.report.page.page_figures",
        lambda entries: [figure for figure in page_figures(entries) if "ripples" in figure.alt],  # others take seconds
    )
    accepted("report", "run")
    page = (place / "report.html").read_text()
    assert 'alt="run: 0.25 ripples."' in page
    assert "freqfast ripple " in page


def test_corrupt_entry_points_leave_our_commands(call, accepted, run, monkeypatch):
    monkeypatch.setattr("freqfast.plugins._points", Mock(side_effect=TypeError("corrupt")))
    result = call("--help")
    assert "heatmap" in result.out
    assert "the entry points of an installed package cannot be read (TypeError: corrupt)" in result.err
    accepted("quality", run)
    assert call("ripple", run).code == 2


def test_features_as_hdf5_and_figure(call, run, tree, monkeypatch):
    monkeypatch.chdir(run.parent)
    words = ("features", run, "--data", tree, "-o", "f.h5", "-o", "f.png", "--json")
    told = json.loads(call(*words).out)
    assert told["stages"][0]["name"] == "conv1"
    with h5py.File("f.h5") as file:
        np.testing.assert_array_equal(file["entry/stage conv1/log_amplitude"], told["stages"][0]["log_amplitude"])
    assert Image.open("f.png").size > (300, 300)
    assert RunDirectory(run).analysis("features").is_file()
