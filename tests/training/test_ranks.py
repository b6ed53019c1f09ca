"""Runs on two ranks: gloo processes on the CPU, as `torchrun` starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from freqfast.runs.directory import RunDirectory
from freqfast.training import run_recipe
from tests.support.ranks import on_ranks  # noqa: F401
from tests.support.tiny import FILES, TINY, equal, outcome
from tests.training import rank_tasks

ROOT = Path(__file__).parents[2]


def rows(out):
    """The numbers of ``metrics.csv``, by epoch, without times."""
    return [
        [float(cell) for cell in line.split(",")[:-1]] for line in (out / "metrics.csv").read_text().splitlines()[1:]
    ]


def files(folder):
    """The contents of all files below a folder, by place, but for what the ranks have printed."""
    places = [path.relative_to(folder) for path in folder.rglob("*") if path.suffix]
    return {place: (folder / place).read_bytes() for place in places}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def trained(on_ranks, tree, folder):  # noqa: F811
    """What `rank_tasks.train` gives, by rank."""
    return on_ranks(rank_tasks.train, folder, tree)


def test_two_ranks_train_as_one_process(trained, tree, folder, two_corruptions):
    """But for the order of sums, where nothing is drawn apart and no BatchNorm takes statistics of a rank's part."""
    one, both = rank_tasks.watched_run(rank_tasks.ALIKE, folder / "one", tree), [alike for alike, *_ in trained]
    assert len(one["epochs"]) == 2
    for alone, first, second in zip(one["epochs"], *(rank["epochs"] for rank in both), strict=True):
        assert equal(first, second)
        for name, value in alone.items():  # the equalizer's reference among them
            torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5)
    for whole, *parts in zip(one["images"], *(rank["images"] for rank in both), strict=True):
        assert torch.equal(torch.stack(parts, 1).flatten(0, 1), whole)
    for found, expected in zip(rows(folder / "two"), rows(folder / "one"), strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    reports = [json.loads((folder / name / "report.json").read_text()) for name in ("one", "two")]
    assert reports[0]["accuracy"] == reports[1]["accuracy"]


def test_ranks_agree_on_weights_and_draw_apart(trained, folder):
    first, second = (seen for _, seen, *_ in trained)
    assert all(map(equal, first["epochs"], second["epochs"]))
    assert all(map(torch.equal, first["noise"], second["noise"]))
    assert len(first["noise"]) == 4
    assert not any(map(torch.equal, first["images"], second["images"]))
    assert first["report"] == second["report"]
    assert first["report"].proportion.after == (0.75, 0.25)
    assert sorted(path.name for path in (folder / "whole").iterdir()) == FILES
    assert RunDirectory(folder / "whole").read_environment().ranks == 2


def test_a_signal_to_one_rank_stops_all_and_the_resumed_run_has_the_same_bits(trained, folder):
    first, second = (stops for *_, stops, _ in trained)
    ends = [(15, f"interrupted in epoch 1, after batch {batch}; it can be resumed") for batch in (1, 2)]
    assert first == second == ends
    assert outcome(folder / "parts") == outcome(folder / "whole")


def test_refusals_and_failures_reach_all_ranks(trained, folder):
    """On the rank that fails in the words of one process; the other learns which one failed."""
    first, second = (refused for *_, refused in trained)
    assert first["exists"].startswith("FileExistsError")
    assert first["batch"] == "ValueError: a batch_size of 15 cannot be split evenly over 2 ranks; choose a multiple"
    assert second["batch"] == f"RunStoppedError: rank 0: {first['batch'].partition(': ')[2]}"
    assert second["data"].startswith("FileNotFoundError")
    assert first["data"] == f"RunStoppedError: rank 1: {second['data'].partition(': ')[2]}"
    assert not (folder / "odd").exists()
    assert second["memory"].startswith("RunStoppedError: out of memory after 1 epochs ")
    assert first["memory"].startswith("RunStoppedError: rank 1: out of memory after 1 epochs ")


def test_a_process_that_is_killed_ends_the_others(on_ranks, tree, tmp_path):  # noqa: F811
    first, second = on_ranks(rank_tasks.train_and_die, tmp_path / "run", tree)
    assert first.startswith("RunStoppedError: another rank has ended")
    assert second is None
    with pytest.raises(ValueError, match=r"run was started with ranks 2, here are 1; go on with as many processes as"):
        run_recipe(TINY, tmp_path / "run", resume=True)


def test_run_alone_works_in_several_processes(on_ranks, tree, tmp_path):  # noqa: F811
    """Other commands are refused in one line, which the first rank prints."""
    out, sets = tmp_path / "run", ("model=\"'tiny'\"", "batch_size=16", "test_images=2", "lr=0.05", "epochs=1")
    train = f"run resnet18_cifar10.best --device cpu --data {tree} --out {out}"
    train += "".join(f" --set {setting}" for setting in sets)
    others = (f"evaluate {out}", f"corrupt {tree} -o stored", f"quality {out}", "study absent.toml")
    assert on_ranks(rank_tasks.command, tmp_path, train, *others, f"run --resume {out}") == [[0, 2, 2, 2, 2, 0]] * 2
    said = (tmp_path / "0").read_text()
    assert "study works in one process, `run` in several; leave torchrun out" in said
    assert said.count("clean accuracy") == 2
    assert (tmp_path / "1").read_text() == ""


@pytest.mark.slow
def test_ctrl_c_under_torchrun_and_resume(tree, tmp_path):
    """The command as it is typed, stopped as a terminal stops it, has the outcome of a run that was not."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "freqfast"]
    words = ["run", "resnet18_cifar10.best", "--device", "cpu", "--data", str(tree), "--save-minutes", "0"]
    for setting in ("model.width=8", "batch_size=16", "test_images=2", "lr=0.05", "epochs=12"):
        words += ["--set", setting]
    environment = os.environ | {"FREQFAST_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    subprocess.run([*torchrun, *words, "--out", "whole"], cwd=tmp_path, env=environment, check=True)
    process = subprocess.Popen(
        [*torchrun, *words, "--out", "run"], cwd=tmp_path, env=environment, start_new_session=True,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "run" / "checkpoints").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert said.count("freqfast: finishing the step and saving") == said.count("freqfast: interrupted in epoch") == 1
    assert "--resume run` on as many ranks" in said
    subprocess.run([*torchrun, "run", "--resume", "run"], cwd=tmp_path, env=environment, check=True)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
