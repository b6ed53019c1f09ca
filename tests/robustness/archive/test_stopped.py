"""What is left when writing stops in the middle, and how it goes on."""

import errno
import multiprocessing
import os
import signal
from unittest.mock import Mock

import pytest
from freqfast.cli.errors import environment_fails

from freqfast.progress import RunStoppedError, stopping
from freqfast.robustness.archive.layout import read_manifest
from freqfast.robustness.archive.writing import write_archive
from tests.support.stored import NAMES, data


def test_a_full_disk_leaves_whole_files_only(folder, images, full_disk):
    message = r"shot_noise\.npy cannot be written \(File too large\); what is finished"
    with full_disk(40_000), pytest.raises(OSError, match=message) as caught:
        write_archive(folder, images, NAMES)
    assert "\n" not in str(caught.value)
    assert environment_fails(caught.value)  # so that a command ends with 1
    assert sorted(p.name for p in folder.iterdir()) == ["labels.npy", "manifest.json"]
    assert write_archive(folder, images, NAMES).verified == ("labels.npy",)


def test_a_stop_is_no_fault_of_the_disk(folder, images):
    with pytest.raises(RunStoppedError, match=r"^interrupted in ") as caught:
        write_archive(folder, images, NAMES, progress=stopping(None, lambda: 15))
    assert caught.value.signum == 15


def test_no_room_for_the_manifest(folder, images, monkeypatch):
    monkeypatch.setattr("os.fsync", refuse := Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match=r"manifest\.json cannot be written \(No space left on device\); what"):
        write_archive(folder, images, NAMES)
    assert refuse.called
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_killed_in_the_middle_and_continued(folder, tmp_path, images, once):
    kill = once("fog 3", lambda: os.kill(os.getpid(), signal.SIGKILL))
    writing = multiprocessing.get_context("fork").Process(
        target=write_archive, args=(folder, images, NAMES), kwargs={"progress": kill}
    )
    writing.start()
    writing.join()
    assert writing.exitcode == -signal.SIGKILL
    left = [p.name for p in folder.iterdir() if p.name.startswith(".fog.npy.")]
    assert len(left) == 1
    mine = folder / ".contrast.tmp"
    mine.write_text("mine")
    done = write_archive(folder, images, NAMES)
    assert (done.written, done.verified) == (("fog.npy", "contrast.npy"), ("labels.npy", "shot_noise.npy"))
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == [mine.name]
    write_archive(tmp_path / "at once", images, NAMES)
    assert data(folder) == data(tmp_path / "at once")


def test_stopped_between_manifest_and_name(folder, images, monkeypatch):
    replace = os.replace
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda a, b: 1 / 0 if "fog" in str(b) else replace(a, b))
        with pytest.raises(ZeroDivisionError):
            write_archive(folder, images, NAMES)
    assert not (folder / "fog.npy").exists()
    assert "fog.npy" in read_manifest(folder).files
    done = write_archive(folder, images, NAMES)
    assert (done.written, done.damaged) == (("fog.npy", "contrast.npy"), {})
