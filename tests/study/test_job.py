"""A run of a study as a job: its failures, its lock and its threads."""

import os
import signal

import pytest
import torch

from freqfast.study import gather, load_study
from freqfast.study.folder import StudyFolder
from freqfast.study.job import Busy, Job
from freqfast.training import RunStoppedError

ONE_SEED = ("[0, 1]", "[0]")


def test_an_unexpected_error_names_its_kind_until_the_run_succeeds(write, tmp_path, monkeypatch):
    study, folder = load_study(write(ONE_SEED)), StudyFolder(tmp_path / "out")
    run = study.runs(["low"])[0]
    monkeypatch.setattr("freqfast.training.run_recipe", lambda *args, **options: {}["oops"])
    assert Job(run, folder).perform() == "KeyError: 'oops'"
    assert gather(study, folder.path).failures == {"low/seed-0": "KeyError: 'oops'"}
    monkeypatch.setattr("freqfast.training.run_recipe", lambda *args, **options: (tmp_path / "out").mkdir())
    assert not isinstance(Job(run, folder).perform(), Busy)  # a file in the way is another matter
    assert "File exists" in gather(study, folder.path).failures["low/seed-0"]
    monkeypatch.setattr("freqfast.training.run_recipe", lambda *args, **options: None)
    assert Job(run, folder).perform() is None
    assert gather(study, folder.path).failures == {}


def test_a_file_s_name_in_an_error_may_be_no_utf8(write, tmp_path, monkeypatch):
    study, folder = load_study(write(ONE_SEED)), StudyFolder(tmp_path / "out")

    def run_recipe(*args, **options):
        raise ValueError(f"{os.fsdecode(b'caf' + bytes([233]) + b'.png')} is corrupt")

    monkeypatch.setattr("freqfast.training.run_recipe", run_recipe)
    assert Job(study.runs(["low"])[0], folder).perform() == r"caf\udce9.png is corrupt"
    assert gather(study, folder.path).failures == {"low/seed-0": r"caf\udce9.png is corrupt"}


def test_a_run_that_failed_before_is_not_failed_while_it_runs_again(write, tmp_path, monkeypatch):
    study, folder = load_study(write(ONE_SEED)), StudyFolder(tmp_path)
    job = Job(study.runs(["low"])[0], folder)
    job.write_failure("out of memory", "")

    def run_recipe(*args, **options):
        assert gather(study, folder.path).failures == {}
        raise RunStoppedError("interrupted", signal.SIGINT)

    monkeypatch.setattr("freqfast.training.run_recipe", run_recipe)
    with pytest.raises(RunStoppedError):
        job.perform()
    assert gather(study, folder.path).failures == {}


def test_a_run_is_in_use_while_it_is_measured_on_cifar10_c_bar(write, tmp_path, monkeypatch):
    """So that two studies on one folder do not measure it twice."""
    (run,), folder, measured = load_study(write()).runs(["low"], [0]), StudyFolder(tmp_path), []

    def evaluate(*options):
        with pytest.raises(BlockingIOError), folder.run(run).locked():
            pass
        measured.append(options)

    folder.run(run).path.mkdir(parents=True)
    monkeypatch.setattr("freqfast.training.run_recipe", lambda *_, **options: None)
    monkeypatch.setattr("freqfast.study.job.evaluate_c_bar", evaluate)
    job = Job(run, folder, c_bar=True)
    assert job.perform() is None
    with folder.run(run).locked():
        assert isinstance(job.perform(), Busy)
    assert len(measured) == 1


def test_threads_of_a_run_in_this_process_are_its_own(write, tmp_path, monkeypatch):
    seen, before = [], torch.get_num_threads()
    monkeypatch.setattr("freqfast.training.run_recipe", lambda *_, **options: seen.append(torch.get_num_threads()))
    run = load_study(write()).runs()[0]
    for threads in (before + 1, None):
        assert Job(run, StudyFolder(tmp_path), threads=threads).perform() is None
    assert (*seen, torch.get_num_threads()) == (before + 1, before, before)
