"""`freqfast heatmap`, `reliance`, `ablation` and `quality`: on a run and on a bare checkpoint, and what they refuse."""

import errno
import json
import re
import shutil

import numpy as np
import pytest
import torch

from freqfast.analysis import (
    ablate_bands,
    analysis_file,
    filter_quality,
    fourier_heat_map,
    frequency_reliance,
    read_analysis,
)
from freqfast.data import load_data
from freqfast.model_file import read_model, write_model
from freqfast.models import build_model
from freqfast.recipe import Recipe
from freqfast.robustness import Classifier

MEASURED = ("heatmap", "reliance", "ablation")


@pytest.fixture
def run(tmp_path, tree):
    """A run on the tree, as far as an analysis needs it."""
    path = tmp_path / "a run [bold]"
    path.mkdir()
    torch.manual_seed(0)
    spec = {"name": "resnet18", "width": 8, "kernel_size": 3, "classes": 2}
    write_model(path / "model.safetensors", build_model(**spec), spec, ("dark", "light"), (0.5,) * 3, (0.25,) * 3)
    (path / "recipe.toml").write_text(Recipe(name="mine", description="", width=8).to_toml())
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
    found = expected(kind, run, tree, **options).to_dict()
    assert json.loads(result.out) == found
    assert read_analysis(analysis_file(run, kind)).to_dict() == found
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


def test_images_are_the_first_of_the_test_images(call, run, tree):
    found = json.loads(call("reliance", run, "--data", tree, "--images", 3, "--json").out)
    assert found["images"] == 3


def test_held_out_images_are_used_where_the_recipe_held_some_out(call, run, tree):
    (run / "recipe.toml").write_text(Recipe(name="mine", description="", width=8, holdout=6).to_toml())
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
    assert analysis_file(run, "quality").is_file()


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
        (("absent",), "absent/?.*does not exist; name a run directory or a model.safetensors"),
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
    from freqfast.modulation import apply_modulation, effective_weight

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
