import errno
import json
from pathlib import Path

import pytest

from freqfast.study import load_study, published_path, read_results, summarise, tables

SMALL = Path(__file__).parents[2] / "recipes" / "studies" / "small.toml"
STUDY = """
title = "Tiny [bold]study"
seeds = [0, 1]
baseline = "baseline"

[settings]
width = 8
batch_size = 16
test_images = 2
epochs = 1
lr = 0.05
precision = "float32"

[arms.baseline]
recipe = "resnet18_cifar10.baseline"

[arms.low]
recipe = "resnet18_cifar10.baseline"
callbacks.frequency_proportion.proportions = { low = 1.0 }
"""
BROKEN = '[arms.broken]\nrecipe = "resnet18_cifar10.baseline"\nseeds = [0]\nsettings = { lr = 1e30 }\n'


@pytest.fixture
def file(place):
    path = place / "tiny.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    """Runs in this process, as where submitit is not installed, and measures two corruptions only."""
    monkeypatch.setattr("freqfast.study.running.find_spec", lambda name: None)
    monkeypatch.setattr("freqfast.training.outcome.available", lambda: ("contrast", "pixelate"))
    monkeypatch.setattr("freqfast.corruptions.unavailable", dict)


def test_the_help_says_what_a_table_writes(call):
    words = " ".join(call("study", "--help").out.replace("│", " ").split())
    assert "Run nothing; show what is finished, and write the folder's results.json and figures anew." in words


def test_from_the_words_to_the_table(call, file, tree, place):
    words = ("study", "tiny.toml", "--data", tree)
    result = call(*words, "--arm", "baseline", "--seed", 1)
    assert result.code == 0, result.err
    assert result.err == "baseline/seed-1: finished\n"
    assert "Tiny [bold]study" in " ".join(result.out.split())
    assert "1 of 4 runs are finished" in result.out
    assert "runs/tiny/results.json" in result.out
    assert not (place / "tiny.results.json").exists()

    result = call(*words, "--results", "tiny.results.json")
    assert result.code == 0, result.err
    assert result.err.splitlines() == ["baseline/seed-0: finished", "low/seed-0: finished", "low/seed-1: finished"]
    assert "4 of 4 runs are finished" in result.out
    content = json.loads((place / "tiny.results.json").read_text(encoding="utf-8"))
    assert content == json.loads((place / "runs" / "tiny" / "results.json").read_text(encoding="utf-8"))
    assert [(row["arm"], row["seed"]) for row in content["runs"]] == [
        ("baseline", 0), ("baseline", 1), ("low", 0), ("low", 1),
    ]  # fmt: skip

    before = {path: path.stat().st_mtime_ns for path in (place / "runs" / "tiny" / "runs").rglob("*")}
    assert call(*words).err == ""
    assert {path: path.stat().st_mtime_ns for path in (place / "runs" / "tiny" / "runs").rglob("*")} == before

    # On another machine: what is published counts as finished, and is run again on request only.
    table = call("study", "tiny.toml", "--out", "other", "--table", "--markdown")
    assert table.out.startswith("| arm | n | clean | diff | time |\n| --- | --: |")
    assert table.out.count("\n") == 4
    (place / "tiny.results.json").rename("kept.json")
    assert call("study", "tiny.toml", "--out", "other", "--table", "--markdown").out.count("\n") == 2
    named = ("--out", "other", "--table", "--markdown", "--results", "kept.json")
    assert call("study", "tiny.toml", *named).out == table.out
    (place / "kept.json").rename("tiny.results.json")
    elsewhere = call(*words, "--out", "other")
    assert (elsewhere.code, elsewhere.err) == (0, "")
    assert "4 of 4 runs are finished" in elsewhere.out
    assert not (place / "other").exists()
    content["runs"][2]["report"]["clean"] = 0.123
    (place / "tiny.results.json").write_text(json.dumps(content), encoding="utf-8")
    repeated = call(*words, "--out", "other", "--repeat", "--arm", "low", "--seed", 0)
    assert repeated.err == "low/seed-0: finished\n"
    assert "published low/seed-0 differs: clean 12.30, here" in repeated.out
    assert json.loads((place / "tiny.results.json").read_text(encoding="utf-8")) == content


def test_differences_to_another_arm(call, refused):
    words = ("study", SMALL, "--table")
    assert "diff: to baseline, paired" in call(*words).out
    assert "diff: to perturbation, paired" in call(*words, "--against", "perturbation").out
    printed = {}
    for arm in ("baseline", "perturbation"):
        headline = call(*words, "--markdown", "--against", arm).out.partition("\n\n")[0]
        cells = [line.split(" | ") for line in headline.splitlines()]
        printed[arm] = {row[0].lstrip("| "): row[3] for row in cells}
    there, back = printed["baseline"]["perturbation"], printed["perturbation"]["baseline"]
    assert float(there.split()[0]) == -float(back.split()[0]) != 0
    assert there.split()[1] == back.split()[1]
    assert printed["baseline"]["baseline"] == printed["perturbation"]["perturbation"] == "-"
    assert "the study has no arm 'high'" in refused(*words, "--against", "high")


def test_a_failed_run_is_named_at_the_end(call, file, tree, place):
    file.write_text(STUDY.replace("[0, 1]", "[0]") + BROKEN, encoding="utf-8")
    result = call("study", file, "--data", tree, "--out", "out")
    assert result.code == 1
    assert result.err.endswith("freqfast: 1 of the runs failed: broken/seed-0\n")
    assert "Traceback" not in result.err
    assert "broken/seed-0 failed: the training diverged" in result.out
    assert "0, 1 failed" in result.out
    assert "2 of 3 runs are finished" in result.out
    again = call("study", file, "--out", "out", "--table")
    assert again.code == 0
    assert "broken/seed-0 failed: the training diverged" in again.out


def test_a_run_that_is_damaged_after_it_finished_is_a_failure_too(call, file, tree, place):
    words = ("study", file, "--data", tree, "--out", "out", "--seed", 0)
    assert call(*words).code == 0
    (place / "out" / "runs" / "low" / "seed-0" / "model.safetensors").unlink()
    result = call(*words)
    assert result.code == 1
    assert result.err == "freqfast: 1 of the runs failed: low/seed-0\n"
    assert "low/seed-0 failed: " in result.out
    assert call(*words, "--arm", "baseline").code == 0


def test_a_failure_tells_the_terminal_nothing(call, file, place):
    failure = place / "out" / "runs" / "low" / "seed-0.error"
    failure.parent.mkdir(parents=True)
    failure.write_text("\x1b[2J.png cannot be used\n\n")
    result = call("study", file, "--out", "out", "--table")
    assert result.code == 0
    assert "low/seed-0 failed: ?[2J.png cannot be used" in result.out
    assert "\x1b" not in result.out


def test_a_result_file_keeps_what_the_study_leaves_out(call, file, tree, place):
    words = ("study", file, "--data", tree, "--out", "out", "--seed", 0)
    call(*words, "--results", "kept.json")
    rows = json.loads((place / "kept.json").read_text())["runs"]
    file.write_text(STUDY.replace("epochs = 1", "epochs = 2").replace("arms.low]", "arms.lower]"), encoding="utf-8")
    result = call("study", file, "--table", "--out", "other", "--results", "kept.json")
    assert "published low/seed-0 is left out: the study has no such arm" in result.out
    assert "published baseline/seed-0 is left out: it was made with another recipe" in result.out
    content = json.loads((place / "kept.json").read_text())
    assert content["runs"] == rows
    assert content["table"] == []
    call(*words, "--out", "other", "--arm", "baseline", "--results", "kept.json")
    new = json.loads((place / "kept.json").read_text())["runs"]
    assert [(row["arm"], row["recipe"]["epochs"]) for row in new] == [("baseline", 2), ("low", 1)]


def test_the_table_comes_before_what_cannot_be_written(call, file, tree, place, monkeypatch):
    def refuse(path, results):
        raise OSError(30, "Read-only file system", str(path))

    words = ("study", file, "--data", tree, "--out", "out", "--arm", "baseline", "--seed", 0)
    call(*words)
    monkeypatch.setattr("freqfast.study.write_results", refuse)
    result = call(*words, "--table")
    assert result.code == 1
    assert "1 of 4 runs are finished" in result.out


def test_no_cell_of_the_table_is_broken(call, place, monkeypatch):
    """Piped, an arm has a line in each table; on a terminal wide tables come in parts, each with the arms' names."""
    expected = tables(summarise(load_study(SMALL), read_results(published_path(SMALL))))
    words = ("study", SMALL, "--out", "absent", "--table")
    piped = call(*words).out.splitlines()
    monkeypatch.setenv("COLUMNS", "80")
    assert call(*words).out.splitlines() == piped
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    shown = call(*words).out.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert max(map(len, shown[2:])) <= 80 < max(map(len, piped))
    for header, rows in expected:
        for cells in (header, *rows):
            assert " ".join(cells).split() in [line.split() for line in piped]
            for cell in cells:
                assert any(line.split()[:1] == cells[:1] and cell in line for line in shown)


def test_figures_of_what_was_measured(call, file, tree, place):
    words = ("study", file, "--data", tree, "--out", "out", "--arm", "baseline", "--seed", 0)
    assert "figures" not in call(*words).out
    path = place / "out" / "runs" / "baseline" / "seed-0" / "report.json"
    whole = {"mean15": 0.6, "mean_bar": 0.7, "families": {"noise": 0.5}}  # as with all corruptions
    path.write_text(json.dumps(json.loads(path.read_text()) | whole))
    result = call(*words, "--table")
    assert result.code == 0, result.err
    assert "out/figures/clean_mean15.png" in result.out
    assert sorted(path.name for path in (place / "out" / "figures").iterdir()) == [
        "clean_mean15.png", "clean_mean15.svg", "clean_mean_bar.png", "clean_mean_bar.svg", "families.png",
        "families.svg",
    ]  # fmt: skip


def test_stopped_at_once(call, file, tree, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("freqfast.study.job.Job.perform", interrupt)
    result = call("study", file, "--data", tree)
    assert result.code == 130
    assert result.err == "freqfast: stopped at once; the same command goes on from the last checkpoints\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--arm", "lwo"), "the study has no arm 'lwo'; its arms are baseline, low"),
        (("--table", "--arm", "lwo"), "the study has no arm 'lwo'"),
        (("--seed", "5"), "no arm of the study has seed 5; the seeds are 0, 1"),
        (("--slurm", "queue=x"), "--slurm has no parameter 'queue'"),
        (("--data", "absent"), "absent does not exist"),
        (("--out", "tiny.toml"), "tiny.toml is a file; choose another --out"),
        (("--slurm", "partition=x", "--jobs", "2"), "how many runs go on at a time; leave out --jobs"),
        (("--results", "no/x.json"), "folder no does not exist; create it or choose another path"),
    ],
)
def test_refused(refused, file, words, message):
    assert message in refused("study", file, *words)


def test_a_wrong_file_is_refused(refused, file):
    assert "absent.toml does not exist; name a study file (.toml)" in refused("study", "absent.toml")
    file.write_text(STUDY.replace("width", "wdith"), encoding="utf-8")
    assert "settings has an unknown key 'wdith'" in refused("study", file)
    file.write_text(STUDY.replace("proportions = {", "proportoins = {"), encoding="utf-8")
    assert "arm 'low': frequency_proportion has no argument 'proportoins'" in refused("study", file)
    file.write_text(STUDY, encoding="utf-8")
    file.with_suffix(".results.json").write_text("{")
    assert "tiny.results.json is no result file of a study: " in refused("study", file)


def test_a_reader_who_has_gone_costs_no_file(call, file, place, monkeypatch):
    def gone(*args):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    (place / "out").mkdir()
    monkeypatch.setattr("freqfast.cli.study._show", gone)
    call("study", file, "--out", "out", "--table", "--results", "mine.json")
    assert (place / "out" / "results.json").is_file()
    assert (place / "mine.json").is_file()


def test_a_title_tells_the_terminal_nothing(call, file):
    file.write_text(STUDY.replace("[bold]", "\\u001b[31m"), encoding="utf-8")
    result = call("study", file, "--table")
    assert result.code == 0
    assert "\x1b" not in result.out
