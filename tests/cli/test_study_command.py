"""`freqfast study`."""

import errno
import json
import signal
import sys
from unittest.mock import Mock

import pytest
from freqfast.cli.study import parse_slurm

from freqfast.runs.directory import RunDirectory
from tests.cli.test_run_command import at_step, send
from tests.support.finished import write_run
from tests.support.studies import BROKEN, STUDY

TINY = STUDY.replace("Stripes", "Tiny [bold]study")
MINE = "from freqfast import Recipe\nlow = Recipe('mine', weight_decay=0.125)\n"
MINE_ARM = '[arms.low]\nrecipe = "mine_for_study:low"'


@pytest.fixture
def file(place):
    path = place / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _here(monkeypatch, two_corruptions):
    """Measures two corruptions only."""
    monkeypatch.setattr("freqfast.corruptions.runnable", lambda names, frost_dir=None: (names, []))


def test_from_the_words_to_the_table(call, accepted, file, tree, place):
    words = ("study", "tiny.toml", "--data", tree)
    result = accepted(*words, "--arm", "baseline", "--seed", 1)
    lines = result.err.splitlines()
    assert lines[0].startswith("baseline/seed-1: resnet18_cifar10.baseline: 1 epoch of 2 steps on cpu")
    assert lines[1].startswith("baseline/seed-1: epoch 1/1: train loss ")
    assert lines[-1] == "baseline/seed-1: finished"
    assert "Tiny [bold]study" in " ".join(result.out.split())
    assert "1 of 4 runs are finished, on tree\n" in result.out
    assert "runs/tiny/results.json" in result.out
    assert not (place / "tiny.results.json").exists()

    result = accepted(*words, "--results", "tiny.results.json")
    ends = [line for line in result.err.splitlines() if line.endswith(": finished")]
    assert ends == ["baseline/seed-0: finished", "low/seed-0: finished", "low/seed-1: finished"]
    assert "4 of 4 runs are finished" in result.out
    content = json.loads((place / "tiny.results.json").read_text(encoding="utf-8"))
    assert content == json.loads((place / "runs" / "tiny" / "results.json").read_text(encoding="utf-8"))
    assert len(content["runs"]) == 4

    # On another machine: what is published counts as finished, and is run again on request only.
    elsewhere = accepted(*words, "--out", "other", silent=True)
    assert "4 of 4 runs are finished" in elsewhere.out
    assert not (place / "other").exists()
    table = call("study", "tiny.toml", "--out", "other", "--table", "--markdown")
    assert table.out.startswith("| arm | n | clean | diff |")
    content["runs"][2]["report"]["clean"] = 0.123
    (place / "tiny.results.json").write_text(json.dumps(content), encoding="utf-8")
    repeated = call(*words, "--out", "other", "--repeat", "--arm", "low", "--seed", 0)
    assert repeated.err.endswith("low/seed-0: finished\n")
    assert "published low/seed-0 differs: clean 12.30, here" in repeated.out
    assert json.loads((place / "tiny.results.json").read_text(encoding="utf-8")) == content


def test_what_only_another_run_of_elsewhere_measured_is_still_to_do(call, file, tree, place, monkeypatch):
    """A published row that differs from this machine's is not in the table, so what it measured does not count."""
    words = ("study", file, "--data", tree, "--arm", "low", "--seed", 0)
    call(*words, "--results", "tiny.results.json")
    content = json.loads((place / "tiny.results.json").read_text(encoding="utf-8"))
    file.write_text(TINY.replace("seeds", "bar = true\nseeds", 1), encoding="utf-8")
    monkeypatch.setattr("freqfast.study.run_study", run := Mock(return_value={}))
    for clean, skipped in ((content["runs"][0]["report"]["clean"], ("low/seed-0",)), (0.123, ())):
        content["runs"][0]["report"] |= {"clean": clean, "mean_bar": 0.5, "bar": {"lines": {"1": 0.5}}}
        (place / "tiny.results.json").write_text(json.dumps(content), encoding="utf-8")
        call(*words)
        assert run.call_args.kwargs["skip"] == skipped


def test_failed_runs_are_named_at_the_end(call, accepted, file, tree, place):
    file.write_text(TINY.replace("[0, 1]", "[0]") + BROKEN, encoding="utf-8")
    words = ("study", file, "--data", tree, "--out", "out")
    result = call(*words)
    assert result.code == 1
    assert result.err.endswith("freqfast: 1 of the runs failed: broken/seed-0\n")
    assert "Traceback" not in result.err
    assert "broken/seed-0 failed: the training diverged" in result.out
    assert "0, 1 failed" in result.out
    assert "2 of 3 runs are finished" in result.out
    again = accepted("study", file, "--out", "out", "--table")
    assert "broken/seed-0 failed: the training diverged" in again.out
    (place / "out" / "runs" / "low" / "seed-0" / "model.safetensors").unlink()  # damaged after it has finished
    result = call(*words, "--arm", "low")
    assert result.code == 1
    assert result.err.endswith("freqfast: 1 of the runs failed: low/seed-0\n")
    assert "low/seed-0 failed: " in result.out
    accepted(*words, "--arm", "baseline")


def test_a_run_that_cannot_go_on_is_told(call, accepted, file, tree):
    words = ("study", file, "--data", tree, "--arm", "low", "--seed", 0)
    with at_step(1, send(signal.SIGTERM)):
        call(*words)
    file.write_text(TINY.replace("epochs = 1", "epochs = 2"), encoding="utf-8")
    result = call(*words)
    message = "was made with another recipe (epochs 1, not 2); remove it, or rename the arm"
    assert result.code == 1
    assert message in result.out
    # Where a result file has it from elsewhere, it counts as finished unless it is to be repeated.
    accepted(*words, "--out", "elsewhere", "--results", "tiny.results.json")
    assert "1 of 4 runs are finished" in accepted(*words, silent=True).out
    result = call(*words, "--repeat")
    assert result.code == 1
    assert message in result.err


def test_a_run_that_another_process_works_on_is_no_failure(call, file, tree, place):
    words = ("study", file, "--data", tree, "--out", "out", "--arm", "low", "--seed", 0)
    with at_step(1, send(signal.SIGTERM)):
        assert call(*words).code == 143
    with RunDirectory(place / "out" / "runs" / "low" / "seed-0").locked():
        result = call(*words)
    assert result.code == 0
    assert "low/seed-0: " in result.err
    assert "is in use by another process" in result.err
    assert "0 of 4 runs are finished" in result.out


def test_a_package_that_is_missing_is_one_line(refused, file, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "pip install 'freqfast[cluster]'" in refused("study", file, "--slurm", "partition=gpu")


def test_options_say_how_runs_are_run(accepted, file, monkeypatch):
    monkeypatch.setattr("freqfast.study.run_study", run := Mock(return_value={}))
    words = ("--jobs", 3, "--threads", 2, "--device", "cuda:1", "--arm", "low", "--seed", 1)
    accepted("study", file, *words)
    given = {"jobs": 3, "threads": 2, "device": "cuda:1", "arms": ["low"], "seeds": [1], "slurm": None}
    assert {name: run.call_args.kwargs[name] for name in given} == given


def test_recipes_of_the_user_are_imported_on_request_only(accepted, refused, file, place, monkeypatch):
    (place / "mine_for_study.py").write_text(MINE)
    file.write_text(TINY.replace('[arms.low]\nrecipe = "resnet18_cifar10.baseline"', MINE_ARM), encoding="utf-8")
    line = refused("study", file)
    assert "arms.low: recipe 'mine_for_study:low' is code of the module 'mine_for_study'; to let it be imported" in line
    assert "mine_for_study" not in sys.modules
    monkeypatch.setattr("freqfast.study.run_study", run := Mock(return_value={}))
    accepted("study", file, "--module", "mine_for_study")
    assert run.call_args.args[0].arms[1].recipe.weight_decay == 0.125
    monkeypatch.delitem(sys.modules, "mine_for_study")


def test_the_folder_of_a_run_is_no_study(refused, file, place):
    run = write_run(place / "run")
    assert "is the directory of a run; choose another --out" in refused("study", file, "--out", run, "--table")


def test_titles_and_errors_tell_the_terminal_nothing(accepted, file, place):
    file.write_text(TINY.replace("[bold]", "\\u001b[31m"), encoding="utf-8")
    failure = place / "out" / "runs" / "low" / "seed-0.error"
    failure.parent.mkdir(parents=True)
    failure.write_text("\x1b[2J.png cannot be used\n\n")
    result = accepted("study", file, "--out", "out", "--table")
    assert "low/seed-0 failed: ?[2J.png cannot be used" in result.out
    assert "\x1b" not in result.out


def test_what_fails_last_costs_nothing_before_it(call, file, tree, place, monkeypatch):
    """The table is printed where files cannot be written, and the files are written where a pipe is closed."""
    fail = Mock(side_effect=OSError(errno.EROFS, "Read-only file system"))
    words = ("study", file, "--out", "out")
    call(*words, "--data", tree, "--arm", "baseline", "--seed", 0)
    with monkeypatch.context() as patch:
        patch.setattr("freqfast.study.write_results", fail)
        result = call(*words, "--table")
    assert result.code == 1
    assert "1 of 4 runs are finished" in result.out
    monkeypatch.setattr("freqfast.cli.study._print", fail)
    call(*words, "--table", "--results", "mine.json")
    assert (place / "out" / "results.json").is_file()
    assert (place / "mine.json").is_file()


def test_figures_of_what_was_measured(call, accepted, file, tree, place):
    words = ("study", file, "--out", "out")
    assert "figures" not in call(*words, "--data", tree, "--arm", "baseline", "--seed", 0).out
    path = place / "out" / "runs" / "baseline" / "seed-0" / "report.json"
    whole = {"mean15": 0.6, "mean_bar": 0.7, "families": {"noise": 0.5}}  # as with all corruptions
    path.write_text(json.dumps(json.loads(path.read_text()) | whole))
    result = accepted(*words, "--table")
    assert "out/figures/clean_robust.png" in result.out
    names = [f"{name}.{kind}" for name in ("clean_mean_bar", "clean_robust", "families") for kind in ("png", "svg")]
    assert sorted(path.name for path in (place / "out" / "figures").iterdir()) == names


def test_stopped(call, file, tree, monkeypatch):
    with at_step(1, send(signal.SIGTERM)):
        result = call("study", file, "--data", tree)
    assert result.code == 143
    assert result.err.endswith("; the same command goes on\n")
    monkeypatch.setattr("freqfast.study.job.Job.perform", Mock(side_effect=KeyboardInterrupt))
    result = call("study", file, "--data", tree)
    assert result.code == 130
    assert result.err.endswith("freqfast: stopped at once; the same command goes on\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--arm", "lwo"), "the study has no arm 'lwo'; its arms are baseline, low"),
        (("--seed", "5"), "no arm of the study has seed 5; the seeds are 0, 1"),
        (("--data", "absent"), "absent does not exist"),
        (("--out", "tiny.toml"), "tiny.toml cannot be made, since "),
        (("--out", "tiny.toml", "--table"), "tiny.toml cannot be made, since "),
        (("--slurm", "partition=x", "--jobs", "2"), "how many runs go on at a time; leave out --jobs"),
        (
            ("--table", "--arm", "low", "--repeat"),
            "--table runs nothing, and shows all that is finished; leave out --arm, --repeat",
        ),
        (("--table",), "nothing has been run: there is neither runs/tiny nor "),
        (("--results", "no/x.json"), "folder no does not exist; create it or choose another path"),
    ],
)
def test_refused(refused, file, words, message):
    assert message in refused("study", file, *words)


def test_a_wrong_file_is_refused(refused, file):
    assert "absent.toml does not exist; name a study file (.toml)" in refused("study", "absent.toml")
    file.write_text(TINY.replace("proportions = {", "proportoins = {"), encoding="utf-8")
    line = refused("study", file)
    assert "arm 'low': " in line
    assert "'proportoins'" in line
    file.write_text(TINY, encoding="utf-8")
    file.with_suffix(".results.json").write_text("{")
    assert "tiny.results.json" in refused("study", file)


def test_slurm_parameters():
    pytest.importorskip("submitit")
    assert parse_slurm(["partition=gpu,gpus=1", "time=120, mem=16GB", "exclusive=true"]) == {
        "partition": "gpu", "gpus_per_node": 1, "time": 120, "mem": "16GB", "exclusive": True,
    }  # fmt: skip
    assert parse_slurm(["partition=short,long,gpus=1", "exclude=n1,n2"]) == {
        "partition": "short,long", "gpus_per_node": 1, "exclude": "n1,n2",
    }  # fmt: skip
    assert parse_slurm(["exclusive=false"]) == {"exclusive": False}
    assert parse_slurm(["cpus-per-task=4"]) == parse_slurm(["cpus=4"]) == {"cpus_per_task": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu", "--slurm 'gpu': write KEY=VALUE,KEY=VALUE, such as partition=gpu,gpus=1"),
        ("queue=gpu", "--slurm has no parameter 'queue'; it has account, array_parallelism"),
        ("gpus=1,gpus_per_node=2", "--slurm sets gpus_per_node twice"),
        ("time=2h", "--slurm time must be whole minutes, got '2h'"),
        ("time=true", "--slurm time must be whole minutes, got True"),
    ],
)
def test_wrong_slurm_parameters(text, message):
    pytest.importorskip("submitit")
    with pytest.raises(ValueError, match=message):
        parse_slurm([text])
