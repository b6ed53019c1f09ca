"""A run that was stopped and resumed equals, to the last bit, the run that was not; so does one that is repeated."""

import json
import os
import random
import shutil
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.torch_core import set_seed

from freqfast.models.classifier import Classifier
from freqfast.runs.run import load_run
from freqfast.spectra.h5 import read_spectra
from freqfast.training import RunStoppedError, build_learner, rerun, run_recipe
from freqfast.training.checkpoint import CheckpointFolder, CheckpointPolicy, pack, read_checkpoint, unpack
from freqfast.training.loop import DivergenceWatch, FitKeeper
from freqfast.training.state import device_generator, restore_training, set_device_generator, training_state
from tests.support.tiny import OFTEN, TINY, equal, fit_quietly, outcome, stop_at

pytestmark = pytest.mark.usefixtures("two_corruptions")


@pytest.fixture(scope="module")
def reference(tree, tmp_path_factory):
    """The outcome, the last checkpoint and the directory of a run that was not stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("freqfast.training.outcome.available", lambda: ("pixelate", "contrast"))
        patch.setattr("freqfast.runs.directory.RunDirectory.remove_checkpoints", lambda self: None)
        folder = run_recipe(TINY, tmp_path_factory.mktemp("runs") / "reference", tree, "cpu", policy=OFTEN).path
    last = last_checkpoint(folder)
    shutil.rmtree(folder / "checkpoints")
    return outcome(folder), last, folder


def last_checkpoint(folder):
    """The last checkpoint's content but for times, for comparison."""
    header, state = read_checkpoint(sorted((folder / "checkpoints").iterdir())[-1])
    state["callbacks"]["Recorder"]["epoch_seconds"] = 0
    metrics = [line.rpartition(",")[0] for line in header.metrics]
    return replace(header, seconds=0.0, metrics=()), metrics, state


@pytest.mark.parametrize("position", [1, 3, 4, 5, 9])
def test_stopped_anywhere_and_resumed(tree, tmp_path, monkeypatch, reference, position):
    """Of two epochs of two steps: after each step, validation batch and epoch, then before each cell."""
    out = tmp_path / "run"
    with pytest.raises(RunStoppedError, match=r"^interrupted .*; it can be resumed$") as caught:
        run_recipe(TINY, out, tree, "cpu", stop=stop_at(position))
    assert caught.value.signum == 15
    set_seed(99)  # whatever state the next process is in
    with monkeypatch.context() as patch:
        patch.setattr("freqfast.runs.directory.RunDirectory.remove_checkpoints", lambda self: None)
        run_recipe(TINY, out, resume=True, policy=OFTEN)
    assert equal(last_checkpoint(out), reference[1])  # with optimizer, callbacks and generators
    assert sorted(os.listdir(run_recipe(TINY, out, resume=True).path)) == reference[0]["files"]
    assert outcome(out) == reference[0]


def test_time_left_after_each_epoch_but_the_last(tree, tmp_path):
    lines = []
    with pytest.raises(RunStoppedError):
        run_recipe(replace(TINY, epochs=3), tmp_path / "run", tree, "cpu", stop=stop_at(1))
    run_recipe(replace(TINY, epochs=3), tmp_path / "run", resume=True, log=lines.append)
    assert [line.endswith(" left") for line in lines if line.startswith("epoch")] == [True, True, False]


def test_rerun_equals_the_run(reference, tmp_path):
    first = reference[2]
    torch.manual_seed(99)  # whatever state the process is in
    found = rerun(first, tmp_path / "again", command="freqfast rerun run")
    assert outcome(tmp_path / "again") == reference[0]
    assert (found.weights_equal, found.weights_distance, found.environment) == (True, 0.0, ())
    assert found.second.environment.command == "freqfast rerun run"
    assert found.accuracy["clean"] == (found.first.report.clean,) * 2
    assert rerun(first, tmp_path / "again").weights_equal  # which is only compared
    with pytest.raises(ValueError, match="is the run itself; choose another out"):
        rerun(first, first)


METHODS = {
    "batch_norm_estimation": {"batches": 2},
    "frequency_proportion": {"proportions": {"low": 1.0}, "rank": 3},
    "spectral_decay": {},
    "antialiasing": {"kind": "flc"},
    "hybrid_augment": {"single": True, "plus": True, "sigma": [0.4, 1.0]},
}


LAST_EPOCH = {"epochs": 1, "callbacks": {"batch_norm_estimation": {"batches": 2}}}  # which draws batches once more
SETTINGS = {"epochs": 1, "precision": "bfloat16", "holdout": 8}


@pytest.mark.parametrize("changes", [{"callbacks": METHODS}, LAST_EPOCH, SETTINGS], ids=str)
def test_other_recipes_stopped_within_the_first_epoch(tree, tmp_path, changes):
    recipe = replace(TINY, batch_size=8, **changes)
    whole = outcome(run_recipe(recipe, tmp_path / "whole", tree, "cpu").path)
    with pytest.raises(RunStoppedError, match="in epoch 1, after batch 2"):
        run_recipe(recipe, tmp_path / "run", tree, "cpu", stop=stop_at(2))
    set_seed(99)
    assert outcome(run_recipe(recipe, tmp_path / "run", resume=True).path) == whole


def test_another_name_and_description_are_the_same_run(unfinished, reference):
    """Of which temporary files of a killed process are removed, and which is not repeated once it is finished."""
    (unfinished / ".metrics.csv.abc.tmp").write_text("half")
    (unfinished / "checkpoints" / ".000009-00000000.x.tmp").write_text("half")
    first = run_recipe(replace(TINY, name="other", description="in better words"), unfinished, resume=True)
    assert outcome(unfinished) == reference[0]
    assert load_run(unfinished).recipe == TINY  # those of the start stay
    (unfinished / "recipe.toml").write_text(TINY.to_toml() + "# a note\n")  # which may be added once it is finished
    before = {path: path.stat().st_mtime_ns for path in unfinished.rglob("*")}
    assert run_recipe(TINY, unfinished, resume=True).report == first.report
    assert {path: path.stat().st_mtime_ns for path in unfinished.rglob("*")} == before


def test_stopped_in_a_validation_that_changes_state(tree, tmp_path, monkeypatch, reference):
    """A validation that draws random numbers and changes callbacks starts again from where the steps ended."""
    validated = FitKeeper.validation_batches

    def drawing(self, learn):
        for item in validated(self, learn):
            torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
            learn.spectrum_recorder.epochs.append(99)
            learn.recorder.lrs.append(99)
            yield item

    with monkeypatch.context() as patch:
        patch.setattr(FitKeeper, "validation_batches", drawing)
        with pytest.raises(RunStoppedError, match="in epoch 1, after batch 2"):
            run_recipe(TINY, tmp_path / "run", tree, "cpu", stop=stop_at(3))
    assert len(last_checkpoint(tmp_path / "run")[2]["callbacks"]["Recorder"]["lrs"]) == 2
    run_recipe(TINY, tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run") == reference[0]


def test_saved_positions_follow_the_policy(tree, tmp_path, monkeypatch):
    """The end always, epochs and minutes as asked, within the share of the time."""
    saved = []
    monkeypatch.setattr(CheckpointFolder, "save", lambda self, head, state: saved.append((head.epoch, head.batch)))
    for number, (policy, expected) in enumerate(
        (
            (CheckpointPolicy(epochs=2, share=1), [(2, 0), (3, 0)]),
            (CheckpointPolicy(epochs=3, minutes=0, share=1), [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2), (3, 0)]),
            (CheckpointPolicy(minutes=0, share=1e-9), [(0, 1), (3, 0)]),
        )
    ):
        saved.clear()
        run_recipe(replace(TINY, epochs=3, callbacks={}), tmp_path / str(number), tree, policy=policy)
        assert saved == expected


def test_settings_of_the_start_are_kept(tree, tmp_path, monkeypatch):
    """Precision, threads, device and command are those of the start; the data is looked for where it was."""
    recipe, seen = replace(TINY, precision="auto", epochs=1), []

    class Spy(DivergenceWatch):
        def after_batch(self):
            seen.append((self.learn.auto_precision.chosen, torch.get_num_threads()))

    class Judge(Classifier):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            seen.append((self.precision, torch.get_num_threads()))

    monkeypatch.setattr("freqfast.compute.precision._cpu_has_bfloat16", lambda: True)
    monkeypatch.chdir(tree.parent)
    with pytest.raises(RunStoppedError):
        run_recipe(recipe, tmp_path / "run", tree.name, "cpu", stop=stop_at(1), command="first")
    monkeypatch.chdir("/")
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert (environment["precision"], environment["threads"]) == ("bfloat16", 1)
    monkeypatch.setattr("freqfast.compute.precision._cpu_has_bfloat16", lambda: False)  # another machine
    monkeypatch.setattr("freqfast.training.learner.DivergenceWatch", Spy)
    monkeypatch.setattr("freqfast.training.outcome.Classifier", Judge)
    torch.set_num_threads(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run = run_recipe(recipe, tmp_path / "run", resume=True, command="second")
    assert read_spectra(run.path / "spectra.h5").provenance["command"] == run.environment.command == "first"
    assert torch.get_num_threads() == 2
    assert set(seen) == {("bfloat16", 1)}
    assert (run.recipe.precision, run.report.precision) == ("auto", "bfloat16")


def test_callbacks_of_others_keep_their_state(tree, tmp_path, monkeypatch):
    """A callback with the two methods is stored; one without, which merely passes on the model's, is not."""
    found, made = [], []

    class Counting(Callback):
        def __init__(self):
            self.steps, self.mean = 0, None

        def after_step(self):
            self.steps, self.drawn = self.steps + 1, (random.random(), np.random.rand())  # noqa: NPY002
            self.mean = self.learn.loss.detach() if self.mean is None else 0.5 * (self.mean + self.learn.loss.detach())

        def state_dict(self):
            return {"steps": self.steps, "mean": self.mean}

        def load_state_dict(self, state):
            found.append(state)
            self.steps, self.mean = state["steps"], state["mean"]

    def build(recipe):
        made.append(Counting())
        return [made[-1], Counting(), Callback()]

    monkeypatch.setattr("freqfast.training.learner.build_callbacks", build)
    recipe = replace(TINY, epochs=1, callbacks={})
    run_recipe(recipe, tmp_path / "whole", tree)
    with pytest.raises(RunStoppedError):
        run_recipe(recipe, tmp_path / "run", tree, stop=stop_at(1))
    with monkeypatch.context() as patch:
        patch.setattr("freqfast.training.learner.build_callbacks", lambda recipe: [Counting()])
        with pytest.raises(ValueError, match=r"Counting, Counting#2, .*; here are Recorder, Counting, Sp"):
            run_recipe(recipe, tmp_path / "run", resume=True)
    run_recipe(recipe, tmp_path / "run", resume=True)
    _, whole, _, _, resumed = made  # each new run builds its callbacks once more, to try them
    assert (resumed.steps, float(resumed.mean)) == (whole.steps, float(whole.mean)) == (2, float(whole.mean))
    assert resumed.drawn == whole.drawn
    assert [state["steps"] for state in found] == [1, 1, 1, 1]  # two callbacks, before the epoch and in it


def test_smoothed_loss_stays_on_the_cpu_wherever_the_model_is(small):
    recipe = replace(TINY, batch_size=8, epochs=1)
    learn = build_learner(recipe, small, "cpu")
    fit_quietly(learn, recipe)
    state, expected = training_state(learn), learn.recorder.smooth_loss.value.clone()
    learn.model.to("meta")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights that are copied there have no effect
        restore_training(learn, state)
    assert {loss.device.type for loss in (learn.smooth_loss, *learn.recorder.losses)} == {"cpu"}
    assert torch.equal(learn.smooth_loss, expected)
    learn.loss = torch.tensor(1.0)
    learn.recorder.smooth_loss.accumulate(learn)
    assert learn.recorder.smooth_loss.value > 0


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_generator_of_the_device_is_kept(kind, monkeypatch):
    generator = torch.Generator().manual_seed(1)
    monkeypatch.setattr(f"torch.{kind}.get_rng_state", lambda *device: generator.get_state())
    monkeypatch.setattr(f"torch.{kind}.set_rng_state", lambda state, *device: generator.set_state(state))
    learn, elsewhere = (SimpleNamespace(dls=SimpleNamespace(device=torch.device(name))) for name in (kind, "cpu"))
    saved = unpack(pack(device_generator(learn), tensors := {}), tensors)
    drawn = torch.rand(4, generator=generator)
    set_device_generator(elsewhere, saved)  # a run that goes on elsewhere
    assert not torch.equal(torch.rand(4, generator=generator), drawn)
    set_device_generator(learn, saved)
    assert torch.equal(torch.rand(4, generator=generator), drawn)
    assert device_generator(elsewhere) == ("cpu", None)


def test_seconds_add_up_on_a_monotonic_clock(tree, tmp_path, monkeypatch):
    """Within an epoch a checkpoint is due after the minutes and in its share; the fit's time adds up over processes."""
    now, saved = [1000.0], []
    monkeypatch.setattr("freqfast.training.loop.time", SimpleNamespace(monotonic=lambda: now[0]))
    save = CheckpointFolder.save

    def spy(self, header, state):
        saved.append((header.epoch, header.batch, header.seconds))
        save(self, header, state)
        now[0] += 100

    monkeypatch.setattr(CheckpointFolder, "save", spy)
    recipe = replace(TINY, batch_size=2, epochs=1, callbacks={})  # 16 steps

    def stop_after(count):
        ask = stop_at(count)

        def stop():
            now[0] += 45  # seconds a step
            return ask()

        return stop

    policy = CheckpointPolicy(minutes=1.5, share=0.5)
    with pytest.raises(RunStoppedError):
        run_recipe(recipe, tmp_path / "run", tree, "cpu", stop=stop_after(4), policy=policy)
    assert saved == [(0, 3, 90.0), (0, 4, 280.0)]  # due after two steps of 45 seconds; and by the signal
    now[0] = 5.0  # as another process has it
    run_recipe(recipe, tmp_path / "run", resume=True, stop=stop_after(0), policy=policy)
    # Then every third step, since saving for 100 seconds needs as many between.
    assert [place[:2] for place in saved[2:]] == [(0, 7), (0, 10), (0, 13), (0, 16), (1, 0)]
    assert saved[2][2] == 280 + 2 * 45
