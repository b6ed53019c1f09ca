"""Files that others read appear whole or not at all; folders that one process at a time may work on."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["lock_folder", "replacing", "sync", "write_text"]


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
        os.chmod(name, 0o666 & ~_umask())
        sync(name)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    with suppress(OSError):  # the name is there; some systems cannot flush a folder
        sync(path.parent)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def sync(path: str | Path) -> None:
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
def lock_folder(path: str | Path, otherwise: str = "choose another --out") -> Iterator[None]:
    """Keep a folder from other processes while the block lasts. Where the file system has no locks, do nothing.

    The system lifts the lock when the process ends, however it ends; it is the folder's, whatever its name.

    Args:
        path: The folder.
        otherwise: What else to do, for the message, than to wait.

    Raises:
        FileNotFoundError: If there is no such folder.
        BlockingIOError: If another process, or another block of this one, works on it.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(f"{path} is in use by another process; wait for its end or {otherwise}") from None
        except OSError:
            pass
        yield
    finally:
        os.close(handle)
