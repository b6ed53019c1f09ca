"""A disk that is full, read-only or gone: one line, nothing half-written, and the run goes on once there is room.

On a tmpfs where this process may mount one (the full form is ``pytest -m 'slow and faults' tests/faults``), and
everywhere by the limit on the size of a file, which fails in the middle of a write as a full disk does.
"""

import shutil
from pathlib import Path

import pytest

from freqfast.runs.run import load_run
from freqfast.training import RunStoppedError, run_recipe
from tests.support.places import Disk
from tests.support.tiny import FILES, OFTEN, TINY, outcome

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("two_corruptions")]


def check_nothing_is_half_written(out):
    if out.exists():
        assert {path.name for path in out.iterdir()} <= {*FILES, "checkpoints"}
        assert not list(out.rglob(".*"))
        if (out / "report.json").exists():
            load_run(out)


def test_limit_on_the_size_of_files(start, tree, tmp_path, reference):
    out = tmp_path / "run"
    process = start(out, limit=200_000)
    process.join()
    assert process.exitcode == 1
    assert "File too large" in (tmp_path / "run.error").read_text()
    check_nothing_is_half_written(out)
    assert outcome(run_recipe(TINY, out, tree, "cpu", resume=True).path) == reference


def watch_writes(patch, before=lambda number: None):
    """Has `before` called with the number of each file that is written; the list that their names come into."""
    names, make = [], Path.touch

    def touch(path, **options):
        names.append(path.name.strip(".").split(".")[0])
        before(len(names))
        make(path, **options)

    patch.setattr(Path, "touch", touch)
    return names


@pytest.fixture(scope="module")
def writes(tree, tmp_path_factory):
    """The files that an undisturbed run writes, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("freqfast.training.outcome.available", lambda: ("pixelate", "contrast"))
        names = watch_writes(patch)
        run_recipe(TINY, tmp_path_factory.mktemp("writes") / "run", tree, "cpu", policy=OFTEN)
    return names


def fill_up_at(number, tree, mount, reference, at_work):
    """A disk that is full just before the n-th file of a run is written; then there is room again."""
    out = mount("size=16m") / "run"
    with pytest.MonkeyPatch.context() as patch:
        watch_writes(patch, lambda written: Disk(out.parent).fill() if written == number else None)
        with pytest.raises((OSError, RunStoppedError), match=r"No space left on device") as caught:
            run_recipe(TINY, out, tree, "cpu", policy=OFTEN)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, RunStoppedError) == at_work
    if at_work:
        assert str(caught.value).endswith("; it can be resumed")
    check_nothing_is_half_written(out)
    (out.parent / "filler").unlink()
    assert outcome(run_recipe(TINY, out, tree, "cpu", resume=True).path) == reference


@pytest.mark.parametrize("name", ["recipe", "000001-00000001", "report"])
def test_full_disk(tree, mount, reference, writes, name):
    fill_up_at(writes.index(name) + 1, tree, mount, reference, at_work=name != "recipe")


@pytest.mark.slow
def test_full_disk_at_each_write(tree, mount, reference, writes, tell):
    assert {"recipe", "environment", "metrics", "model", "spectra", "report"} < set(writes)
    for number in range(1, len(writes) + 1):
        fill_up_at(number, tree, mount, reference, at_work=number > 2)
        shutil.rmtree(mount("size=16m") / "run")
    tell(f"full disk: survived at {len(writes)} of {len(writes)} writes: {', '.join(writes)}")


@pytest.mark.parametrize("at", ["epoch 2", "pixelate 3"])
def test_disk_becomes_read_only(tree, mount, reference, once, at, monkeypatch):
    monkeypatch.setattr("os.access", lambda place, mode: False)  # else the lock's open file holds off the remount
    out = mount("size=16m") / "run"
    with pytest.raises(RunStoppedError, match=r"run\S*: Read-only file system; it can be resumed$"):
        run_recipe(TINY, out, tree, "cpu", once(at, lambda: mount("ro")), policy=OFTEN)
    mount("rw")
    assert outcome(run_recipe(TINY, out, tree, "cpu", resume=True).path) == reference


def test_folder_vanishes(tree, tmp_path, once):
    out = tmp_path / "run"
    with pytest.raises(RunStoppedError, match=r"run was removed, and the run with it$") as caught:
        run_recipe(TINY, out, tree, "cpu", once("epoch 2", lambda: shutil.rmtree(out)), policy=OFTEN)
    assert "\n" not in str(caught.value)
    assert not out.exists()
