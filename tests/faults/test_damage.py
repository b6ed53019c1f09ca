"""Checkpoints that rotted: the run goes on from the one before, or says in one line that it cannot."""

import pytest
from tiny import TINY, outcome

from freqfast.checkpoint import CheckpointPolicy
from freqfast.training import RunStoppedError, run_recipe

pytestmark = pytest.mark.usefixtures("two_corruptions")


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
    ("damage", "where"), [(flip, 5), (flip, 100_000), (truncate, 0), (truncate, 9), (truncate, 50_000)]
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


def test_of_another_training(checkpoints, tmp_path):
    from dataclasses import replace

    other = replace(TINY, callbacks={})
    (tmp_path / "run" / "recipe.toml").write_text(other.to_toml())
    with pytest.raises(ValueError, match=r"the checkpoint does not fit this training: .*log_gain"):
        run_recipe(other, tmp_path / "run", resume=True)
