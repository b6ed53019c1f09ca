"""`freqfast rerun`: the same run once more, and what came out differently."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

TINY = ("--set", "model.width=8", "--set", "batch_size=16", "--set", "test_images=2", "--set", "lr=0.05", "--epochs", 1)


@pytest.fixture(autouse=True)
def _no_commits_meanwhile(monkeypatch):
    """A resumed run warns of another commit of the checkout; someone may make one while the tests run."""
    monkeypatch.setattr("freqfast.training.environment._git_state", lambda: None)


@pytest.fixture
def run(call, tree, place, monkeypatch):
    """A finished run."""
    monkeypatch.setattr("freqfast.training.outcome.available", lambda: ("pixelate",))
    words = ("--data", tree, *TINY, "--seed", 5, "--device", "cpu", "--out", "runs/one")
    result = call("run", "resnet18_cifar10.modulation", *words)
    assert result.code == 0, result.err
    return place / "runs" / "one"


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_same_bits(call, run, place):
    result = call("rerun", "runs/one")
    assert (result.code, result.err) == (0, "")
    for expected in ("equal, bit for bit", "clean", "corrupted", "run directory: ", "one-rerun"):
        assert expected in result.out
    assert result.out.count("equal") >= 4  # weights, two accuracies, environment
    again = run.with_name("one-rerun")
    assert (again / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    before = {path: path.stat().st_mtime_ns for path in again.rglob("*")}
    assert call("rerun", "runs/one").out == result.out
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*")} == before  # only compared


def test_differences_are_told(call, run, place):
    """A run whose weights, accuracy and environment are not what a repetition gives."""
    weights = load_file(run / "model.safetensors")
    header = (run / "model.safetensors").read_bytes()
    length = int.from_bytes(header[:8], "little")
    metadata = json.loads(header[8 : 8 + length])["__metadata__"]
    weights["fc.bias"] = weights["fc.bias"] + 0.5
    save_file(weights, run / "model.safetensors", metadata)
    report = json.loads((run / "report.json").read_text())
    change(run / "report.json", clean=0.12345)
    environment = json.loads((run / "environment.json").read_text())
    change(run / "environment.json", packages=environment["packages"] | {"torch": "1.0"}, python="3.0.0")
    result = call("rerun", "runs/one", "--out", "twice")
    assert result.code == 0, result.err
    assert "largest difference 0.5" in result.out
    assert f"12.35 %, now {100 * report['clean']:.2f} %" in result.out or "12.34 %, now" in result.out
    assert "2 differences" in result.out
    change(run / "environment.json", packages=environment["packages"])
    assert "1 difference " in call("rerun", "runs/one", "--out", "twice").out
    assert "environment: python: 3.0.0, now 3." in result.out
    assert "environment: packages.torch: 1.0, now " in result.out
    assert os.listdir(place / "twice")


def test_settings_of_the_run_are_taken_over(call, run, place):
    """Threads and precision, whatever this process or machine would choose."""
    change(run / "environment.json", precision="bfloat16")
    torch.set_num_threads(2)
    result = call("rerun", run, "--out", "twice")
    assert result.code == 0, result.err
    assert torch.get_num_threads() == 2
    environment = json.loads((place / "twice" / "environment.json").read_text())
    assert (environment["threads"], environment["precision"]) == (1, "bfloat16")
    assert json.loads((place / "twice" / "report.json").read_text())["precision"] == "bfloat16"
    assert (place / "twice" / "recipe.toml").read_text() == (run / "recipe.toml").read_text()


def test_refusals(refused, run, place):
    assert "is the run itself; choose another --out" in refused("rerun", run, "--out", "runs/one")
    assert "nosuch is not a finished run: recipe.toml is missing" in refused("rerun", "nosuch")
    (run / "report.json").unlink()
    assert "is not a finished run: report.json is missing" in refused("rerun", run)


def test_data_that_is_not_the_runs(call, run, tree, place):
    """It is repeated on what is there, and told: the accuracy is one of other images."""
    (tree / "train" / "dark" / "3.png").unlink()
    (tree / "train" / "light" / "3.png").unlink()
    result = call("rerun", run, "--out", "twice")
    assert result.code == 0, result.err
    assert "environment: data.sha256: " in result.out
