import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from PIL import Image

from freqfast.corruptions import C_BAR, MAIN, corrupt
from freqfast.data import load_data
from freqfast.models.classifier import Classifier
from freqfast.robustness import CLEAN, CorruptionResult, Outcomes
from freqfast.robustness.provenance import Provenance
from freqfast.runs.directory import RunDirectory
from freqfast.runs.run import load_run
from freqfast.study import Arm, Study, gather, load_study, merge, run_study, summarise
from freqfast.study.folder import StudyFolder
from freqfast.study.job import Job
from freqfast.study.running import pending_runs
from freqfast.training import RunStoppedError
from tests.support.finished import write_run
from tests.support.runs import ENVIRONMENT
from tests.support.studies import BROKEN

RUNS = ["baseline/seed-0", "low/seed-0", "baseline/seed-1", "low/seed-1"]
ONE_SEED = ("[0, 1]", "[0]")


def times(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def changed_since(before, folder):
    return {path for path, time in times(folder).items() if before.get(path) != time and path.is_file()}


def test_study_from_nothing_to_its_table(write, tree, tmp_path, here):
    study, out, ended, told = load_study(write()), tmp_path / "out", [], []
    errors = run_study(
        study, out, data_path=tree, progress=lambda *call: told.append(call), ended=lambda *call: ended.append(call)
    )
    assert errors == {}
    assert [(run.name, error) for run, error in ended] == [(name, None) for name in RUNS]
    assert sorted(os.listdir(out)) == ["runs"]
    assert sorted(os.listdir(out / "runs" / "low")) == ["seed-0", "seed-1"]
    run = load_run(out / "runs" / "low" / "seed-1")
    assert (run.recipe.seed, run.recipe.model_options) == (1, {"width": 8})
    assert run.report.proportion.after == (1, 0)
    results = gather(study, out)
    assert [row.name for row in results.rows] == sorted(RUNS)
    assert (results.rows[3].recipe, results.rows[3].report.accuracy) == (run.recipe, run.report.accuracy)
    outcomes = CorruptionResult.load(out / "runs" / "low" / "seed-1" / "evaluation.json").outcomes
    assert results.rows[3].groups["clean"] == tuple(outcomes[CLEAN].correct)  # fewer images than groups
    assert results.rows[3].environment.data.path is results.rows[3].report.intervals is None
    assert [summary.seeds for summary in summarise(study, results.rows)] == [(0, 1), (0, 1)]
    # A run is an epoch, and two for 18 or 19 corruptions at 5 severities of 2 images; an epoch is 32 images, 3 times.
    assert {total for _, total, message in told if "runs; " in message} == {12}
    assert any(message.startswith("2 of 4 runs; baseline/seed-1: epoch 1/1") for _, _, message in told)

    before = times(out)
    assert run_study(study, out, data_path=tree / "absent") == {}  # not even the data is looked at
    assert times(out) == before
    (out / "runs" / "low" / "seed-0" / "report.json").unlink()
    assert [run.name for run in pending_runs(study, out)[0]] == ["low/seed-0"]
    study = load_study(write(("all filters low", "every filter low")))  # a description is free to change
    assert run_study(study, out, data_path=tree) == {}
    assert gather(study, out).rows[2].same_numbers(results.rows[2])
    assert {path.parent for path in changed_since(before, out)} == {out / "runs" / "low" / "seed-0"}


def test_chosen_arms_and_seeds(write, tmp_path):
    study, out = load_study(write()), tmp_path / "out"
    assert [run.name for run in pending_runs(study, out, ["low"])[0]] == ["low/seed-0", "low/seed-1"]
    assert [run.name for run in pending_runs(study, out, (), [1], {"low/seed-1"})[0]] == ["baseline/seed-1"]
    (out / "runs" / "low" / "seed-0").mkdir(parents=True)
    left, errors = pending_runs(study, out, ["low"])
    assert ([run.name for run in left], list(errors)) == (["low/seed-1"], ["low/seed-0"])
    assert "seed-0 cannot be continued: " in errors["low/seed-0"]
    assert errors["low/seed-0"].endswith("recipe.toml is missing; remove it, or rename the arm")


def test_failed_run_does_not_stop_the_others(write, tree, tmp_path, here):
    study, out, ended = load_study(write(extra=BROKEN)), tmp_path / "out", []
    arms, skip = ["low", "broken"], {"low/seed-0"}
    errors = run_study(study, out, arms=arms, skip=skip, data_path=tree, ended=lambda *call: ended.append(call))
    assert list(errors) == ["broken/seed-0"]
    assert "the training diverged" in errors["broken/seed-0"]
    assert [(run.name, error) for run, error in ended] == [*errors.items(), ("low/seed-1", None)]
    results = gather(study, out)
    assert [row.name for row in results.rows] == ["low/seed-1"]
    assert results.failures == errors
    left = (out / "runs" / "broken" / "seed-0.error").read_text()
    assert left.startswith(errors["broken/seed-0"] + "\n")
    assert "Traceback" in left


def test_directory_of_another_recipe_is_left_alone(write, tree, tmp_path, here):
    out = tmp_path / "out"
    run_study(load_study(write(ONE_SEED)), out, arms=["low"], data_path=tree)
    before = times(out / "runs")
    study = load_study(write(ONE_SEED, ("epochs = 1", "epochs = 2")))
    ended = []
    errors = run_study(study, out, arms=["low"], data_path=tree, ended=lambda *call: ended.append(call))
    assert list(errors) == list(gather(study, out).failures) == ["low/seed-0"]
    message = "seed-0 was made with another recipe (epochs 1, not 2); remove it, or rename the arm"
    assert message in errors["low/seed-0"]
    assert [(run.name, error) for run, error in ended] == list(errors.items())
    assert run_study(study, out, arms=["low"], skip=["low/seed-0"]) == {}  # it is finished elsewhere
    assert times(out / "runs") == before
    assert gather(study, out).rows == ()
    assert merge(gather(load_study(write()), out).rows, gather(study, out)).rows == ()


def test_missing_corruptions_are_a_warning_and_a_note(write, tree, tmp_path, here, monkeypatch):
    monkeypatch.setattr("freqfast.corruptions.runnable", lambda names: (names, ["no photographs; get them"]))
    study, out = load_study(write(ONE_SEED)), tmp_path / "out"
    with pytest.warns(UserWarning, match="no run will have a mean15: no photographs; get them"):
        run_study(study, out, arms=["low"], data_path=tree)
    (note,) = gather(study, out).notes
    assert note.startswith("low/seed-0 was not measured under gaussian_noise, ")
    (out / "runs" / "low" / "seed-0" / "report.json").write_text("{}")
    assert "report.json: " in gather(study, out).failures["low/seed-0"]


@pytest.mark.parametrize(
    ("old", "new", "options", "message"),
    [
        ("frequency_proportion", "nosuch", {}, "arm 'low': unknown callback 'nosuch'; the callbacks are .*augmix"),
        ("low = 1.0 }", "low = 1.0 }\npurity = 0.995", {}, r"arm 'low': .*0\.995"),
        ('"float32"', '"float23"', {}, "arm 'baseline': precision must be one of .*, got 'float23'"),
        ("test_images = 2", 'data = "cifar01"', {}, "arm 'baseline': unknown data 'cifar01'"),
        ("test_images = 2", "holdout = 32", {}, r"arm 'baseline': holdout must be a number of .* 0\.\.31, got 32"),
        ("test_images = 2", 'data = "photos"', {}, "the photo"),  # which take no place
        ("Stripes", "Stripes", {"device": "nosuch"}, "device 'nosuch' is not available here"),
    ],
)
def test_arms_data_and_device_are_tried_before_anything_runs(write, tree, tmp_path, here, old, new, options, message):
    study = load_study(write((old, new)))
    with pytest.raises(ValueError, match=message) as caught:
        run_study(study, tmp_path / "out", data_path=tree, **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_arm_that_is_not_run_here_may_need_what_is_missing_here(write, tree, tmp_path, here):
    study = load_study(write(ONE_SEED, ("frequency_proportion", "of_another_machine")))
    assert run_study(study, tmp_path / "out", arms=["baseline"], data_path=tree) == {}
    assert run_study(study, tmp_path / "out", skip=["low/seed-0"]) == {}


def test_a_study_stops_while_it_reads_its_data(write, tree, tmp_path, here):
    with pytest.raises(RunStoppedError, match=r"^interrupted in decoding images$") as caught:
        run_study(load_study(write()), tmp_path / "out", data_path=tree, stop=lambda: 15)
    assert caught.value.signum == 15
    assert not (tmp_path / "out").exists()


def test_stopped_study_goes_on(write, tree, tmp_path, here):
    study, out, ended = load_study(write(ONE_SEED)), tmp_path / "out", []

    def stop():  # in the second run's first step
        return 15 if len(ended) == 1 and (out / "runs" / "low" / "seed-0").exists() else None

    with pytest.raises(RunStoppedError, match="interrupted with 1 run left; it can be resumed") as caught:
        run_study(study, out, data_path=tree, ended=lambda *call: ended.append(call), stop=stop)
    assert caught.value.signum == 15
    assert gather(study, out).failures == {}
    assert (out / "runs" / "low" / "seed-0" / "checkpoints").is_dir()
    assert run_study(study, out, data_path=tree) == {}
    run_study(study, tmp_path / "whole", arms=["low"], data_path=tree)
    assert gather(study, tmp_path / "whole").rows[0].same_numbers(gather(study, out).rows[1])


def test_run_of_another_process_is_left_alone(write, tree, tmp_path, here):
    """Whether it runs already, or starts while this one reads its data."""
    study = load_study(write())
    (run,) = study.runs(["low"], [0])
    job = Job(run, StudyFolder(tmp_path / "out"), tree)
    folder = tmp_path / "out" / "runs" / "low" / "seed-0"
    with ExitStack() as other:

        def start(done, total, message):
            if not folder.exists():
                other.enter_context(RunDirectory(folder).created(run.recipe, ENVIRONMENT))

        assert "seed-0 was just made by another process" in job.perform(start)
        assert "in use by another process" in job.perform()
        assert run_study(study, tmp_path / "out", arms=["low"], seeds=[0], data_path=tree) == {}  # which is no failure
        assert sorted(os.listdir(folder)) == ["environment.json", "recipe.toml"]
    assert not list(tmp_path.rglob("*.error"))


def test_cifar10_c_bar_is_measured_if_the_study_asks_for_it(write, tree, tmp_path, here):
    held = ("test_images = 2", "test_images = 4\nholdout = 8")  # whose labels are not those of the first test images
    plain, study = (load_study(write(ONE_SEED, held, bar)) for bar in (("", ""), ("seeds", "bar = true\nseeds")))
    out = tmp_path / "out"
    run_study(plain, out, arms=["low"], data_path=tree)
    before, c_bar = times(out), out / "runs" / "low" / "seed-0" / "bar.json"
    assert [run.name for run in pending_runs(study, out, ["low"])[0]] == ["low/seed-0"]
    assert gather(study, out).finished == ()
    with pytest.raises(RunStoppedError):
        run_study(study, out, arms=["low"], data_path=tree, stop=lambda: 2)
    assert times(out) == before

    other = shutil.copytree(tree, tmp_path / "other")
    with Image.open(image := next((other / "test" / "wide").glob("*.png"))) as picture:
        picture.transpose(Image.Transpose.ROTATE_90).save(image)
    errors = run_study(study, out, arms=["low"], data_path=other)
    assert errors == {"low/seed-0": f"{other} is not the data that {c_bar.parent} was trained on; name its own"}
    assert gather(study, out).failures == errors

    assert run_study(study, out, arms=["low"], data_path=tree) == {}
    assert {path.name for path in changed_since(before, out)} == {"bar.json"}  # nothing is trained again
    (row,) = gather(study, out).rows
    assert tuple(row.report.bar) == C_BAR
    run, images = load_run(c_bar.parent), load_data("cifar10", tree).hold_out(8).test[:4]
    classifier = Classifier(run.network, precision="float32")
    right = np.array(
        [
            classifier.predict(corrupt(images.pixels, name, severity, seed=1)) == images.labels  # as its other images
            for name in C_BAR
            for severity in range(1, 6)
        ]
    )
    assert json.loads(c_bar.read_text())["weights_sha256"] == run.weights_sha256
    assert row.measures()["mean_bar"] == pytest.approx(right.mean())
    assert row.groups["mean_bar"] == pytest.approx(right.mean(axis=0))  # four images, each a group
    assert pending_runs(study, out, ["low"]) == ([], {})
    assert "mean_bar" not in gather(plain, out).rows[0].measures()
    c_bar.write_text('{"mean_bar": NaN, "accuracy": {}, "images": 1, "seconds": 1, "version": ""}')
    assert "bar.json: mean_bar must be" in gather(study, out).failures["low/seed-0"]
    values = {"mean_bar": 0.5, "accuracy": {}, "images": 1, "seconds": 1.0, "version": "", "weights_sha256": None}
    c_bar.write_text(json.dumps(values))
    assert gather(study, out).rows[0].report.mean_bar == 0.5
    c_bar.write_text(json.dumps(values | {"weights_sha256": "0"}))
    assert "bar.json is of another model than the run's; remove it" in gather(study, out).failures["low/seed-0"]
    CorruptionResult({}).save(c_bar.parent / "evaluation.json")
    assert "evaluation.json is of another model than the run's" in gather(study, out).failures["low/seed-0"]


def outcomes(right):
    """Outcomes with these right answers."""
    return Outcomes.measure(right, np.full(len(right), 0.75), np.ones(len(right)))


def test_measures_by_groups_are_of_the_evaluation_that_is_reported(tmp_path):
    rng, names = np.random.default_rng(0), {"mean15": MAIN, "mean7": (*MAIN[7:11], *MAIN[12:]), "noise": MAIN[:3]}
    right = {key: rng.random(60) < 0.7 for key in [CLEAN, *product(MAIN, range(1, 6))]}
    path = tmp_path / "runs" / "a" / "seed-0"
    path.parent.mkdir(parents=True)
    write_run(path, result=CorruptionResult({key: outcomes(found) for key, found in right.items()}))
    study = Study("of one run", "", "a", (Arm("a", RunDirectory(path).read_recipe(), (0,)),))
    (row,) = gather(study, tmp_path).rows
    assert row.groups.keys() == {"clean", "blur", "weather", "digital", *names}
    for name, corruptions in names.items():
        scores = np.mean([right[key] for key in product(corruptions, range(1, 6))], axis=0)
        assert row.groups[name] == pytest.approx([scores[i::50].mean() for i in range(50)], abs=1e-5)
    weights = load_run(path).weights_sha256
    of = Provenance("a", weights, (0.5,) * 3, (0.25,) * 3, "float32", "c", None, 0, (0, 30), "0", ())
    later = {key: outcomes(found[:30]) for key, found in right.items()}
    CorruptionResult(later, provenance=of).save(path / "evaluation.json")  # of the same model, on fewer images
    assert gather(study, tmp_path).rows == (replace(row, groups={}),)


@pytest.mark.slow
def test_in_a_process_of_its_own(write, tree, tmp_path):
    """With submitit's executor: threads are as asked for, and nothing of its files stays behind."""
    study, out, ended = load_study(write(('model = "tiny"\n', ""))), tmp_path / "out", []  # of these tests alone
    errors = run_study(
        study, out, arms=["low"], seeds=[0], jobs=2, data_path=tree, threads=1, ended=lambda *call: ended.append(call)
    )
    assert errors == {}
    assert [error for _, error in ended] == [None]
    environment = json.loads((out / "runs" / "low" / "seed-0" / "environment.json").read_text())
    assert environment["threads"] == 1
    assert not (out / "jobs").exists()
