import os
from dataclasses import replace

import pytest
import torch

from freqfast.data import load_data
from freqfast.runs.directory import RunDirectory
from freqfast.runs.recipe import Recipe
from freqfast.runs.run import load_run
from freqfast.training import run_recipe
from freqfast.training.checkpoint import CheckpointPolicy
from freqfast.training.loop import FitKeeper
from tests.support.runs import ENVIRONMENT
from tests.support.tiny import FILES, TINY


@pytest.fixture(scope="module")
def finished(tree, tmp_path_factory):
    """A finished run's directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("freqfast.training.outcome.available", lambda: ("contrast",))
        return run_recipe(replace(TINY, epochs=1), tmp_path_factory.mktemp("runs") / "run", tree, "cpu").path


def test_refuses_to_overwrite(finished, tree, tmp_path):
    for place in (finished, tmp_path, tree / "train" / "wide" / "0.png"):
        before = sorted(place.rglob("*"))
        with pytest.raises(FileExistsError, match="exists already; choose another --out or remove it"):
            run_recipe(TINY, place, tree)
        assert sorted(place.rglob("*")) == before


def wrong(**changes):
    return replace(TINY, **changes)


def enforced(**options):
    """With a recorder of the usual bands and layer."""
    return wrong(callbacks={"frequency_proportion": {"proportions": {"low": 1.0}, **options}, "spectrum_recorder": {}})


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (wrong(callbacks={"nosuch": {}}), "unknown callback 'nosuch'; the callbacks are .*frequency_proportion"),
        (wrong(callbacks={"frequency_proportion": {}}), "frequency_proportion: .*proportions"),
        (
            wrong(callbacks={"frequency_proportion": {"proportions": {"low": 1.0}, "puriti": 1}}),
            "has no argument 'puriti'; its arguments are proportions, bands, purity",
        ),
        (wrong(callbacks={"frequency_proportion": {"proportions": "low"}}), "proportions must be of type"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": "1"}}}), "proportions must be of type"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": 0.5}}}), "must sum to 1, got 0.5"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"mid": 1.0}}}), "mid"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": float("nan")}}}), "finite"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": 1.0}, "purity": True}}), "purity must be"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": 1.0}, "purity": 1.5}}), "purity"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": 1.0}, "purity": float("nan")}}), "purity"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": 1.0}, "layer": "x"}}), "layer 'x' is not in"),
        (wrong(callbacks={"spectral_modulation": {"sigma": -1}}), "sigma"),
        (wrong(callbacks={"spectral_modulation": {"sigma": float("nan")}}), "sigma"),
        (wrong(callbacks={"spectral_modulation": {"sigma": "big"}}), "sigma must be of type float"),
        (wrong(callbacks={"spectral_modulation": {"seed": 1.5}}), "seed must be of type"),
        (wrong(callbacks={"spectrum_perturbation": {"share": 2.0}}), "share"),
        (wrong(callbacks={"spectrum_perturbation": {"share": float("nan")}}), "share"),
        (wrong(callbacks={"spectrum_recorder": {"n": 1}}), "n must be at least"),
        (enforced(bands=3), "spectrum_recorder and frequency_proportion differ in bands or layer"),
        (enforced(layer="layer1.0.conv1"), "spectrum_recorder and frequency_proportion differ in bands or layer"),
        (wrong(model="vgg"), "unknown model 'vgg'"),
        (wrong(kernel_size=4), "kernel_size odd"),
        (wrong(data="imagenet"), "unknown data 'imagenet'"),
        (wrong(batch_size=33), r"batch_size must lie in 1\.\.32"),
        (wrong(precision="float8"), "precision must be one of"),
    ],
)
def test_a_wrong_recipe_leaves_no_directory(tree, tmp_path, recipe, message):
    with pytest.raises(ValueError, match=message) as caught:
        run_recipe(recipe, tmp_path / "deep" / "run", tree)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "deep").exists()


def test_wrong_places_leave_no_directory(tree, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        run_recipe(TINY, tmp_path / "run", tmp_path / "absent")
    with pytest.raises(ValueError, match="device 'abacus' is not available here"):
        run_recipe(TINY, tmp_path / "run", tree, device="abacus")
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        run_recipe(TINY, tmp_path / "file" / "run", tree)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("at", ["epoch 2/2", "fog"])
def test_an_interrupted_run_looks_unfinished(tree, tmp_path, error, at):
    def interrupt(done, total, message):
        if message.startswith(at):
            raise error("stop")

    with pytest.raises(error):
        run_recipe(TINY, tmp_path / "run", tree, progress=interrupt)
    left = set(os.listdir(tmp_path / "run"))
    assert "report.json" not in left
    assert left <= {*FILES, "checkpoints"}  # and no temporary file
    assert {"recipe.toml", "environment.json"} <= left
    assert ("model.safetensors" in left) == (at == "fog")
    with pytest.raises(FileNotFoundError, match=r"is not a finished run: report\.json is missing"):
        load_run(tmp_path / "run")
    assert Recipe.from_toml((tmp_path / "run" / "recipe.toml").read_text(encoding="utf-8")) == TINY


@pytest.mark.parametrize("step", ["freqfast.files.os.rename", "freqfast.runs.creation.write_text"])
def test_failure_before_the_directory_appears_leaves_nothing(tree, tmp_path, monkeypatch, step):
    def fail(*args):
        raise KeyboardInterrupt

    load_data("cifar10", tree)
    monkeypatch.setattr(step, fail)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(TINY, tmp_path / "runs" / "run", tree)
    assert os.listdir(tmp_path / "runs") == []


def test_what_a_killed_process_left_of_a_directory_goes(tmp_path):
    pytest.importorskip("fcntl")
    (tmp_path / ".run.killed.tmp").mkdir()
    with RunDirectory(tmp_path / "run").created(TINY, ENVIRONMENT):
        assert os.listdir(tmp_path) == ["run"]


@pytest.mark.parametrize("mask", [0o077, 0o002])
def test_others_may_do_with_the_directory_what_they_may_with_any(tmp_path, mask):
    old = os.umask(mask)
    try:
        with RunDirectory(tmp_path / "run").created(TINY, ENVIRONMENT):
            pass
        (tmp_path / "plain").mkdir()
    finally:
        os.umask(old)
    assert (tmp_path / "run").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("callbacks", [{}, TINY.callbacks])
def test_divergence_is_an_error_not_a_finished_run(tree, tmp_path, callbacks):
    message = (
        r"^the training diverged in epoch 1, step 2: its loss is not finite; nothing was saved yet\. "
        r"Lower lr \(1e\+30\) or lengthen its rise .*run stays unfinished$"
    )
    with pytest.raises(ValueError, match=message):
        run_recipe(replace(TINY, lr=1e30, callbacks=callbacks), tmp_path / "run", tree)
    assert sorted(os.listdir(tmp_path / "run")) == ["environment.json", "metrics.csv", "recipe.toml"]


def test_divergence_names_the_last_good_checkpoint(tree, tmp_path, monkeypatch):
    steps = iter(range(10))

    def loss(self, *args):
        value = torch.nn.functional.cross_entropy(*args[:2]) if args else None
        return value * float("nan") if next(steps) == 3 else value

    monkeypatch.setattr("fastai.losses.CrossEntropyLossFlat.__call__", loss)
    with pytest.raises(
        ValueError, match=r"epoch 2, step 3: its loss .* is \S+/000001-00000000\.\w{64}\.safetensors\. L"
    ):
        run_recipe(TINY, tmp_path / "run", tree)


@pytest.mark.parametrize("spoiled", ["weight", "running_var"])
def test_weights_that_are_not_finite_are_never_saved(tree, tmp_path, monkeypatch, spoiled):
    """Such as a last step makes, after which no loss tells."""
    saved = FitKeeper._save

    def spoil(self, learn):
        if learn.epoch == 1:
            with torch.no_grad():
                getattr(learn.model.bn1, spoiled)[0] = float("inf")
        saved(self, learn)

    monkeypatch.setattr(FitKeeper, "_save", spoil)
    with pytest.raises(ValueError, match=rf"diverged in epoch 2, step 4: bn1\.{spoiled} is not finite; the last good"):
        run_recipe(TINY, tmp_path / "run", tree, policy=CheckpointPolicy(share=1))
    (kept,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert kept.name.startswith("000001-00000000.")
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_divergence_in_validation_is_an_error_too(tree, tmp_path, monkeypatch):
    steps = iter(range(10))

    def loss(self, *args):
        value = torch.nn.functional.cross_entropy(*args[:2]) if args else None
        return value * float("nan") if next(steps) == 2 else value  # after the two steps of the first epoch

    monkeypatch.setattr("fastai.losses.CrossEntropyLossFlat.__call__", loss)
    with pytest.raises(ValueError, match="diverged in epoch 1, step 2: the loss in validation is not finite; nothing"):
        run_recipe(TINY, tmp_path / "run", tree)
