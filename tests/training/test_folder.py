"""Recipes on images that stay in files."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from safetensors.torch import load_file, save_file

from freqfast.data import load_data
from freqfast.models.build import build_model
from freqfast.preprocessing import Preprocessing
from freqfast.runs.directory import RunDirectory
from freqfast.runs.run import load_run_data
from freqfast.training import RunStoppedError, build_learner, rerun, run_recipe
from tests.support import tiny
from tests.support.trees import write_photograph

FOLDER = replace(
    tiny.TINY,
    data="folder",
    image_size=28,
    model="timm:test_resnet",
    model_options={},
    epochs=1,
    batch_size=2,
    callbacks={"spectrum_perturbation": {"share": 0.5}},
)


@pytest.fixture
def photographs(tmp_path):
    """Bright and dark photographs of several sizes."""
    for split, name, number in product(("train", "val"), ("dark", "light"), range(4)):
        path = tmp_path / "photographs" / split / name / f"{number}.png"
        write_photograph(path, number, shift=150 if name == "light" else 0)
    return tmp_path / "photographs"


@pytest.fixture
def weights(tmp_path):
    """Weights of a network of three classes."""
    torch.manual_seed(0)
    path, network = tmp_path / "w.safetensors", build_model("timm:test_resnet", classes=3)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return path


def test_a_run_that_is_stopped_and_resumed_ends_with_the_same_bits(photographs, weights, tmp_path, two_corruptions):
    recipe = replace(FOLDER, model_options={"weights": str(weights)})
    whole = run_recipe(recipe, tmp_path / "whole", photographs, "cpu", log=None)
    with pytest.raises(RunStoppedError, match="in epoch 1, after batch 3"):
        run_recipe(recipe, tmp_path / "parts", photographs, "cpu", log=None, stop=tiny.stop_at(3))
    run_recipe(recipe, tmp_path / "parts", resume=True, log=None)
    assert tiny.outcome(tmp_path / "whole") == tiny.outcome(tmp_path / "parts")
    assert whole.network.preprocessing.mean == tuple(build_model("timm:test_resnet").pretrained_cfg["mean"])
    assert whole.network.spec.options == {"classes": 2}  # a reader of the model file needs no other weights
    data = load_run_data(whole.directory)
    assert data.test.pixels.shape == (8, 28, 28, 3)
    (photographs / "train" / "dark" / "0.png").write_bytes((photographs / "train" / "dark" / "1.png").read_bytes())
    (tmp_path / "parts" / "report.json").unlink()
    with pytest.raises(ValueError, match="has changed since"):
        run_recipe(recipe, tmp_path / "parts", resume=True, log=None)


def test_a_change_of_the_weights_since_the_start_is_told(photographs, weights, tmp_path, two_corruptions):
    recipe = replace(FOLDER, model_options={"weights": str(weights)})
    with pytest.raises(RunStoppedError):
        run_recipe(recipe, tmp_path / "run", photographs, "cpu", log=None, stop=tiny.stop_at(1))
    save_file({name: value + 1 for name, value in load_file(weights).items()}, weights)
    told = pytest.warns(UserWarning, match=r"may differ: start_sha256: [0-9a-f]{64}, now [0-9a-f]{64}$")
    with told, pytest.raises(RunStoppedError):
        run_recipe(recipe, tmp_path / "run", resume=True, log=None, stop=tiny.stop_at(1))


def test_the_weights_are_found_from_any_working_directory(photographs, weights, tmp_path, two_corruptions, monkeypatch):
    """By the path that they had at the start, or the recipe's own if they are no longer there."""
    recipe = replace(FOLDER, model_options={"weights": weights.name})
    monkeypatch.chdir(weights.parent)
    with pytest.raises(RunStoppedError):
        run_recipe(recipe, tmp_path / "run", photographs, "cpu", log=None, stop=tiny.stop_at(1))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    first = run_recipe(recipe, tmp_path / "run", resume=True, log=None)
    assert rerun(first.path, tmp_path / "again", log=None).weights_equal
    assert first.recipe == recipe
    with pytest.raises(RunStoppedError):
        run_recipe(FOLDER, tmp_path / "fresh", log=None, like=first, stop=tiny.stop_at(1))
    fresh = RunDirectory(tmp_path / "fresh")  # another recipe starts from its own weights
    assert (fresh.read_environment().start_path, fresh.read_recipe()) == (None, FOLDER)
    weights.rename(tmp_path / "elsewhere" / weights.name)
    assert rerun(first.path, tmp_path / "third", log=None).weights_equal


def test_training_starts_from_the_weights(photographs, weights):
    data = load_data("folder", photographs, image_size=28)
    learn = build_learner(replace(FOLDER, model_options={"weights": str(weights)}), data, "cpu")
    trained = build_model("timm:test_resnet", classes=3)
    stated = trained.pretrained_cfg
    assert learn.network.preprocessing == Preprocessing(stated["mean"], stated["std"], 32, 28, "bilinear")
    fresh = build_learner(FOLDER, data, "cpu")
    assert fresh.network.preprocessing == Preprocessing(data.mean, data.std, 32, 28, "bilinear")
    stored = load_file(weights)
    for name, value in learn.model.state_dict().items():
        assert torch.equal(value, stored[name]) == (value.shape == stored[name].shape)


def test_a_missing_file_of_weights_is_said_before_data_is_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.pth does not exist"):
        run_recipe(replace(FOLDER, model_options={"weights": "absent.pth"}), tmp_path / "run", tmp_path / "absent")
