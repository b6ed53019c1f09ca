"""What is left when writing stops in the middle, and how it goes on."""

import errno
import os
import signal
import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pytest

from freqfast.robustness.archive.layout import read_manifest
from freqfast.robustness.archive.writing import write_archive
from tests.support.stored import NAMES, data


def test_a_full_disk_leaves_whole_files_only(folder, images):
    """A limit on the size of files stands in for the disk: both refuse in the middle of a write."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(
            OSError, match=r"shot_noise\.npy cannot be written \(File too large\); what is finished"
        ) as caught:
            write_archive(folder, images, NAMES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in folder.iterdir()) == ["labels.npy", "manifest.json"]
    assert write_archive(folder, images, NAMES).verified == ("labels.npy",)


def test_no_room_for_the_manifest(folder, images, monkeypatch):
    monkeypatch.setattr("os.fsync", refuse := Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match=r"manifest\.json cannot be written \(No space left on device\); what") as caught:
        write_archive(folder, images, NAMES)
    assert refuse.called
    assert caught.value.errno is None  # the command ends with 2, as for any other full disk
    assert list(folder.iterdir()) == []


KILLED = """
import os, signal, sys
import numpy as np
from freqfast.data.images import ImageSet
from freqfast.robustness.archive.writing import write_archive

def progress(done, total, message):
    if message == "fog 3":
        os.kill(os.getpid(), signal.SIGKILL)

images = ImageSet(np.load(sys.argv[2]), np.array([3, 0, 9, 1, 3]))
write_archive(sys.argv[1], images, ("shot_noise", "fog", "contrast"), progress=progress)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_killed_in_the_middle_and_continued(folder, tmp_path, images):
    np.save(tmp_path / "images.npy", images.images)
    call = [sys.executable, "-c", KILLED, folder, tmp_path / "images.npy"]
    assert subprocess.run(call, check=False).returncode == -signal.SIGKILL
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
