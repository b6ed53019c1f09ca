"""What a run leaves in its directory."""

import csv
import json
import os
import platform
import subprocess
import weakref
from dataclasses import replace
from itertools import product
from pathlib import Path
from unittest.mock import Mock

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import freqfast
from freqfast import effective_weight
from freqfast.corruptions import CORRUPTIONS, available, corrupt
from freqfast.data import load_data
from freqfast.data.images import data_hash
from freqfast.files import file_sha256
from freqfast.models.classifier import hash_weights
from freqfast.preprocessing import Preprocessing
from freqfast.robustness import CLEAN, CorruptionResult
from freqfast.robustness.in_memory import evaluate_images
from freqfast.runs.environment import DataOrigin
from freqfast.runs.recipe import Recipe
from freqfast.runs.run import load_run
from freqfast.spectra.h5 import read_spectra
from freqfast.spectral.modulation import SpectralConv2d
from freqfast.training import RunStoppedError, environment, preparation, run_recipe
from freqfast.training.outcome import _provenance, source_of_run
from tests.support.cells import cell_of
from tests.support.tiny import FILES, TINY, stop_at

git_state = environment._git_state  # which the fixtures replace


@pytest.fixture(scope="module")
def calls():
    """The progress that the run reports."""
    return []


@pytest.fixture(scope="module")
def run(tree, calls, tmp_path_factory):
    """A finished run, made once."""
    out = tmp_path_factory.mktemp("runs") / "deep" / "run"
    return run_recipe(TINY, out, tree, "cpu", lambda *call: calls.append(call))


def test_files(run):
    assert sorted(os.listdir(run.path)) == FILES
    assert Recipe.read(run.path / "recipe.toml") == run.recipe == TINY
    assert os.listdir(run.path.parent) == ["run"]  # no temporary directory stays beside it


def test_report(run):
    report = json.loads((run.path / "report.json").read_text())
    assert report["schema"] == 1
    assert (report["recipe"], report["seed"], report["epochs"], report["precision"]) == ("tiny", 0, 2, "float32")
    assert report["bands"] == ["low", "high"]
    assert report["proportion"]["after"] == report["proportion"]["target"] == [0.75, 0.25]
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
    assert report["weights_sha256"] == hash_weights(run.model)
    assert load_run(run.path).report == run.report
    result = CorruptionResult.load(run.path / "evaluation.json")
    assert result.provenance is None
    found = result.to_dict()
    kept = found.keys() - {"mean7", "mean_bar_imagenet"}
    assert {name: report[name] for name in kept} == {name: found[name] for name in kept}


def test_metrics(run):
    with (run.path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "train_loss", "valid_loss", "accuracy", "low", "high", "time"]
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert {(float(row["low"]), float(row["high"])) for row in rows} == {(0.75, 0.25)}
    assert all(0 <= float(row["accuracy"]) <= 1 and float(row["train_loss"]) > 0 for row in rows)


def test_environment(run, tree):
    found = run.environment
    assert (found.device, found.threads, found.ranks, found.precision) == ("cpu", 1, 1, "float32")
    assert (found.freqfast, found.python) == (freqfast.__version__, platform.python_version())
    assert found.platform == platform.platform()
    assert (
        found.processor in (platform.processor(), platform.machine())
        or f": {found.processor}\n" in Path("/proc/cpuinfo").read_text()
    )
    assert found.instructions.startswith(torch.backends.cpu.get_cpu_capability())
    assert found.gpu is found.cuda is found.command is found.start_path is found.start_sha256 is None
    assert found.recipe_sha256 == file_sha256(run.path / "recipe.toml")
    assert found.data == DataOrigin("tree", data_hash(load_data("cifar10", tree)), str(tree.resolve()))
    assert found.packages["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert found.packages["scikit-image"]  # makes the corruptions


@pytest.mark.parametrize("amx", [True, False])
def test_environment_names_threads_and_amx_where_it_is(amx, monkeypatch):
    monkeypatch.setattr(environment, "cpu_has_amx", lambda: amx)
    with environment.threads(3):
        found = environment.describe_environment(Recipe("x", data="photos"), load_data("photos"), None, "cpu", "auto")
    assert found.instructions.endswith(", AMX") == amx
    assert found.threads == 3 != torch.get_num_threads()


def test_processor_has_a_name_where_the_system_gives_none(monkeypatch):
    monkeypatch.setattr("builtins.open", Mock(side_effect=OSError))
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert environment.processor_name() == platform.machine()


def test_git_state_is_that_of_the_package(tmp_path, monkeypatch):
    package = tmp_path / "freqfast"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr("freqfast.__file__", str(package / "__init__.py"))
    assert git_state() is None
    for words in (("init", "-q"), ("add", "freqfast"), ("commit", "-qm", "all")):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True)
    state = git_state()
    assert len(state.commit) == 40
    assert state.modified is False
    (package / "__init__.py").write_text("1")
    assert git_state().modified is True
    (tmp_path / "other").mkdir()  # installed inside another project's checkout
    (tmp_path / "other" / "__init__.py").write_text("")
    monkeypatch.setattr("freqfast.__file__", str(tmp_path / "other" / "__init__.py"))
    assert git_state() is None


def test_model_is_the_trained_one(run, tree):
    data = load_data("cifar10", tree)
    assert run.classes == ("narrow", "wide")
    assert run.network.preprocessing == Preprocessing(data.mean, data.std)
    assert isinstance(run.model.conv1, SpectralConv2d)
    assert run.model.conv1.log_gain.abs().max() > 0  # trained
    pixels = (data.test.pixels / 255 - np.array(data.mean)) / np.array(data.std)
    predicted = run.model(torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32)).argmax(1).numpy()
    assert (predicted == data.test.labels).mean() == run.report.clean


def test_spectra_are_those_of_the_model(run):
    weight = effective_weight(run.model.conv1).double().numpy()
    with h5py.File(run.path / "spectra.h5") as file:
        power = file["entry/spectra/power"][()]
    assert power.shape == (8, 32, 32)
    np.testing.assert_allclose(power.sum((1, 2)), (weight**2).sum((1, 2, 3)), rtol=1e-5)


def test_spectra_say_where_they_come_from(run):
    provenance = dict(read_spectra(run.path / "spectra.h5").provenance)
    assert json.loads(provenance.pop("model_options")) == {"width": 8}
    assert json.loads(provenance.pop("callbacks")) == TINY.callbacks
    assert provenance == {
        "recipe": "tiny", "seed": 0, "epochs": 2, "model": "tiny", "data": run.environment.data.name,
        "data_sha256": run.environment.data.sha256, "freqfast": freqfast.__version__,
    }  # fmt: skip


def test_a_recipe_without_a_name(run):
    recipe = replace(TINY, name="")
    assert "recipe" not in _provenance(recipe, run.environment)
    assert f"<p>{TINY.description}</p>" in replace(run, recipe=recipe)._repr_html_()


def test_progress_covers_fit_and_evaluation(run, calls):
    assert calls[-1][0] == calls[-1][1] == 8 + 2 * 5 * len(available())
    steps = [call for call in calls if call[2].startswith("epoch")]
    assert [done for done, _, _ in steps] == [1, 2, 3, 4]
    assert {total for _, total, _ in steps} == {4}


def test_images_held_out_and_the_recorders_grid(tree, tmp_path, monkeypatch):
    monkeypatch.setattr("freqfast.training.outcome.available", lambda: ("pixelate",))
    callbacks = {"spectrum_recorder": {"n": 16, "layer": "conv2"}}
    recipe = replace(TINY, test_images=0, holdout=5, epochs=1, callbacks=callbacks)
    run, data = run_recipe(recipe, tmp_path / "run", tree), load_data("cifar10", tree)
    train, held = data.train.pixels[:-5], data.train[-5:]
    stated = run.network.preprocessing
    assert stated.mean == pytest.approx(train.mean((0, 1, 2)) / 255)
    options = {"mean": stated.mean, "std": stated.std, "corruptions": ["pixelate"], "precision": "float32"}
    found = evaluate_images(run.model, held, seed=1, **options)
    assert (run.report.images, run.report.clean, run.report.accuracy) == (5, found.clean, found.accuracy)
    assert run.report.proportion.target is run.report.mean15 is None
    assert run.report.families == {}
    assert run.report.corrupted == pytest.approx(np.mean(list(run.report.accuracy["pixelate"].values())))
    spectra = read_spectra(run.path / "spectra.h5")
    assert spectra.layer == "conv2"
    assert spectra.power.shape == (16, 16, 16)
    assert spectra.history.power.shape == (2, 16, 16, 16)


def test_a_run_frees_the_memory_of_earlier_ones(tree, tmp_path, monkeypatch):
    """Many runs of a study share a process, and each Learner holds the images."""
    build, built, alive = preparation.build_learner, [], []

    def watched_build(*words, **options):
        alive.append(sum(learner() is not None for learner in built))
        built.append(weakref.ref(learn := build(*words, **options)))
        return learn

    monkeypatch.setattr(preparation, "build_learner", watched_build)
    for name in "ab":
        with pytest.raises(RunStoppedError):
            run_recipe(TINY, tmp_path / name, tree, "cpu", log=None, stop=stop_at(3))
    assert alive == [0, 0]


@pytest.mark.parametrize(("holdout", "test_images", "seed", "corrupted"), [(0, 2, 0, 2), (8, 0, 1, 1000)])
def test_all_images_are_clean_and_a_sample_is_corrupted(holdout, test_images, seed, corrupted):
    data = load_data("photos")
    source = source_of_run(replace(TINY, holdout=holdout, test_images=test_images), data, ("contrast", "shot_noise"))
    assert source.keys[:2] == [CLEAN, ("contrast", 1)]
    assert len(source.keys) == 11
    clean, cell = cell_of(source, CLEAN), cell_of(source, ("shot_noise", 3))
    assert clean.images is data.test.pixels
    assert len(cell.images) == len(cell.labels) == corrupted
    np.testing.assert_array_equal(cell.images[:2], corrupt(data.test.pixels[:2], "shot_noise", 3, seed))


def test_images_too_small_to_corrupt_are_refused_before_the_training(tmp_path):
    for part, name in product(("train", "test"), ("a", "b")):
        (tmp_path / "small" / part / name).mkdir(parents=True)
        Image.effect_noise((7, 7), 50).convert("RGB").save(tmp_path / "small" / part / name / "0.png")
    with pytest.raises(ValueError, match="images must be at least 8 x 8 pixels, got 7 x 7"):
        run_recipe(TINY, tmp_path / "run", tmp_path / "small", "cpu")
    assert not (tmp_path / "run").exists()
