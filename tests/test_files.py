import errno
import os
import stat
import subprocess
import sys
from contextlib import suppress
from functools import partial

import pytest

from freqfast.files import new_folder, replacing, write_text


def names(folder):
    return sorted(os.listdir(folder))


def test_text_appears_whole(tmp_path):
    write_text(tmp_path / "a.txt", "größer\n")
    assert (tmp_path / "a.txt").read_bytes() == "größer\n".encode()
    assert names(tmp_path) == ["a.txt"]


def test_the_name_is_taken_only_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(str(path)) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path  # another file system could not be renamed from
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("existed", [False, True])
def test_failure_leaves_what_was_there(tmp_path, error, existed):
    path = tmp_path / "a.txt"
    if existed:
        path.write_text("old")

    def fail_halfway():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail_halfway()
    assert names(tmp_path) == (["a.txt"] if existed else [])
    assert not existed or path.read_text() == "old"


def test_text_that_cannot_be_encoded_leaves_nothing(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "\ud800")
    assert names(tmp_path) == []


def test_content_reaches_the_disk_before_the_name_does(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append(os.fstat(handle).st_ino), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("replace"), replace(*paths)))
    write_text(tmp_path / "a.txt", "text")
    assert events == [(tmp_path / "a.txt").stat().st_ino, "replace", tmp_path.stat().st_ino]


def test_what_is_flushed_is_open_for_writing_where_it_can_be(tmp_path, monkeypatch):
    """Windows flushes nothing else; a folder cannot be."""
    fcntl, modes = pytest.importorskip("fcntl"), []

    def fsync(handle):
        modes.append((stat.S_ISDIR(os.fstat(handle).st_mode), fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a.txt", "text")
    assert modes == [(False, os.O_RDWR), (True, os.O_RDONLY)]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_content_that_does_not_reach_the_disk_gets_no_name(tmp_path, monkeypatch, code):
    (tmp_path / "a.txt").write_text("old")

    def fail(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(code)):
        write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_file_system_without_flushing(tmp_path, monkeypatch):
    def fail(handle):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fail)
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_ordinary_new_files(tmp_path, mask):
    old = os.umask(mask)
    try:
        write_text(tmp_path / "ours", "")
        (tmp_path / "plain").write_text("")
    finally:
        os.umask(old)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")}
    assert len(modes) == 1


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_ordinary_new_folders(tmp_path, mask):
    tmp_path.chmod(0o2755)  # a group's: what is made inside is the group's too, and so on below
    old = os.umask(mask)
    try:
        with new_folder(tmp_path / "ours"):
            pass
        (tmp_path / "plain").mkdir()
    finally:
        os.umask(old)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")}
    assert len(modes) == 1


@pytest.mark.parametrize("error", [None, ValueError, OSError, KeyboardInterrupt])
def test_a_folder_appears_whole_or_not_at_all(tmp_path, error):
    with suppress(error or ()), new_folder(tmp_path / "a") as temporary:
        (temporary / "file").write_text("text")
        assert names(tmp_path) == [temporary.name] != ["a"]
        if error is not None:
            raise error
    assert names(tmp_path) == ([] if error else ["a"])
    assert error or names(tmp_path / "a") == ["file"]


def test_what_a_killed_process_left_of_a_folder_goes(tmp_path):
    pytest.importorskip("fcntl")
    code = (
        "import sys, time; from freqfast.files import new_folder\n"
        "with new_folder(sys.argv[1]) as temporary:\n"
        "    (temporary / 'file').touch(); print(temporary.name, flush=True); time.sleep(60)"
    )
    start = partial(subprocess.Popen, stdout=subprocess.PIPE, text=True)
    with start([sys.executable, "-c", code, str(tmp_path / "a")]) as process:
        theirs = process.stdout.readline().strip()
        with new_folder(tmp_path / "a") as ours:
            assert names(tmp_path) == sorted([theirs, ours.name])  # they are at work
        os.rename(tmp_path / "a", tmp_path / "b")
        process.kill()
    assert names(tmp_path) == [theirs, "b"]
    with new_folder(tmp_path / "a"):
        pass
    assert names(tmp_path) == ["a", "b"]


def test_a_folder_whose_name_is_taken_goes(tmp_path):
    write_text(tmp_path / "a", "text")
    with pytest.raises(OSError, match="a"), new_folder(tmp_path / "a"):
        pass
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "text"


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder .*absent does not exist; create it"):
        write_text(tmp_path / "absent" / "a.txt", "")


def test_a_folder_in_the_way_stays(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError, match=r"a\.txt"):
        write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == ["a.txt"]


def test_a_block_that_removes_its_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt") as temporary:
        temporary.unlink()
    assert names(tmp_path) == []
