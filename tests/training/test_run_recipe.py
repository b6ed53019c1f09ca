import csv
import hashlib
import json
import os
import subprocess
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from freqfast import effective_weight
from freqfast.corruptions import CORRUPTIONS, available
from freqfast.data import load_data
from freqfast.robustness import CorruptionResult
from freqfast.runs.recipe import Recipe
from freqfast.spectra.h5 import read_spectra
from freqfast.spectral.modulation import SpectralConv2d
from freqfast.training import build_learner, environment, fit_recipe, run_recipe
from tests.support.tiny import FILES, TINY, outcome


@pytest.fixture(scope="module")
def finished(tree, tmp_path_factory):
    """A finished run, made once: its directory, what `run_recipe` returned, and the progress it reported."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("runs")
    patch.setenv("FREQFAST_CACHE", str(folder / "cache"))
    calls = []
    run = run_recipe(TINY, folder / "deep" / "run", tree, "cpu", lambda *call: calls.append(call))
    patch.undo()
    return folder / "deep" / "run", run, calls


# What a run leaves


def test_exactly_the_files_of_a_run(finished):
    folder, run, _ = finished
    assert sorted(os.listdir(folder)) == FILES
    assert os.listdir(folder.parent) == ["run"]  # no temporary directory stays beside it
    assert run.path == folder


def test_outcomes_image_by_image_agree_with_the_report(finished):
    folder, run, _ = finished
    found = CorruptionResult.load(folder / "evaluation.json").to_dict()
    assert {name: run.report[name] for name in found} == found
    assert found["intervals"]["clean"][0] <= found["clean"] <= found["intervals"]["clean"][1]


def test_report(finished):
    folder, run, _ = finished
    report = json.loads((folder / "report.json").read_text())
    assert report == run.report
    assert set(report) >= {
        "schema", "version", "recipe", "seed", "epochs", "precision", "clean", "corrupted", "mean15", "mean19",
        "families", "accuracy", "images", "missing", "bands", "proportion", "seconds",
    }  # fmt: skip
    assert report["schema"] == 1
    assert (report["recipe"], report["seed"], report["epochs"]) == ("tiny", 0, 2)
    assert report["precision"] == "float32"
    assert report["bands"] == ["low", "high"]
    assert report["proportion"]["after"] == [0.75, 0.25]
    assert report["proportion"]["target"] == [0.75, 0.25]
    assert sum(report["proportion"]["before"]) == pytest.approx(1)
    assert set(report["accuracy"]) == set(available())
    assert report["missing"] == [name for name in CORRUPTIONS if name not in available()]
    assert report["images"] == 2
    cells = [accuracy for by in report["accuracy"].values() for accuracy in by.values()]
    assert {len(by) for by in report["accuracy"].values()} == {5}
    assert set(cells) <= {0.0, 0.5, 1.0}
    assert report["corrupted"] == pytest.approx(np.mean(cells))
    assert report["clean"] in np.arange(9) / 8
    assert all(seconds > 0 for seconds in report["seconds"].values())


def test_metrics(finished):
    folder, _, _ = finished
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "train_loss", "valid_loss", "accuracy", "low", "high", "time"]
    assert [row["epoch"] for row in rows] == ["0", "1"]
    for row in rows:
        assert float(row["low"]) == 0.75
        assert float(row["high"]) == 0.25
        assert 0 <= float(row["accuracy"]) <= 1
        assert float(row["train_loss"]) > 0


def test_environment(finished):
    folder, run, _ = finished
    assert set(run.environment) == {
        "freqfast", "git", "python", "platform", "processor", "instructions", "gpu", "cuda", "device", "threads",
        "precision", "packages", "data", "recipe_sha256",
    }  # fmt: skip
    assert run.environment["device"] == "cpu"
    assert run.environment["threads"] == 1
    assert run.environment["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert run.environment["packages"]["scikit-image"]  # makes the corruptions
    digest = hashlib.sha256((folder / "recipe.toml").read_bytes()).hexdigest()
    assert run.environment["recipe_sha256"] == digest


def test_git_state_is_that_of_the_code_that_runs(tmp_path, monkeypatch):
    monkeypatch.undo()
    package = tmp_path / "freqfast"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr("freqfast.__file__", str(package / "__init__.py"))
    assert environment._git_state() is None
    for words in (("init", "-q"), ("add", "freqfast"), ("commit", "-qm", "all")):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True)
    state = environment._git_state()
    assert len(state.pop("commit")) == 40
    assert state == {"modified": False}
    (package / "__init__.py").write_text("1")
    assert environment._git_state().modified is True
    (tmp_path / "other").mkdir()  # installed inside another project's checkout
    (tmp_path / "other" / "__init__.py").write_text("")
    monkeypatch.setattr("freqfast.__file__", str(tmp_path / "other" / "__init__.py"))
    assert environment._git_state() is None


def test_recipe_is_the_resolved_one(finished):
    folder, run, _ = finished
    assert run.recipe == TINY
    assert Recipe.from_toml((folder / "recipe.toml").read_text(encoding="utf-8")) == TINY


def test_model_is_the_trained_one(finished, tree):
    _, run, _ = finished
    data = load_data("cifar10", tree)
    assert run.stored.classes == ("narrow", "wide")
    assert (run.stored.mean, run.stored.std) == (data.mean, data.std)
    assert isinstance(run.model.conv1, SpectralConv2d)
    assert run.model.conv1.log_gain.abs().max() > 0  # trained
    pixels = (data.test.images / 255 - np.array(data.mean)) / np.array(data.std)
    predicted = run.model(torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32)).argmax(1).numpy()
    assert (predicted == data.test.labels).mean() == run.report["clean"]


def test_spectra_are_those_of_the_model(finished):
    folder, run, _ = finished
    weight = effective_weight(run.model.conv1).double().numpy()
    with h5py.File(folder / "spectra.h5") as file:
        power = file["entry/spectra/power"][()]
        assert file["entry/spectra/power"].shape == (8, 32, 32)
        np.testing.assert_allclose(power.sum((1, 2)), (weight**2).sum((1, 2, 3)), rtol=1e-5)


def test_progress_covers_fit_and_evaluation(finished):
    _, _, calls = finished
    stages = {message.split()[0] for _, _, message in calls}
    assert "epoch" in stages
    assert calls[-1][0] == calls[-1][1] == 1 + 5 * len(available())
    steps = [call for call in calls if call[2].startswith("epoch")]
    assert [done for done, _, _ in steps] == [1, 2, 3, 4]
    assert {total for _, total, _ in steps} == {4}


def test_readable_by_others(finished):
    folder, _, _ = finished
    old = os.umask(0)
    os.umask(old)
    assert (folder / "report.json").stat().st_mode & 0o777 == 0o666 & ~old


def test_recipe_toml_reproduces_the_run(finished, tree, tmp_path):
    folder, _, _ = finished
    torch.manual_seed(99)  # whatever state the process is in
    recipe = Recipe.from_toml((folder / "recipe.toml").read_text(encoding="utf-8"))
    again = run_recipe(recipe, tmp_path / "again", tree, "cpu")
    assert outcome(again.path) == outcome(folder)


def test_another_seed_is_another_run(tree):
    data = load_data("cifar10", tree)
    weights = []
    for seed in (0, 0, 1):
        learn = build_learner(replace(TINY, seed=seed, epochs=1), data, "cpu")
        with learn.no_bar(), learn.no_logging():
            fit_recipe(learn, replace(TINY, epochs=1))
        weights.append(effective_weight(learn.model.conv1))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_all_test_images(tree, tmp_path, monkeypatch):
    monkeypatch.setattr("freqfast.training.outcome.available", lambda: ("pixelate",))
    run = run_recipe(replace(TINY, test_images=0, epochs=1, callbacks={}), tmp_path / "run", tree)
    assert run.report["images"] == 8
    assert run.report["proportion"]["target"] is None
    assert run.report["mean15"] is None
    assert run.report["families"] == {}
    assert run.report["corrupted"] == pytest.approx(np.mean(list(run.report["accuracy"]["pixelate"].values())))


def test_spectra_are_measured_on_the_recorders_grid(tree, tmp_path, two_corruptions):
    callbacks = {"spectrum_recorder": {"n": 16, "layer": "layer1.0.conv1"}}
    run = run_recipe(replace(TINY, epochs=1, callbacks=callbacks), tmp_path / "run", tree, "cpu")
    spectra = read_spectra(run.path / "spectra.h5")
    assert spectra.layer == "layer1.0.conv1"
    assert spectra.power.shape == (8, 16, 16)
    assert spectra.history.power.shape == (2, 8, 16, 16)
