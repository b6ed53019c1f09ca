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
from freqfast.training import RunStoppedError, run_recipe
from tests.support.ranks import on_ranks  # noqa: F401
from tests.support.tiny import FILES, TINY, outcome
from tests.training import rank_tasks

ROOT = Path(__file__).parents[2]


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def rows(out):
    """The numbers of ``metrics.csv``, by epoch, without times."""
    return [
        [float(cell) for cell in line.split(",")[:-1]] for line in (out / "metrics.csv").read_text().splitlines()[1:]
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def test_two_ranks_train_as_one_process(on_ranks, tree, folder):  # noqa: F811
    """But for the order of sums, where nothing is drawn apart and no BatchNorm takes statistics of a rank's part."""
    (one,) = on_ranks(rank_tasks.watched_run, rank_tasks.ALIKE, folder / "one", tree, count=1)
    both = on_ranks(rank_tasks.watched_run, rank_tasks.ALIKE, folder / "two", tree)
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


@pytest.fixture(scope="module")
def trained(on_ranks, tree, folder):  # noqa: F811
    """What `rank_tasks.train` gives, by rank."""
    return on_ranks(rank_tasks.train, folder, tree)


def test_ranks_agree_on_weights_and_draw_apart(trained, folder):
    (first, *_), (second, *_) = trained
    assert all(map(equal, first["epochs"], second["epochs"]))
    assert all(map(torch.equal, first["noise"], second["noise"]))
    assert len(first["noise"]) == 4
    assert not any(map(torch.equal, first["images"], second["images"]))
    assert first["report"] == second["report"]
    assert first["report"].proportion.after == (0.75, 0.25)
    assert sorted(path.name for path in (folder / "whole").iterdir()) == FILES
    assert RunDirectory(folder / "whole").read_environment().ranks == 2


def test_a_signal_to_one_rank_stops_all_and_the_resumed_run_has_the_same_bits(trained, folder):
    for position, (signum, message) in trained[0][1].items():
        assert signum == 15
        assert message.startswith("interrupted ")
        assert trained[1][1][position] == (signum, message)
        assert outcome(folder / str(position)) == outcome(folder / "whole")


def test_refusals_reach_all_ranks(trained, folder):
    """On the first rank in the words of one process; the others learn which rank failed."""
    first, second = trained[0][2], trained[1][2]
    assert first["exists"].startswith("FileExistsError")
    assert first["batch"] == "ValueError: a batch_size of 15 cannot be split evenly over 2 ranks; choose a multiple"
    assert second["batch"] == f"RunStoppedError: rank 0: {first['batch'].partition(': ')[2]}"
    assert second["data"].startswith("FileNotFoundError")
    assert first["data"] == f"RunStoppedError: rank 1: {second['data'].partition(': ')[2]}"
    assert not (folder / "odd").exists()


@pytest.mark.parametrize(
    ("way", "reason"), [("memory", "rank 1: out of memory after 1 epochs "), ("killed", "another rank has ended")]
)
def test_a_rank_that_fails_alone_ends_the_others(on_ranks, tree, tmp_path, way, reason):  # noqa: F811
    first, second = on_ranks(rank_tasks.train_and_fail, tmp_path / "run", tree, way)
    assert isinstance(first, RunStoppedError)
    assert str(first).startswith(reason)
    assert (second is None) == (way == "killed")
    with pytest.raises(ValueError, match=r"run was started with ranks 2, here are 1; go on with as many processes as"):
        run_recipe(TINY, tmp_path / "run", resume=True)


def test_the_first_rank_alone_prints_and_writes(on_ranks, tree, tmp_path):  # noqa: F811
    """Training and evaluation are shared; of another command the first rank does all, and a study starts its own."""
    out, sets = tmp_path / "run", ("model.width=8", "batch_size=16", "test_images=2", "lr=0.05", "epochs=1")
    train = f"run resnet18_cifar10.best --device cpu --data {tree} --out {out}"
    train += "".join(f" --set {setting}" for setting in sets)
    evaluate = f"evaluate {out} --on-the-fly --corruption pixelate --corruption contrast --out {tmp_path}/"
    lines = (train, f"{evaluate}two.json", "recipes", "study absent.toml", "finetune timm:x", f"run --resume {out}")
    assert on_ranks(rank_tasks.command, tmp_path, *lines) == [[0, 0, 0, 2, 2, 0]] * 2
    said = (tmp_path / "0").read_text()
    for line in (
        "run directory: ",
        "mean over all measured",
        "quickstart",
        "a study starts the processes of",
    ):
        assert line in said
    assert said.count("clean accuracy") == 2
    assert (tmp_path / "1").read_text() == ""
    assert on_ranks(rank_tasks.command, tmp_path, f"{evaluate}one.json", count=1) == [[0]]
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert one["provenance"].pop("command") != two["provenance"].pop("command")
    assert one == two


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
