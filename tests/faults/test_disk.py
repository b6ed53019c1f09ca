"""A disk that is full, read-only, or gone: one line, nothing half-written, and the run goes on once there is room.

On a tmpfs where this process may mount one (the full form is ``pytest -m slow tests/faults``), and everywhere by the
limit on the size of a file, which fails in the middle of a write as a full disk does.
"""

import shutil
import subprocess

import pytest
from tiny import FILES, TINY, outcome

from freqfast.checkpoint import CheckpointPolicy
from freqfast.run import load_run
from freqfast.training import RunStoppedError, run_recipe

pytestmark = pytest.mark.usefixtures("two_corruptions")
OFTEN = CheckpointPolicy(minutes=0, share=1)


def check_nothing_is_half_written(out):
    if out.exists():
        assert {path.name for path in out.iterdir()} <= {*FILES, "checkpoints"}
        assert not list(out.rglob(".*"))
        if (out / "report.json").exists():
            load_run(out)


@pytest.mark.parametrize("limit", [100, 20_000, 200_000])
def test_a_limit_on_files(start, tree, tmp_path, reference, limit):
    out = tmp_path / "run"
    process = start(out, limit=limit)
    process.join()
    assert process.exitcode == 1
    assert "File too large" in (tmp_path / "run.error").read_text()
    check_nothing_is_half_written(out)
    assert outcome(run_recipe(TINY, out, tree, "cpu", resume=True).path) == reference


@pytest.fixture
def disk(tmp_path):
    """``disk(size)`` mounts or resizes a small file system; its folder."""
    place = tmp_path / "disk"
    place.mkdir()

    def disk(options):
        remount = "remount," if place.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{remount}{options}", "tmpfs", str(place)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this process may not mount a tmpfs")
        return place

    yield disk
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


# Where the disk fills up: nowhere to make the directory, its files, the first checkpoint, the third, the model, the
# spectra. Sizes come in pages of 4 KiB.
@pytest.mark.parametrize(
    "kib",
    [
        pytest.param(kib, marks=[] if kib in (4, 512) else pytest.mark.slow)
        for kib in (4, 8, 12, 64, *range(256, 1700, 64))
    ],
)
def test_a_full_disk(tree, disk, reference, kib):
    out = disk(f"size={kib}k") / "run"
    try:
        run_recipe(TINY, out, tree, "cpu", policy=OFTEN)
    except OSError as error:
        assert "No space left" in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
        check_nothing_is_half_written(out)
    disk("size=16m")
    assert outcome(run_recipe(TINY, out, tree, "cpu", resume=True).path) == reference


def once(message, action):
    """A progress function that acts at the first message that begins so."""
    done = []

    def progress(step, total, text):
        if text.startswith(message) and not done:
            done.append(text)
            action()

    return progress


@pytest.mark.parametrize("at", ["epoch 2", "pixelate 3"])
def test_a_disk_that_becomes_read_only(tree, disk, reference, at):
    out = disk("size=16m") / "run"
    with pytest.raises(RunStoppedError, match=r"Read-only file system.*; go on with `freqfast run --resume \S+`$"):
        run_recipe(TINY, out, tree, "cpu", once(at, lambda: disk("ro")), policy=OFTEN)
    disk("rw")
    assert outcome(run_recipe(TINY, out, tree, "cpu", resume=True).path) == reference


@pytest.mark.parametrize("at", ["epoch 2", "pixelate 3"])
def test_a_folder_that_vanishes(tree, tmp_path, at):
    out = tmp_path / "run"
    with pytest.raises(RunStoppedError, match=r"run is gone, and the run with it$") as caught:
        run_recipe(TINY, out, tree, "cpu", once(at, lambda: shutil.rmtree(out)), policy=OFTEN)
    assert "\n" not in str(caught.value)
    assert not out.exists()
