import errno
import os
import socket
import stat
import subprocess
import sys
from contextlib import suppress
from functools import partial
from unittest.mock import Mock

import pytest

from freqfast.files import lock_folder, name_folder, new_folder, read_file, remove_temporaries, replacing, write_text


def names(folder):
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("error", [None, OSError, KeyboardInterrupt])
@pytest.mark.parametrize("existed", [False, True])
def test_a_file_is_replaced_at_the_end_or_not_at_all(tmp_path, error, existed):
    path = tmp_path / "a.txt"
    if existed:
        path.write_text("old")
    with suppress(error or ()), replacing(str(path)) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path  # another file system could not be renamed from
        assert not existed or path.read_text() == "old"
        if error is not None:
            raise error
    assert names(tmp_path) == (["a.txt"] if existed or error is None else [])
    assert not path.exists() or path.read_text() == ("new" if error is None else "old")


def test_text_is_utf8_and_is_written_whole_or_not_at_all(tmp_path):
    write_text(tmp_path / "a.txt", "größer\n")
    assert (tmp_path / "a.txt").read_bytes() == "größer\n".encode()
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "b.txt", "\ud800")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "c.txt") as temporary:
        temporary.unlink()
    with pytest.raises(FileNotFoundError, match=r"folder .*absent does not exist; create it"):
        write_text(tmp_path / "absent" / "a.txt", "")
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "link to a device", "link to itself"])
def test_only_regular_files_are_replaced(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    if kind == "folder":
        os.mkdir("a")
    elif kind == "pipe":
        os.mkfifo("a")
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind("a")
    else:
        os.symlink("/dev/null" if kind == "link to a device" else "a", "a")
    before = os.lstat("a").st_ino
    with pytest.raises(FileExistsError, match="it is no regular file; choose another path"):
        write_text("a", "text")
    assert os.lstat("a").st_ino == before
    assert names(tmp_path) == ["a"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/file")
    for text in ("first", "second"):
        write_text(tmp_path / "link", text)
        assert (tmp_path / "folder" / "file").read_text() == text
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "folder") == ["file"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkdir, "is a folder, not a file"),
        (os.mkfifo, "is no regular file"),
        (partial(os.symlink, "/dev/zero"), "is no regular file"),
        (lambda path: path.write_bytes(bytes(11)), "has 11 bytes, more than the 10 that are read of such a file"),
    ],
)
def test_only_small_regular_files_are_read(tmp_path, make, message):
    make(tmp_path / "a")
    with pytest.raises(ValueError, match=message):
        read_file(tmp_path / "a", max_bytes=10)
    (tmp_path / "b").write_bytes(b"ten bytes.")
    assert read_file(tmp_path / "b", max_bytes=10) == b"ten bytes."


def test_content_reaches_the_disk_before_the_name_does(tmp_path, monkeypatch):
    events, fsync, replace = [], os.fsync, os.replace

    def log_fsync(handle):
        events.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", log_fsync)
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("replace"), replace(*paths)))
    write_text(tmp_path / "a.txt", "text")
    assert events == [(tmp_path / "a.txt").stat().st_ino, "replace", tmp_path.stat().st_ino]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EINVAL])
def test_a_disk_that_cannot_flush(tmp_path, monkeypatch, code):
    """It is an error, except on a file system without flushing."""
    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(code, os.strerror(code))))
    with suppress(OSError) if code == errno.EINVAL else pytest.raises(OSError, match=os.strerror(code)):
        write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == ("new" if code == errno.EINVAL else "old")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file_or_folder(tmp_path, mask):
    tmp_path.chmod(0o2755)  # a group's: what is made inside is the group's too, and so on below
    old = os.umask(mask)
    try:
        write_text(tmp_path / "file", "")
        (tmp_path / "plain file").write_text("")
        with new_folder(tmp_path / "folder"):
            pass
        (tmp_path / "plain folder").mkdir()
    finally:
        os.umask(old)
    for name in ("file", "folder"):
        modes = {stat.S_IMODE((tmp_path / other).stat().st_mode) for other in (name, f"plain {name}")}
        assert len(modes) == 1


@pytest.mark.parametrize("error", [None, OSError, KeyboardInterrupt])
def test_a_folder_appears_whole_or_not_at_all(tmp_path, error):
    with suppress(error or ()), new_folder(tmp_path / "a") as temporary:
        (temporary / "file").write_text("text")
        assert names(tmp_path) == [temporary.name] != ["a"]
        if error is not None:
            raise error
    assert names(tmp_path) == ([] if error else ["a"])
    assert error or names(tmp_path / "a") == ["file"]


def test_a_folder_whose_name_is_taken_is_removed(tmp_path):
    write_text(tmp_path / "a", "text")
    with pytest.raises(OSError, match="a"), new_folder(tmp_path / "a"):
        pass
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "text"


def test_temporaries_of_killed_processes_are_removed(tmp_path):
    code = (
        "import sys, time; from freqfast.files import new_folder\n"
        "with new_folder(sys.argv[1]) as temporary:\n"
        "    (temporary / 'file').touch(); print(temporary.name, flush=True); time.sleep(60)"
    )
    start = partial(subprocess.Popen, stdout=subprocess.PIPE, text=True)
    with start([sys.executable, "-c", code, str(tmp_path / "a[b]")]) as process:
        theirs = process.stdout.readline().strip()
        with new_folder(tmp_path / "a[b]") as ours:
            assert names(tmp_path) == sorted([theirs, ours.name])  # both processes live
        os.rename(tmp_path / "a[b]", tmp_path / "b")
        process.kill()
    (tmp_path / ".b.x.tmp").touch()
    assert names(tmp_path) == sorted([theirs, ".b.x.tmp", "b"])
    remove_temporaries(tmp_path, "a[b]")
    assert names(tmp_path) == [".b.x.tmp", "b"]
    remove_temporaries(tmp_path)
    assert names(tmp_path) == ["b"]


def test_a_file_of_a_longer_name_is_not_removed_while_it_is_written(tmp_path):
    with replacing(tmp_path / "first.json") as temporary:
        temporary.write_text("{}")
        with new_folder(tmp_path / "first"):
            pass
    assert names(tmp_path) == ["first", "first.json"]


def test_a_folder_is_locked_once(tmp_path):
    with lock_folder(tmp_path) as locked:
        assert locked
        with pytest.raises(BlockingIOError, match="is in use by another process"), lock_folder(tmp_path):
            pass
    with new_folder(tmp_path / "a") as temporary:
        name_folder(temporary, tmp_path / "a")
        with pytest.raises(BlockingIOError), lock_folder(tmp_path / "a"):
            pass
    assert names(tmp_path) == ["a"]


def test_on_a_file_system_without_locks_no_folder_is_taken_for_a_dead_process_s(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", Mock(side_effect=OSError(errno.ENOLCK, "No locks available")))
    (tmp_path / ".a.x.tmp").mkdir()
    with lock_folder(tmp_path) as locked:
        assert not locked
    remove_temporaries(tmp_path)
    assert names(tmp_path) == [".a.x.tmp"]
