"""Corrupt files of a run: it goes on from what is sound, or says in one line that it cannot."""

import shutil
import warnings
from random import Random

import pytest

from freqfast.runs.directory import RunDirectory
from freqfast.runs.run import load_run
from freqfast.spectra.h5 import read_spectra
from freqfast.training import RunStoppedError, run_recipe
from tests.support.tiny import OFTEN, TINY, outcome

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("two_corruptions")]


@pytest.fixture
def run(tree, tmp_path):
    """An unfinished run with two checkpoints."""
    calls, directory = iter(range(10)), RunDirectory(tmp_path / "run")
    with pytest.raises(RunStoppedError):
        run_recipe(
            TINY, directory.path, tree, "cpu", policy=OFTEN,
            stop=lambda: 15 if directory.is_started and next(calls) == 2 else None,
        )  # fmt: skip
    return directory


def flip(file, bit):
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def truncate(file, size):
    file.write_bytes(file.read_bytes()[:size])


def damage(file, rng, number):
    """Cut a file off or flip a bit of it, in turn."""
    where = rng.randrange(file.stat().st_size - 2)
    truncate(file, where) if number % 2 else flip(file, 8 * where + rng.randrange(8))


def refused(run):
    """What resume says; None if it goes on."""
    try:
        run_recipe(run.read_recipe(), run.path, resume=True)
    except (ValueError, FileNotFoundError) as error:  # the latter if it is the path of the data
        assert "\n" not in str(error)  # noqa: PT017
        return str(error)
    return None


def test_recipe_damaged_anywhere_is_refused(run):
    content, rng = run.recipe.read_bytes(), Random(0)
    for number in range(100):
        damage(run.recipe, rng, number)
        message = refused(run)
        assert message is not None, run.recipe.read_text()
        assert "recipe.toml" in message
        run.recipe.write_bytes(content)


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 20))])
def test_environment_damaged_anywhere_is_refused_or_makes_no_difference(run, reference, number):
    damage(run.environment, Random(number), number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        message = refused(run)
    assert message is not None or outcome(run.path) == reference


def test_corrupt_checkpoint_metrics_and_decoded_data_are_made_again(run, decoded, tmp_path, reference, monkeypatch):
    monkeypatch.setenv("FREQFAST_CACHE", str(shutil.copytree(decoded, tmp_path / "cache")))
    run.metrics.write_bytes(b"\xff\x00garbage")
    truncate(max(run.checkpoints.iterdir()), 1000)
    for array in (tmp_path / "cache").glob("*/train_images.npy"):
        flip(array, 8 * (array.stat().st_size - 100))
    with pytest.warns(UserWarning, match=r"is corrupt .*; going on from the one before"):
        assert refused(run) is None
    assert outcome(run.path) == reference


@pytest.mark.parametrize("count", [20, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["spectra.h5", "model.safetensors", "report.json"])
def test_result_damaged_anywhere_is_read_or_one_line(finished, tmp_path, name, count):
    """What is cut off is always noticed."""
    content, rng = (finished / name).read_bytes(), Random(count)
    shutil.copytree(finished, tmp_path / "run")
    file = tmp_path / "run" / name
    for number in range(count):
        file.write_bytes(content)
        damage(file, rng, number)
        try:
            read_spectra(file) if name == "spectra.h5" else load_run(file.parent)
        except (ValueError, OSError) as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert number % 2 == 0
