"""`freqfast rerun`: a run repeated, and the difference."""

import json
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.test_run_command import BASELINE, at_step, send
from tests.support.finished import write_run

pytestmark = pytest.mark.usefixtures("no_commits", "two_corruptions")


@pytest.fixture
def run(accepted, tree, place):
    """A finished run."""
    accepted(*BASELINE, "--data", tree, "--seed", 5, "--device", "cpu", "--out", "runs/one")
    return place / "runs" / "one"


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_same_bits(call, accepted, run):
    with at_step(1, send(signal.SIGTERM)):
        stopped = call("rerun", "runs/one")
    assert stopped.code == 143
    assert stopped.err.splitlines()[-1].endswith("; the same command goes on")
    result = accepted("rerun", "runs/one", silent=True)
    for expected in ("equal, bit for bit", "clean", "corrupted", "run directory: ", "one-rerun"):
        assert expected in result.out
    assert result.out.count("equal") >= 4  # weights, two accuracies, environment
    again = run.with_name("one-rerun")
    assert (again / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    compared = call("rerun", "runs/one").out
    assert "equal, bit for bit" in compared
    assert result.out.endswith(compared)


def test_differences_are_told(accepted, run, tree, place):
    """A run whose weights, accuracy, data and environment are not what a repetition gives."""
    for name in ("narrow", "wide"):
        (tree / "train" / name / "3.png").unlink()
    weights = load_file(run / "model.safetensors")
    header = (run / "model.safetensors").read_bytes()
    length = int.from_bytes(header[:8], "little")
    metadata = json.loads(header[8 : 8 + length])["__metadata__"]
    weights["fc.bias"] = weights["fc.bias"] + 0.5
    save_file(weights, run / "model.safetensors", metadata)
    change(run / "report.json", clean=0.125, weights_sha256=None)  # as of version 0.1
    packages = json.loads((run / "environment.json").read_text())["packages"]
    change(run / "environment.json", packages=packages | {"torch": "1.0"}, python="3.0.0")
    result = accepted("rerun", "runs/one", "--out", "twice")
    clean = json.loads((place / "twice" / "report.json").read_text())["clean"]
    assert "largest difference " in result.out
    assert f"12.50 %, now {100 * clean:.2f} %" in result.out
    assert "3 differences" in result.out
    assert "environment: data.sha256: " in result.out
    assert "environment: python: 3.0.0, now 3." in result.out
    assert "environment: packages.torch: 1.0, now " in result.out


def test_settings_of_the_run_are_taken_over(accepted, run, place):
    """Threads and precision, whatever this process or machine would choose."""
    change(run / "environment.json", precision="bfloat16")
    torch.set_num_threads(2)
    accepted("rerun", run, "--out", "twice")
    assert torch.get_num_threads() == 2
    environment = json.loads((place / "twice" / "environment.json").read_text())
    assert (environment["threads"], environment["precision"]) == (1, "bfloat16")
    assert json.loads((place / "twice" / "report.json").read_text())["precision"] == "bfloat16"
    assert (place / "twice" / "recipe.toml").read_text() == (run / "recipe.toml").read_text()


def test_data_of_other_classes_is_no_repetition(call, accepted, run, tree, place):
    """It is said before the training, and of a finished run before the weights are compared."""
    shutil.copytree(tree, place / "other")
    for part in ("train", "test"):
        shutil.copytree(place / "other" / part / "wide", place / "other" / part / "wider")
    result = call("rerun", "runs/one", "--data", "other")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "one was trained on the classes narrow, wide, but those of other are narrow, wide, wider;" in result.err
    assert not run.with_name("one-rerun").exists()
    accepted(*BASELINE, "--data", "other", "--seed", 5, "--device", "cpu", "--out", "runs/two")
    result = call("rerun", "runs/one", "--out", "runs/two")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "but those of runs/two are narrow, wide, wider;" in result.err


def test_refusals(refused, place):
    run = write_run(place / "one", data="photos")
    assert "is the run itself; choose another" in refused("rerun", run, "--out", "one")
    assert "nosuch is no run directory: recipe.toml is missing" in refused("rerun", "nosuch")
    assert "device 'cuda:99' is not available here" in refused("rerun", run, "--device", "cuda:99")
    (run / "report.json").unlink()
    assert "is not a finished run: report.json is missing" in refused("rerun", run)
