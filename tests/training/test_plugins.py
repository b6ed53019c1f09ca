"""Callbacks and corruptions that other packages register."""

import os
import sys
from dataclasses import replace

import pytest

from freqfast.data import load_data
from freqfast.models.build import ModelSpec
from freqfast.plugins import import_object, plugin_versions
from freqfast.runs.recipe import Recipe
from freqfast.runs.run import load_run
from freqfast.spectra.h5 import read_spectra
from freqfast.training import RunStoppedError, build_callbacks, run_recipe
from freqfast.training.environment import describe_environment
from tests.support.tiny import FILES, TINY, stop_at


@pytest.fixture
def install_callback(install):
    """Registers a callback as "ours": the body of its class, and what stands before that."""
    return lambda body, before="": install(
        "callbacks",
        f"{before}\nfrom fastai.callback.core import Callback\nclass Ours(Callback):\n{body}\n",
        ours="Ours",
    )


def built(**options):
    (callback,) = build_callbacks(Recipe("x", callbacks={"ours": options}))
    return callback


def test_arguments_of_a_callback(install_callback):
    install_callback(
        "    def __init__(self, strength: float, names: list[str] | None = None):\n"
        "        assert strength\n"
        "        self.strength, self.names = strength, names"
    )
    callback = built(strength=2, names=["a"])
    assert (type(callback).__name__, callback.strength, callback.names) == ("Ours", 2, ["a"])
    for options, message in (
        ({"strength": "2"}, "ours.strength must be a valid number, got '2'"),
        ({"strength": 1, "names": [1]}, r"ours\.names"),
        ({}, "ours: .*strength"),
        ({"strength": 0}, "ours: AssertionError"),
        ({"weakness": 1}, "ours has no argument 'weakness'; its arguments are strength, names"),
    ):
        with pytest.raises(ValueError, match=message):
            built(**options)


def test_a_callback_of_the_same_name_as_one_of_freqfasts(install):
    body = "class GaussianNoise(Callback):\n    def __init__(self, strength): self.strength = strength"
    install("callbacks", f"from fastai.callback.core import Callback\n{body}\n", ours="GaussianNoise")
    assert built(strength=2).strength == 2


def test_annotations_for_type_checkers_alone_are_not_checked(install_callback):
    install_callback(
        "    def __init__(self, limits: Sequence): self.limits = limits",
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING: from collections.abc import Sequence",
    )
    assert built(limits=[1]).limits == [1]
    with pytest.raises(ValueError, match="ours has no argument 'limit'"):
        built(limit=[1])


def test_an_entry_point_that_is_no_callback_is_named(install):
    install("callbacks", "class Ours: pass", ours="Ours")
    message = r"callback entry point 'ours' \(other_callbacks:Ours\) is no class of fastai callbacks"
    with pytest.raises(ValueError, match=message):
        built()


def test_what_is_installed_comes_before_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "tabnanny.py").write_text("check = 'not the library'")
    monkeypatch.delitem(sys.modules, "tabnanny", raising=False)
    monkeypatch.chdir(tmp_path)
    assert callable(import_object("tabnanny:check"))


def test_an_import_by_name_leaves_the_search_path_as_it_is(monkeypatch):
    for before in (["", *sys.path], [place for place in sys.path if place]):  # of a notebook, and of a script
        monkeypatch.setattr(sys, "path", list(before))
        assert import_object("math:tau") > 6
        assert sys.path == before


def test_versions_of_packages_are_in_the_environment(install_callback):
    before = plugin_versions()
    assert "freqfast" not in before  # it is listed by itself
    install_callback("    pass")
    assert plugin_versions() == before | {"other-callbacks": "1.0"}
    found = describe_environment(Recipe("x", data="photos"), load_data("photos"), None, "cpu", "auto")
    assert found.packages["other-callbacks"] == "1.0"


@pytest.mark.parametrize(("event", "left"), [("after_create", False), ("before_fit", True)])
def test_callback_that_adds_a_parameter_is_refused_before_the_first_step(install_callback, tree, tmp_path, event, left):
    install_callback(
        f"    def {event}(self): self.learn.model.extra = torch.nn.Parameter(torch.ones(1))\n"
        "    def before_step(self): raise AssertionError('a step was made')",
        "import torch",
    )
    with pytest.raises(ValueError, match=r"^the model could not be read back from its file: .*extra") as caught:
        run_recipe(replace(TINY, callbacks={"ours": {}}), tmp_path / "run", tree, "cpu")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run").exists() == left


@pytest.mark.parametrize(
    ("model", "options", "layer"),
    [
        ("small", {"channels": 4}, "0"),
        ("timm:test_efficientnet", {"pad_type": "same"}, "conv_stem"),
    ],
)
def test_recipe_of_another_model(install, tree, tmp_path, two_corruptions, model, options, layer):
    source = (
        "from torch import nn\n"
        "def build(classes, channels=8):\n"
        "    pool = nn.AdaptiveAvgPool2d(1), nn.Flatten()\n"
        "    return nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), *pool, nn.Linear(channels, classes))\n"
    )
    install("models", source, small="build")
    callbacks = {"frequency_proportion": {"proportions": {"low": 1.0}}}
    recipe = replace(TINY, model=model, model_options=options, epochs=1, callbacks=callbacks)
    with pytest.raises(RunStoppedError):
        run_recipe(recipe, tmp_path / "run", tree, "cpu", stop=stop_at(1))
    run = run_recipe(recipe, tmp_path / "run", tree, "cpu", resume=True)
    assert run.report.proportion.after == (1.0, 0.0)
    assert set(run.report.accuracy) == {"pixelate", "contrast"}
    assert read_spectra(run.path / "spectra.h5").layer == layer
    assert load_run(run.path).network.spec == ModelSpec(model, {"classes": 2} | options)


def test_faulty_corruption_is_refused_before_the_training(install, tree, tmp_path):
    install("corruptions", "def bad(images, severity, rng): return images / 2 if severity == 5 else images", bad="bad")
    message = "^corruption 'bad' turned uint8 .* into .*float32.*; repair it or uninstall its package"
    with pytest.raises(ValueError, match=message):
        run_recipe(TINY, tmp_path / "run", tree, "cpu")
    assert not (tmp_path / "run").exists()


def test_run_whose_evaluation_fails_keeps_its_weights_and_goes_on(install, tree, tmp_path, monkeypatch):
    """Such as a corruption that fails on some images only; what is no ValueError has a note of that."""
    source = (
        "def bad(images, severity, rng):\n    if len(images) > 1: raise KeyError('many')\n    return 255 - images\n"
    )
    install("corruptions", source, bad="bad")
    monkeypatch.setattr("freqfast.training.outcome.available", lambda: ("contrast", "bad"))
    recipe, out = replace(TINY, epochs=1), tmp_path / "run"
    with pytest.raises(ValueError, match=r"corruption 'bad' failed .*many.*; the trained weights are kept; .* resumed"):
        run_recipe(recipe, out, tree, "cpu")
    assert (out / "model.safetensors").exists()
    monkeypatch.setattr(sys.modules["other_corruptions"], "bad", lambda images, severity, rng: 255 - images)
    trained = (out / "metrics.csv").read_text()
    with monkeypatch.context() as patch:
        patch.setattr("freqfast.robustness.CorruptionResult.save", lambda self, path: 1 / 0)
        with pytest.raises(ZeroDivisionError) as caught:
            run_recipe(recipe, out, tree, "cpu", resume=True)
    assert "the trained weights are kept" in caught.value.__notes__[0]
    run = run_recipe(recipe, out, tree, "cpu", resume=True)
    assert set(run.report.accuracy) == {"contrast", "bad"}
    assert (out / "metrics.csv").read_text() == trained  # its clock times too
    assert sorted(os.listdir(out)) == FILES
