"""Checkpoints that rotted: the run goes on from the one before, or says in one line that it cannot."""

import hashlib
import json
import shutil
import warnings
from dataclasses import replace
from random import Random

import pytest

from freqfast.runs.directory import RunDirectory
from freqfast.runs.run import load_run
from freqfast.spectra.h5 import read_spectra
from freqfast.training import RunStoppedError, run_recipe
from freqfast.training.checkpoint import CheckpointFolder, CheckpointPolicy, read_checkpoint
from tests.support.tiny import TINY, outcome

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("two_corruptions")]


@pytest.fixture
def checkpoints(tree, tmp_path):
    """Two checkpoints of an unfinished run, the older first."""
    calls = iter(range(10))
    with pytest.raises(RunStoppedError):
        run_recipe(
            TINY, tmp_path / "run", tree, "cpu", policy=CheckpointPolicy(minutes=0, share=1),
            stop=lambda: 15 if (tmp_path / "run").exists() and next(calls) == 2 else None,
        )  # fmt: skip
    older, newer = sorted((tmp_path / "run" / "checkpoints").iterdir())
    return older, newer


def flip(file, bit):
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def truncate(file, size):
    file.write_bytes(file.read_bytes()[:size])


@pytest.mark.parametrize(
    ("damage", "where"),
    [(flip, 100_000), (truncate, 0), *(pytest.param(*d, marks=pytest.mark.slow) for d in ((flip, 5), (truncate, 9)))],
)
def test_the_last_is_damaged(checkpoints, tmp_path, reference, damage, where):
    damage(checkpoints[1], where)
    with pytest.warns(
        UserWarning, match=f"{checkpoints[1].name} is damaged .*; going on from .* {checkpoints[0].name}"
    ):
        run_recipe(TINY, tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run") == reference


def test_both_are_damaged(checkpoints, tmp_path, reference):
    for file in checkpoints:
        truncate(file, 1000)
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(ValueError, match=r"all checkpoints in .* are damaged .*remove that folder") as caught,
    ):
        run_recipe(TINY, tmp_path / "run", resume=True)
    assert "\n" not in str(caught.value)
    for file in checkpoints:  # as the message says
        file.unlink()
    checkpoints[0].parent.rmdir()
    run_recipe(TINY, tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run") == reference


@pytest.mark.slow
def test_checkpoints_damaged_anywhere(checkpoints, tmp_path, tell):
    """Every truncation and flipped bit of many is noticed, so that the one before is taken."""
    folder, content, rng = CheckpointFolder(tmp_path / "run" / "checkpoints"), checkpoints[1].read_bytes(), Random(0)
    older = read_checkpoint(checkpoints[0])["position"]
    for number in range(400):
        where = rng.randrange(len(content))
        if number % 2:
            checkpoints[1].write_bytes(content[:where])
        else:
            flip(checkpoints[1], 8 * where + rng.randrange(8))
        with pytest.warns(UserWarning, match=r"is damaged .*; going on from the one before"):
            assert folder.load()["position"] == older
        checkpoints[1].write_bytes(content)
    tell("checkpoints: 200 of 200 truncations and 200 of 200 flipped bits noticed")


def refused(tmp_path):
    """What resume says; None if it goes on."""
    try:
        run_recipe(RunDirectory(tmp_path / "run").read_recipe(), tmp_path / "run", resume=True)
    except (ValueError, FileNotFoundError) as error:  # the latter where it is the path of the data
        assert "\n" not in str(error)  # noqa: PT017
        return str(error)
    return None


def test_a_recipe_damaged_anywhere(checkpoints, tmp_path):
    path, rng = tmp_path / "run" / "recipe.toml", Random(0)
    content = path.read_bytes()
    for number in range(100):
        where = rng.randrange(len(content) - 1)
        if number % 2:
            truncate(path, where)
        else:
            flip(path, 8 * where + rng.randrange(8))
        message = refused(tmp_path)
        assert message is not None, path.read_text()
        assert "recipe.toml" in message
        path.write_bytes(content)


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 40))])
def test_an_environment_damaged_anywhere(checkpoints, tmp_path, reference, number):
    """It is refused, or what was damaged is told and makes no difference."""
    path, rng = tmp_path / "run" / "environment.json", Random(number)
    where = rng.randrange(len(path.read_bytes()) - 2)
    truncate(path, where) if number % 4 == 0 else flip(path, 8 * where + rng.randrange(8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        message = refused(tmp_path)
    if message is None:
        assert outcome(tmp_path / "run") == reference


def test_a_table_of_metrics_that_is_damaged_is_written_anew(checkpoints, tmp_path, reference):
    (tmp_path / "run" / "metrics.csv").write_bytes(b"\xff\x00garbage")
    assert refused(tmp_path) is None
    assert outcome(tmp_path / "run") == reference


def test_decoded_data_that_rots_is_decoded_again(checkpoints, tmp_path, reference):
    (array,) = (tmp_path / "cache").glob("*/train_images.npy")
    flip(array, 8 * (array.stat().st_size - 100))
    assert refused(tmp_path) is None
    assert outcome(tmp_path / "run") == reference


@pytest.fixture(scope="session")
def finished(start, reference, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    start(out).join()
    return out


@pytest.mark.parametrize("count", [20, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["spectra.h5", "model.safetensors", "report.json"])
def test_results_damaged_anywhere(finished, tmp_path, name, count):
    """A reader gives the content or one line; what is cut off is always noticed."""
    content, rng, copy = (finished / name).read_bytes(), Random(count), tmp_path / "run"
    shutil.copytree(finished, copy)
    read = read_spectra if name == "spectra.h5" else lambda path: load_run(path.parent)
    for number in range(count):
        (copy / name).write_bytes(content)
        where = rng.randrange(len(content) - 1)
        if number % 2:
            truncate(copy / name, where)
        else:
            flip(copy / name, 8 * where + rng.randrange(8))
        try:
            read(copy / name)
        except (ValueError, OSError) as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert number % 2 == 0, where


def test_of_another_training(checkpoints, tmp_path):
    other = replace(TINY, callbacks={})
    (tmp_path / "run" / "recipe.toml").write_text(other.to_toml())
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    environment["recipe_sha256"] = hashlib.sha256(other.to_toml().encode()).hexdigest()
    (tmp_path / "run" / "environment.json").write_text(json.dumps(environment))
    with pytest.raises(ValueError, match=r"the checkpoint does not fit this training: .*log_gain"):
        run_recipe(other, tmp_path / "run", resume=True)
