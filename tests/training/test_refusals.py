"""What a run refuses before it starts or goes on, and what it says when the training fails."""

import hashlib
import json
import os
from dataclasses import replace
from functools import partialmethod
from unittest.mock import Mock

import pytest
import torch

from freqfast.runs.directory import RunDirectory
from freqfast.runs.run import load_run
from freqfast.training import RunStoppedError, run_recipe
from freqfast.training.checkpoint import CheckpointPolicy
from freqfast.training.loop import FitKeeper
from tests.support.tiny import FILES, TINY

pytestmark = pytest.mark.usefixtures("two_corruptions")


# Before a new run


def test_refuses_to_overwrite(unfinished, tree, tmp_path):
    for place in (unfinished, tmp_path, tree / "train" / "wide" / "0.png"):
        before = sorted(place.rglob("*"))
        with pytest.raises(FileExistsError, match="exists already; choose another out or remove it"):
            run_recipe(TINY, place, tree)
        assert sorted(place.rglob("*")) == before


VIT = {"img_size": 48, "dynamic_img_size": False}
LOW, APART = {"proportions": {"low": 1.0}}, "spectrum_recorder and frequency_proportion differ in bands or layer"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"callbacks": {"frequency_proportion": {"proportions": "low"}}}, "frequency_proportion.proportions must be"),
        ({"callbacks": {"frequency_proportion": LOW | {"layer": "x"}}}, "layer 'x' is not in"),
        ({"callbacks": {"spectrum_recorder": {"n": 1}}}, "n must be at least"),
        ({"callbacks": {"frequency_proportion": LOW | {"bands": 3}, "spectrum_recorder": {}}}, APART),
        ({"callbacks": {"frequency_proportion": LOW | {"layer": "conv2"}, "spectrum_recorder": {}}}, APART),
        ({"model_options": {"depth": 4}}, "depth"),
        (
            {"model": "timm:test_vit", "model_options": VIT, "callbacks": {}},
            "timm:test_vit cannot take images of .*: Input h",
        ),
        (
            {"model": "torchvision:googlenet", "model_options": {"init_weights": False}, "callbacks": {}},
            "googlenet gives GoogLeNetOutputs in training, .* aux_logits = false, but not with pretrained weights",
        ),
        ({"data": "imagenet"}, "unknown data 'imagenet'"),
        ({"batch_size": 33}, r"batch_size must lie in 1\.\.32"),
        ({"precision": "float8"}, "precision must be one of"),
    ],
)
def test_wrong_recipe_leaves_no_directory(tree, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        run_recipe(replace(TINY, **changes), tmp_path / "deep" / "run", tree)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "deep").exists()


def test_wrong_places_leave_no_directory(tree, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        run_recipe(TINY, tmp_path / "run", tmp_path / "absent")
    with pytest.raises(ValueError, match="device 'abacus' is not available here"):
        run_recipe(TINY, tmp_path / "run", tree, device="abacus")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("step", ["freqfast.files.os.rename", "freqfast.runs.directory.write_record"])
def test_failure_before_the_directory_appears_leaves_nothing(tree, tmp_path, monkeypatch, step):
    monkeypatch.setattr(step, Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_recipe(TINY, tmp_path / "runs" / "run", tree)
    assert os.listdir(tmp_path / "runs") == []


# Before an unfinished run goes on


def test_another_recipe(unfinished):
    message = r"was started with model_options\.width 8, the recipe given has 16; give the same recipe or another out"
    with pytest.raises(ValueError, match=message):
        run_recipe(replace(TINY, model_options={"width": 16}, seed=3), unfinished, resume=True)
    turned = dict(reversed(TINY.callbacks.items()))
    with pytest.raises(ValueError, match=r"was started with order of callbacks \['.*'\], the recipe given has \['"):
        run_recipe(replace(TINY, callbacks=turned), unfinished, resume=True)


def test_no_run_directory(tmp_path, tree):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("folder", "file"):
        with pytest.raises(FileNotFoundError, match=f"{name} is no run directory: recipe.toml is missing"):
            run_recipe(TINY, tmp_path / name, tree, resume=True)


def test_recipe_that_was_edited(unfinished):
    path = unfinished / "recipe.toml"
    path.write_text(path.read_text().replace("lr = 0.05", "lr = 0.06"))
    with pytest.raises(ValueError, match=r"recipe\.toml has changed since the run was started .*put the old text back"):
        run_recipe(RunDirectory(unfinished).read_recipe(), unfinished, resume=True)


def change(folder, **changes):
    """Write other values into a run's environment.json."""
    path = folder / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_environment_that_was_edited(unfinished):
    change(unfinished, threads=2)
    with pytest.raises(ValueError, match=r"are of another run \(threads 1, here 2\); put this run's own back"):
        run_recipe(TINY, unfinished, resume=True)


def test_checkpoint_that_does_not_fit_the_learner(unfinished):
    """Such as another version of a callback's package leaves."""
    other = replace(TINY, callbacks={})
    checkpoints = sorted((unfinished / "checkpoints").iterdir())
    content = checkpoints[-1].read_bytes()
    old, new = (hashlib.sha256(recipe.to_toml().encode()).hexdigest() for recipe in (TINY, other))
    forged = content.replace(old.encode(), new.encode())
    for checkpoint in checkpoints:
        checkpoint.unlink()
    name = f"000001-00000001.{hashlib.sha256(forged).hexdigest()}.safetensors"
    (unfinished / "checkpoints" / name).write_bytes(forged)
    (unfinished / "recipe.toml").write_text(other.to_toml())
    change(unfinished, recipe_sha256=new)
    message = r"the checkpoint does not fit this training: .*log_gain.*; go on with the packages of its start, or"
    with pytest.raises(ValueError, match=message) as caught:
        run_recipe(other, unfinished, resume=True)
    assert "\n" not in str(caught.value)


def test_another_environment_is_a_warning(unfinished):
    """And a run that was started on a GPU can go on without one."""
    packages = json.loads((unfinished / "environment.json").read_text())["packages"]
    change(unfinished, packages=packages | {"torch": "2.0.0"}, device="cuda:9")
    warned = pytest.warns(UserWarning, match=r"may differ: .*packages\.torch: 2\.0\.0, now")
    with warned, pytest.raises(RunStoppedError):
        run_recipe(TINY, unfinished, device="cpu", resume=True, stop=lambda: 15)


# In the training


def test_interrupted_run_is_unfinished(tree, tmp_path):
    """In the training, and once it has gone on, in the evaluation."""
    for error, at in ((KeyboardInterrupt, "epoch 2/2"), (RuntimeError, "pixelate")):

        def interrupt(done, total, message, error=error, at=at):
            if message.startswith(at):
                raise error("stop")

        with pytest.raises(error):
            run_recipe(TINY, tmp_path / "run", tree, progress=interrupt, resume=True)
        left = set(os.listdir(tmp_path / "run"))
        assert {"recipe.toml", "environment.json"} <= left <= {*FILES, "checkpoints"} - {"report.json"}
        assert ("model.safetensors" in left) == (at == "pixelate")
        with pytest.raises(FileNotFoundError, match=r"is not a finished run: report\.json is missing"):
            load_run(tmp_path / "run")


def test_divergence_is_an_error(tree, tmp_path):
    message = (
        r"^the training diverged in epoch 1, step 2: its loss is not finite; nothing was saved yet\. "
        r"Lower lr \(1e\+30\) or lengthen its rise .*run stays unfinished$"
    )
    with pytest.raises(ValueError, match=message):
        run_recipe(replace(TINY, lr=1e30), tmp_path / "run", tree)
    assert sorted(os.listdir(tmp_path / "run")) == ["environment.json", "metrics.csv", "recipe.toml"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (2, "epoch 1, step 2: the loss in validation is not finite; nothing was saved yet"),
        (3, r"epoch 2, step 3: its loss is not finite; the last good .* is \S+/000001-0{8}\.\w{64}\.safetensors"),
    ],
)
def test_divergence_names_the_step_and_the_last_checkpoint(tree, tmp_path, monkeypatch, call, message):
    calls = iter(range(10))

    def loss(self, *args):
        value = torch.nn.functional.cross_entropy(*args[:2]) if args else None
        return value * float("nan") if next(calls) == call else value

    monkeypatch.setattr("fastai.losses.CrossEntropyLossFlat.__call__", loss)
    with pytest.raises(ValueError, match=message):
        run_recipe(TINY, tmp_path / "run", tree)


def test_weights_that_are_not_finite_are_never_saved(tree, tmp_path, monkeypatch):
    """Such as the last step may leave, which no loss shows any more; nor are statistics of BatchNorm."""
    save = FitKeeper._save

    def spoil(self, learn, name):
        if learn.epoch == 1:
            with torch.no_grad():
                getattr(learn.model.bn1, name)[0] = float("inf")
        save(self, learn)

    for name in ("weight", "running_var"):  # of the run, and of the run that goes on
        monkeypatch.setattr(FitKeeper, "_save", partialmethod(spoil, name=name))
        with pytest.raises(ValueError, match=rf"diverged in epoch 2, step 4: bn1\.{name} is not finite; the last good"):
            run_recipe(TINY, tmp_path / "run", tree, policy=CheckpointPolicy(share=1), resume=True)
    (kept,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert kept.name.startswith("000001-00000000.")
    assert not (tmp_path / "run" / "model.safetensors").exists()
