"""`freqfast heatmap`, `reliance`, `ablation` and `quality`: on a run and on a bare checkpoint, and what they refuse."""

import errno
import json
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from freqfast.analysis import (
    ablate_bands,
    filter_quality,
    fourier_heat_map,
    frequency_reliance,
    read_analysis,
)
from freqfast.data import load_data
from freqfast.models.classifier import Classifier
from freqfast.models.file import read_model, write_model
from freqfast.models.resnet import build_model
from freqfast.runs.directory import RunDirectory
from freqfast.runs.environment import data_hash
from freqfast.runs.recipe import Recipe

MEASURED = ("heatmap", "reliance", "ablation")


@pytest.fixture
def run(tmp_path, tree):
    """A run on the tree, as far as an analysis needs it."""
    path = tmp_path / "a run [bold]"
    path.mkdir()
    torch.manual_seed(0)
    spec = {"name": "resnet18", "width": 8, "kernel_size": 3, "classes": 2}
    write_model(path / "model.safetensors", build_model(**spec), spec, ("dark", "light"), (0.5,) * 3, (0.25,) * 3)
    (path / "recipe.toml").write_text(Recipe(name="mine", description="", model_options={"width": 8}).to_toml())
    return path


def expected(kind, run, tree, **options):
    """What the function finds on the tree's test images."""
    checkpoint = read_model(run)
    classifier = Classifier(checkpoint.model, checkpoint.mean, checkpoint.std)
    test = load_data("cifar10", tree).test
    functions = {"heatmap": fourier_heat_map, "reliance": frequency_reliance, "ablation": ablate_bands}
    return functions[kind](classifier, test.images, test.labels, **options)


@pytest.mark.parametrize(
    ("kind", "words", "options"),
    [
        ("heatmap", ("--norm", 2, "--seed", 5), {"norm": 2.0, "seed": 5}),
        ("reliance", (), {}),
        ("ablation", ("--bands", 3, "--seed", 1), {"bands": 3, "seed": 1}),
    ],
)
def test_an_analysis_is_printed_kept_and_drawn(call, place, run, tree, kind, words, options):
    result = call(kind, run, "--data", tree, *words, "--json", "-o", "figure.svg")
    assert result.code == 0, result.err
    data = {"data": "images", "data_sha256": data_hash(load_data("cifar10", tree))}
    found = expected(kind, run, tree, **options).to_dict() | data
    assert json.loads(result.out) == found
    assert read_analysis(RunDirectory(run).analysis(kind)).to_dict() == found
    assert (place / "figure.svg").read_text().startswith("<?xml")


def test_tables_and_sentences_tell_the_main_numbers(call, run, tree):
    for kind, words in (
        ("heatmap", ("error without perturbation", "mean error at L2 norm 4", "at low frequencies", "heatmap.json")),
        ("reliance", ("below it kept", "0.65", "on whole images", "reliance.json")),
        ("ablation", ("as many at random", "low", "high", "layer conv1", "whole model", "ablation.json")),
    ):
        result = call(kind, run, "--data", tree)
        assert result.code == 0, result.err
        assert all(word in result.out for word in words), result.out


def test_quality_needs_no_data(call, run):
    result = call("quality", run, "--layer", "layer1.0.conv1", "--json")
    weight = read_model(run).model.state_dict()["layer1.0.conv1.weight"]
    assert json.loads(result.out) == filter_quality(weight.numpy(), "layer1.0.conv1").to_dict()
    assert "variance entropy" in call("quality", run).out


def test_a_bare_checkpoint_is_analysed_and_nothing_is_kept(call, place, run, tree):
    shutil.copy(run / "model.safetensors", place / "model.safetensors")
    result = call("ablation", "model.safetensors", "--data", tree, "-o", "figure.png")
    assert result.code == 0, result.err
    assert sorted(path.name for path in place.iterdir()) == ["figure.png", "model.safetensors"]


ZOO = """
from torch import nn

def net(classes=2):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes))

trained = net()

def many():
    return net(7)
"""


@pytest.fixture
def zoo(place, monkeypatch):
    """Models that are not ours: a function and an instance, both of two classes."""
    (place / "analysed_zoo.py").write_text(ZOO)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield "analysed_zoo"
    sys.modules.pop("analysed_zoo", None)


HALVES = ("--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")


@pytest.mark.parametrize("kind", MEASURED)
def test_every_model_is_analysed_and_of_others_nothing_is_kept(call, place, tree, zoo, kind):
    result = call(kind, f"{zoo}:trained", *HALVES, "--data", tree, "-o", "figure.svg", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["images"], found["data"]) == (8, "images")
    assert {path.name for path in place.iterdir()} == {"figure.svg", f"{zoo}.py"}
    model = sys.modules[zoo].trained
    classifier = Classifier(model, (0.5,) * 3, (0.25,) * 3, precision="float32")
    test = load_data("cifar10", tree).test
    clean = float((classifier.predict(test.images) == test.labels).mean())
    assert found.get("clean", 1 - found.get("clean_error", 1)) == pytest.approx(clean)


def test_weights_fill_a_model_that_is_not_ours(call, place, zoo):
    torch.manual_seed(3)
    layers = (torch.nn.Conv2d(3, 4, 3), torch.nn.Identity(), torch.nn.Flatten(), torch.nn.Linear(16, 2))
    torch.save(torch.nn.Sequential(*layers).state_dict(), place / "w.pth")
    found = json.loads(call("quality", f"{zoo}:net", "--weights", "w.pth", "--json").out)
    assert found == filter_quality(layers[0].weight.detach().numpy(), "0").to_dict()


def test_what_does_not_fit_a_model_that_is_not_ours(refused, run, tree, zoo):
    line = refused("reliance", f"{zoo}:many", *HALVES, "--data", "photos")
    assert "analysed_zoo:many gives 7 logits, but photos has 10 classes" in line
    line = refused("reliance", f"{zoo}:net", "--data", tree)
    assert "the normalisation of analysed_zoo:net is not known; pass --mean R,G,B" in line
    line = refused("reliance", run, *HALVES, "--data", tree)
    assert "must be of its own normalisation; leave out --mean, --std" in line
    assert "is built with the classes that it has; leave out --classes" in refused("quality", run, "--classes", 2)


@pytest.mark.parametrize("kind", [*MEASURED, "quality"])
def test_a_run_s_model_file_is_the_run(call, run, tree, kind):
    (run / "recipe.toml").write_text(
        Recipe(name="mine", description="", model_options={"width": 8}, holdout=6).to_toml()
    )
    (run / "environment.json").write_text(json.dumps({"data": {"name": "images", "path": str(tree)}}))
    found = json.loads(call(kind, run / "model.safetensors", "--json").out)
    assert found.get("images") == (None if kind == "quality" else 6)
    assert found == read_analysis(RunDirectory(run).analysis(kind)).to_dict()


def test_other_data_than_the_run_s_is_not_kept(call, run, tree):
    own = data_hash(load_data("cifar10", tree))
    (run / "environment.json").write_text(json.dumps({"data": {"name": "images", "path": str(tree), "sha256": own}}))
    assert call("reliance", run).err == ""
    kept = RunDirectory(run).analysis("reliance").read_bytes()
    Image.new("RGB", (16, 16)).save(next((tree / "test" / "dark").iterdir()))
    other = data_hash(load_data("cifar10", tree))
    result = call("reliance", run, "--data", tree)
    assert (result.code, result.err) == (
        0,
        "freqfast: not kept in the run: images is other data than that of "
        f"{run} (SHA-256 {other[:12]}..., the run's {own[:12]}...)\n",
    )
    assert "on whole images" in result.out
    assert RunDirectory(run).analysis("reliance").read_bytes() == kept


def test_images_are_the_first_of_the_test_images(call, run, tree):
    found = json.loads(call("reliance", run, "--data", tree, "--images", 3, "--json").out)
    assert found["images"] == 3


def test_held_out_images_are_used_where_the_recipe_held_some_out(call, run, tree):
    (run / "recipe.toml").write_text(
        Recipe(name="mine", description="", model_options={"width": 8}, holdout=6).to_toml()
    )
    assert json.loads(call("reliance", run, "--data", tree, "--json").out)["images"] == 6


def test_what_was_found_is_printed_where_it_cannot_be_kept(call, run, tree):
    (run / "analysis").write_text("in the way")
    result = call("quality", run)
    assert result.code == 0
    assert "sparsity" in result.out
    assert "not kept in the run" in result.err


def test_a_figure_that_fails_costs_nothing_else(call, run, monkeypatch):
    def fail(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    result = call("quality", run, "-o", "figure.png")
    assert (result.code, result.err) == (1, "freqfast: figure.png cannot be written (No space left on device)\n")
    assert "sparsity" in result.out
    assert RunDirectory(run).analysis("quality").is_file()


def test_an_interrupt_leaves_nothing(call, place, run, tree, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Classifier, "predict", stop)
    result = call("reliance", run, "--data", tree, "-o", "figure.png")
    assert (result.code, result.err) == (130, "freqfast: interrupted\n")
    assert not (run / "analysis").exists()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("kind", [*MEASURED, "quality"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("absent",), "absent does not exist; name a run directory, a .safetensors file of ours, timm:NAME"),
        (("RUN", "-o", "figure.jpg"), "cannot write figure.jpg: its name must end in .png or .svg or .pdf"),
        (("RUN", "-o", "nowhere/figure.png"), "folder nowhere does not exist"),
        (("RUN", "-o", "."), r"\. is a folder; name a file"),
    ],
)
def test_what_every_analysis_refuses(refused, run, kind, words, message):
    line = refused(kind, *(run if word == "RUN" else word for word in words))
    assert re.search(message, line), line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("heatmap", "--norm", "0"), "norm must be positive and at most 1,000,000, got 0"),
        (("heatmap", "--norm", "nan"), "norm must be positive and at most 1,000,000, got nan"),
        (("heatmap", "--norm", "2e6"), "norm must be positive and at most 1,000,000, got 2000000"),
        (("ablation", "--layer", "conv9"), "conv9"),
        (("reliance", "--images", "0"), "--images"),
        (("ablation", "--bands", "17"), "--bands"),
        (("heatmap", "--device", "cuda:99"), "cuda"),
        (("reliance", "--precision", "half"), "half"),
    ],
)
def test_unfit_values_are_named(refused, run, tree, words, message):
    assert message in refused(*words, run, "--data", tree)


def test_data_of_other_classes_is_refused(refused, run):
    line = refused("reliance", run, "--data", "photos")
    assert "was trained on the classes dark, light, but those of photos are astronaut" in line


def test_a_folder_of_a_data_set_s_name(call, place, run, tree):
    tree.rename(place / "photos")
    assert json.loads(call("reliance", run, "--data", "./photos", "--json").out)["images"] == 8


def test_damaged_checkpoints_are_refused(refused, run, tree):
    (run / "model.safetensors").write_bytes(b"x" * 100)
    assert "is not a sound safetensors file" in refused("quality", run)


def test_modulated_filters_count_as_they_are_applied(call, run):
    from freqfast.spectral.modulation import apply_modulation, effective_weight

    spec = {"name": "resnet18", "width": 8, "kernel_size": 3, "classes": 2}
    model = apply_modulation(build_model(**spec))
    with torch.no_grad():
        model.conv1.log_gain.normal_()
    write_model(run / "model.safetensors", model, spec, ("dark", "light"), (0.5,) * 3, (0.25,) * 3)
    found = json.loads(call("quality", run, "--json").out)
    weight = effective_weight(model.conv1).detach().numpy()
    assert found["orthogonality"] == pytest.approx(filter_quality(weight).orthogonality)
    assert not np.isclose(found["orthogonality"], filter_quality(model.conv1.weight.detach().numpy()).orthogonality)


def test_a_reader_who_has_gone_costs_no_figure(call, place, run, monkeypatch):
    def gone(*args, **options):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("freqfast.cli.analyses.console.print", gone)
    call("quality", run, "-o", "figure.png")
    assert [path.name for path in place.iterdir()] == ["figure.png"]
