import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from freqfast.corruptions import BAR, corrupt
from freqfast.data import load_data
from freqfast.models.classifier import Classifier
from freqfast.runs.directory import RunDirectory
from freqfast.runs.run import load_run
from freqfast.study import gather, load_study, merge, pending_runs, run_study, summarise
from freqfast.study.job import Job
from freqfast.training import RunStoppedError
from tests.support.runs import ENVIRONMENT

RUNS = ["baseline/seed-0", "low/seed-0", "baseline/seed-1", "low/seed-1"]
BROKEN = """
[arms.broken]
recipe = "resnet18_cifar10.baseline"
seeds = [0]
settings = { lr = 1e30 }
"""


def times(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_study_from_nothing_to_its_table(write, tree, tmp_path, here):
    study, out, ended, told = load_study(write()), tmp_path / "out", [], []
    errors = run_study(
        study, out, data_path=tree, progress=lambda *call: told.append(call), ended=lambda *call: ended.append(call)
    )
    assert errors == {}
    assert [(run.name, error) for run, error in ended] == [(name, None) for name in RUNS]
    assert sorted(os.listdir(out)) == ["runs"]
    assert sorted(os.listdir(out / "runs" / "low")) == ["seed-0", "seed-1"]
    run = load_run(out / "runs" / "low" / "seed-1")
    assert (run.recipe.seed, run.recipe.width) == (1, 8)
    assert run.report["proportion"]["after"] == [1, 0]
    results = gather(study, out)
    assert [row.name for row in results.rows] == sorted(RUNS)
    assert results.rows[3].recipe == run.recipe
    assert results.rows[3].report["accuracy"] == run.report["accuracy"]
    assert "path" not in results.rows[3].environment["data"]
    assert [summary.seeds for summary in summarise(study, results.rows)] == [(0, 1), (0, 1)]
    assert {total for _, total, message in told if "runs; " in message} == {4}
    assert any(message.startswith("2 of 4 runs; baseline/seed-1: epoch 1/1") for _, _, message in told)

    before = times(out)
    assert run_study(study, out, data_path=tree / "absent") == {}  # not even the data is looked at
    assert times(out) == before
    (out / "runs" / "low" / "seed-0" / "report.json").unlink()
    assert [run.name for run in pending_runs(study, out)[0]] == ["low/seed-0"]
    assert run_study(study, out, data_path=tree) == {}
    assert gather(study, out).rows[2].same_numbers(results.rows[2])
    changed = {path for path, time in times(out).items() if before.get(path) != time and path.is_file()}
    assert {path.parent for path in changed} == {out / "runs" / "low" / "seed-0"}


def test_arms_seeds_and_what_others_published(write, tree, tmp_path, here):
    study, out = load_study(write()), tmp_path / "out"
    assert [run.name for run in pending_runs(study, out, ["low"])[0]] == ["low/seed-0", "low/seed-1"]
    assert [run.name for run in pending_runs(study, out, (), [1], {"low/seed-1"})[0]] == ["baseline/seed-1"]
    assert run_study(study, out, arms=["low"], seeds=[1], data_path=tree) == {}
    assert [row.name for row in gather(study, out).rows] == ["low/seed-1"]
    with pytest.raises(ValueError, match="no arm 'nosuch'"):
        run_study(study, out, arms=["nosuch"])


def test_one_failed_run_does_not_stop_the_others(write, tree, tmp_path, here):
    study, out, ended = load_study(write(("[0, 1]", "[0]"), extra=BROKEN)), tmp_path / "out", []
    errors = run_study(study, out, data_path=tree, ended=lambda run, error: ended.append((run.name, error)))
    assert list(errors) == ["broken/seed-0"]
    assert "the training diverged" in errors["broken/seed-0"]
    assert [name for name, _ in ended] == ["baseline/seed-0", "low/seed-0", "broken/seed-0"]
    assert ended[2][1] == errors["broken/seed-0"]
    results = gather(study, out)
    assert [row.arm for row in results.rows] == ["baseline", "low"]
    assert results.failures == errors
    left = (out / "runs" / "broken" / "seed-0.error").read_text()
    assert left.startswith(errors["broken/seed-0"] + "\n")
    assert "Traceback" in left


def test_an_error_of_ours_is_a_failed_run_too(write, tree, tmp_path, here, monkeypatch):
    def fail(*args, **options):
        raise KeyError("oops")

    study, out = load_study(write(("[0, 1]", "[0]"))), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("freqfast.training.run_recipe", fail)
        assert set(run_study(study, out, data_path=tree).values()) == {"KeyError: 'oops'"}
    assert set(gather(study, out).failures.values()) == {"KeyError: 'oops'"}
    assert run_study(study, out, data_path=tree) == {}
    assert gather(study, out).failures == {}
    assert not list(out.rglob("*.error"))


def test_a_run_of_another_recipe_is_not_taken_for_this_one(write, tree, tmp_path, here):
    out = tmp_path / "out"
    run_study(load_study(write(("[0, 1]", "[0]"))), out, data_path=tree)
    before = times(out / "runs")
    study = load_study(write(("[0, 1]", "[0]"), ("epochs = 1", "epochs = 2")))
    errors = run_study(study, out, data_path=tree)
    assert list(errors) == RUNS[:2]
    for error in errors.values():
        assert "seed-0 was made with another recipe (epochs 1, not 2); remove it, or name the arm anew" in error
    assert times(out / "runs") == before
    assert gather(study, out).rows == ()
    assert list(gather(study, out).failures) == RUNS[:2]
    assert merge(gather(load_study(write()), out).rows, gather(study, out)).rows == ()


def test_an_arm_in_other_words_goes_on(write, tree, tmp_path, here):
    out = tmp_path / "out"
    study = load_study(write(("[0, 1]", "[0]")))
    run_study(study, out, data_path=tree)
    (out / "runs" / "low" / "seed-0" / "report.json").unlink()
    study = load_study(write(("[0, 1]", "[0]"), ("all filters low", "every filter low")))
    assert run_study(study, out, data_path=tree) == {}
    assert [row.name for row in gather(study, out).rows] == RUNS[:2]


def test_a_device_that_is_not_here_is_refused_at_once(write, tree, tmp_path, here):
    study, out = load_study(write()), tmp_path / "out"
    with pytest.raises(ValueError, match="device 'nosuch' is not available here"):
        run_study(study, out, data_path=tree, device="nosuch")
    assert not out.exists()


def test_what_will_not_be_measured_is_told_first(write, tree, tmp_path, here, monkeypatch):
    monkeypatch.setattr("freqfast.corruptions.unavailable", lambda: {"frost": "no photographs; get them"})
    study, out = load_study(write(("[0, 1]", "[0]"))), tmp_path / "out"
    with pytest.warns(UserWarning, match="no run will have a mean15: no photographs; get them"):
        run_study(study, out, arms=["low"], data_path=tree)
    (note,) = gather(study, out).notes
    assert note.startswith("low/seed-0 was not measured under gaussian_noise, ")


def test_a_damaged_run_is_told(write, tree, tmp_path, here):
    study, out = load_study(write(("[0, 1]", "[0]"))), tmp_path / "out"
    run_study(study, out, data_path=tree)
    (out / "runs" / "low" / "seed-0" / "report.json").write_text("{}")
    (out / "runs" / "baseline" / "seed-0" / "model.safetensors").write_bytes(b"")
    failures = gather(study, out).failures
    assert "report.json is not sound" in failures["low/seed-0"]
    assert "not a sound safetensors file" in failures["baseline/seed-0"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("nosuch.x = 1", "arm 'x': unknown callback 'nosuch'; the callbacks are .*frequency_proportion"),
        ("frequency_proportion.puriti = 1", "arm 'x': frequency_proportion has no argument 'puriti'; its arguments"),
        ("frequency_proportion.proportions = { low = 0.5 }", r"arm 'x': .*must sum to 1, got 0\.5"),
        ("spectral_modulation.sigma = 1979-05-27", r"arm 'x': spectral_modulation\.sigma must be of type float"),
    ],
)
def test_all_callbacks_are_checked_before_anything_runs(write, tree, tmp_path, here, extra, message):
    study = load_study(write(extra=f'[arms.x]\nrecipe = "resnet18_cifar10.baseline"\ncallbacks.{extra}\n'))
    with pytest.raises(ValueError, match=message):
        run_study(study, tmp_path / "out", arms=["baseline"], data_path=tree)
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        run_study(load_study(write()), tmp_path / "out", data_path=tree / "absent")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('settings.model = "resnet81"', "arm 'x': .*resnet81"),
        ('settings.precision = "float23"', "arm 'x': precision must be one of .*, got 'float23'"),
        ("settings.batch_size = 33", r"arm 'x': batch_size must lie in 1\.\.32"),
        ("callbacks.frequency_proportion = { proportions = { low = 1.0 }, purity = 0.995 }", r"arm 'x': .*0\.995"),
        (
            "callbacks.frequency_proportion.proportions = { low = 1.0 }\ncallbacks.spectrum_recorder.bands = 3",
            "arm 'x': spectrum_recorder and frequency_proportion differ in bands or layer",
        ),
    ],
)
def test_every_arm_is_built_before_anything_runs(write, tree, tmp_path, here, extra, message):
    study = load_study(write(extra=f'[arms.x]\nrecipe = "resnet18_cifar10.baseline"\n{extra}\n'))
    with pytest.raises(ValueError, match=message) as caught:
        run_study(study, tmp_path / "out", data_path=tree)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('data = "cifar01"', "arm 'baseline': unknown data 'cifar01'"),
        ("holdout = 32", r"arm 'baseline': holdout must lie in 0\.\.31, got 32"),
    ],
)
def test_settings_of_all_arms_are_tried_before_anything_runs(write, tree, tmp_path, here, setting, message):
    study = load_study(write(("test_images = 2", f"test_images = 2\n{setting}")))
    with pytest.raises(ValueError, match=message):
        run_study(study, tmp_path / "out", data_path=tree)
    assert not (tmp_path / "out").exists()


def test_a_stopped_study_goes_on(write, tree, tmp_path, here):
    study, out, ended = load_study(write(("epochs = 1", "epochs = 2"))), tmp_path / "out", []

    def stop():  # in the second run's first step
        return 15 if len(ended) == 1 and (out / "runs" / "low" / "seed-0").exists() else None

    with pytest.raises(RunStoppedError, match="interrupted with 3 of 4 runs left; call it again to go on") as caught:
        run_study(study, out, data_path=tree, ended=lambda *call: ended.append(call), stop=stop)
    assert caught.value.signum == 15
    assert gather(study, out).failures == {}
    assert (out / "runs" / "low" / "seed-0" / "checkpoints").is_dir()
    assert run_study(study, out, data_path=tree) == {}
    stopped = gather(study, out)
    assert len(stopped.rows) == 4
    run_study(study, tmp_path / "whole", arms=["low"], seeds=[0], data_path=tree)
    assert gather(study, tmp_path / "whole").rows[0].same_numbers(stopped.rows[2])


def test_a_run_that_another_process_works_on_is_left_alone(write, tree, tmp_path, here):
    from freqfast.files import lock_folder

    study, out = load_study(write(("[0, 1]", "[0]"))), tmp_path / "out"
    run_study(study, out, data_path=tree)
    folder = out / "runs" / "low" / "seed-0"
    (folder / "report.json").unlink()
    with lock_folder(folder):
        assert "in use by another process" in run_study(study, out, data_path=tree)["low/seed-0"]
    assert not list(out.rglob("*.error"))


def test_a_run_that_another_process_starts_at_the_same_time_is_left_alone(write, tree, tmp_path, here):
    (run,) = load_study(write()).runs(["low"], [0])
    job = Job(run, tmp_path / "out", tree)
    with ExitStack() as other:

        def start(done, total, message):  # while this one reads its data
            if not job.folder.exists():
                other.enter_context(RunDirectory(job.folder).created(run.recipe, ENVIRONMENT))

        assert "in use by another process" in job.perform(start)
        assert sorted(os.listdir(job.folder)) == ["environment.json", "recipe.toml"]
    assert not list(tmp_path.rglob("*.error"))


def test_the_second_set_is_measured_where_the_study_asks_for_it(write, tree, tmp_path, here, monkeypatch):
    out, one = tmp_path / "out", ("[0, 1]", "[0]")
    plain = load_study(write(one))
    run_study(plain, out, data_path=tree)
    before = times(out)
    study = load_study(write(one, ("seeds", "bar = true\nseeds")))
    assert [run.name for run in pending_runs(study, out)[0]] == RUNS[:2]
    assert gather(study, out).finished == ()
    with pytest.raises(RunStoppedError):
        run_study(study, out, data_path=tree, stop=lambda: 2)
    assert times(out) == before
    assert run_study(study, out, data_path=tree) == {}  # nothing is trained again
    changed = {path.name for path, time in times(out).items() if before.get(path) != time and path.is_file()}
    assert changed == {"bar.json"}
    row = gather(study, out).rows[0]
    assert tuple(row.report["bar"]) == BAR
    run, data = load_run(out / "runs" / "baseline" / "seed-0"), load_data("cifar10", tree)
    classifier = Classifier(run.model, run.stored.mean, run.stored.std, precision="float32")
    accuracies = [
        (classifier.predict(corrupt(data.test.images[:2], name, severity)) == data.test.labels[:2]).mean()
        for name in BAR
        for severity in range(1, 6)
    ]
    assert row.measures()["mean_bar"] == pytest.approx(np.mean(accuracies))
    assert pending_runs(study, out) == ([], {})
    assert "mean_bar" not in gather(plain, out).rows[0].measures()

    (run.path / "bar.json").unlink()
    with Image.open(changed_image := next((tree / "test" / "dark").glob("*.png"))) as image:
        other = tmp_path / "other"
        shutil.copytree(tree, other)
        image.transpose(Image.Transpose.ROTATE_90).save(other / "test" / "dark" / changed_image.name)
    (error,) = run_study(study, out, data_path=other).values()
    assert error == f"{run.path} was trained on other data than this; name its own"
    assert not (run.path / "bar.json").exists()
    (run.path / "bar.json").write_text('{"mean_bar": NaN, "accuracy": {}}')
    assert "bar.json is damaged (mean_bar nan); remove it" in gather(study, out).failures["baseline/seed-0"]
    (run.path / "bar.json").unlink()
    monkeypatch.setattr("freqfast.study.job.evaluate_bar", lambda *args: (_ for _ in ()).throw(ValueError("no")))
    assert run_study(study, out, data_path=tree) == {"baseline/seed-0": "no"}
    assert gather(study, out).failures == {"baseline/seed-0": "no"}


def test_photographs_have_no_place(write, tmp_path):
    run = load_study(write()).runs()[0]
    assert Job(run, tmp_path, "somewhere").own_data_path == "somewhere"
    photos = replace(run, recipe=replace(run.recipe, data="photos"))
    assert Job(photos, tmp_path, "somewhere").own_data_path is None


def test_processes_need_submitit(write, tree, tmp_path, here, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    for options, name in (({"jobs": 2}, "--jobs"), ({"slurm": {}}, "--slurm")):
        with pytest.raises(ImportError, match=rf"{name} needs submitit; .*pip install 'freqfast\[cluster\]'"):
            run_study(load_study(write()), tmp_path / "out", data_path=tree, **options)


def test_in_a_process_of_its_own(write, tree, tmp_path):
    """submitit's executor for real: threads are as asked for, and nothing of its files stays behind."""
    study, out, ended = load_study(write()), tmp_path / "out", []
    errors = run_study(
        study, out, arms=["low"], seeds=[0], data_path=tree, threads=1, ended=lambda *call: ended.append(call)
    )
    assert errors == {}
    assert [error for _, error in ended] == [None]
    environment = json.loads((out / "runs" / "low" / "seed-0" / "environment.json").read_text())
    assert environment["threads"] == 1
    assert os.listdir(out / "jobs") == []
