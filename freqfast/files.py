"""Files and folders that others read appear whole or not at all; one process at a time may work on a folder."""

import errno
import glob
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "lock_folder",
    "name_folder",
    "new_folder",
    "read_file",
    "remove_temporaries",
    "remove_unfinished",
    "replacing",
    "unnamed_folder",
    "write_text",
]


def read_file(path: str | Path, max_bytes: int) -> bytes:
    """The content of a regular file whose size is judged first. Nothing else is opened, and nothing waited for.

    Args:
        path: The file, or a link to one.
        max_bytes: The largest size that is read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder, a device, a pipe or a socket, or too large.
        OSError: If it cannot be read.
    """
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder, not a file")
    # Without waiting: a pipe that nobody writes into is opened at once, and then refused.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path} is no regular file")
        if found.st_size > max_bytes:
            raise ValueError(
                f"{path} has {found.st_size:,} bytes, more than the {max_bytes:,} that are read of such a file"
            )
        return file.read(max_bytes)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes the final name when the block ends well.

    Its content reaches the disk before the name does. When the block raises, the temporary file goes and a former file
    of that name stays.

    Args:
        path: The final name; its folder must exist.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"folder {path.parent} does not exist; create it or choose another path")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    try:
        yield Path(name)
        _as_new(name)
        _sync(name)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    with suppress(OSError):  # the name is there; some systems cannot flush a folder
        _sync(path.parent)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder in the same folder that takes the final name when the block ends well; else it goes.

    Args:
        path: The final name; its folder must exist.

    Raises:
        OSError: If no folder can be made there, or there is something of that name at the end.
    """
    with unnamed_folder(path) as temporary:
        yield temporary
        name_folder(temporary, path)


@contextmanager
def unnamed_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder, locked, that the block may name by `name_folder`; it goes at the end if it did not.

    What a killed process left of an earlier one of that name goes first.

    Args:
        path: The final name; its folder must exist.

    Raises:
        OSError: If no folder can be made there.
    """
    path = Path(path)
    remove_unfinished(path)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        with lock_folder(temporary):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # there if it did not get its name


def name_folder(temporary: Path, path: str | Path) -> None:
    """Give a temporary folder its final name and the permissions of any new one; a lock on it stays.

    Raises:
        OSError: If there is something of that name.
    """
    _as_new(temporary)
    os.rename(temporary, path)
    with suppress(OSError):  # the name is there; some systems cannot flush a folder
        _sync(Path(path).parent)


def remove_unfinished(path: str | Path) -> None:
    """Remove what `unnamed_folder` left of a folder where its process was killed; a living one has it locked.

    Where the file system has no locks, all stays.

    Args:
        path: The final name.
    """
    path = Path(path)
    for left in _temporaries(path.parent, path.name):
        with suppress(OSError), lock_folder(left) as locked:
            if locked:
                shutil.rmtree(left, ignore_errors=True)


def remove_temporaries(folder: Path, name: str | None = None) -> None:
    """Remove what `replacing` left in a folder where its process was killed; no other may write there now.

    Args:
        folder: The folder; it need not exist.
        name: The final name of the files; any if None.
    """
    for left in _temporaries(folder, name):
        left.unlink(missing_ok=True)


def _temporaries(folder: Path, name: str | None) -> Iterator[Path]:
    return folder.glob(f".{'*' if name is None else glob.escape(name)}.*.tmp")


def _as_new(path: str | Path) -> None:
    """Give a private temporary file or folder the permissions of any new one: those that the umask leaves."""
    umask = os.umask(0)
    os.umask(umask)
    mode = os.stat(path).st_mode
    usual = 0o777 if stat.S_ISDIR(mode) else 0o666
    os.chmod(path, stat.S_IMODE(mode) | usual & ~umask)  # a shared folder's setgid, which is inherited, stays


def _sync(path: str | Path) -> None:
    """Flush a file or folder to the disk.

    Raises:
        OSError: If that fails; network file systems tell only here that the disk or a quota is full.
    """
    handle = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR)  # Windows flushes what is writable
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system without flushing
            raise
    finally:
        os.close(handle)


@contextmanager
def lock_folder(path: str | Path) -> Iterator[bool]:
    """Keep a folder from other processes while the block lasts. Where the file system has no locks, do nothing.

    The system lifts the lock when the process ends, however it ends; it is the folder's, whatever its name.

    Args:
        path: The folder.

    Yields:
        Whether it is locked.

    Raises:
        FileNotFoundError: If there is no such folder.
        BlockingIOError: If another process, or another block of this one, works on it.
    """
    if fcntl is None:
        yield False
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except BlockingIOError:
            raise BlockingIOError(
                f"{path} is in use by another process; wait for its end or choose another folder"
            ) from None
        except OSError:
            locked = False
        yield locked
    finally:
        os.close(handle)
