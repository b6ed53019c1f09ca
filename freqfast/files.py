"""Writing files and folders whole or not at all, reading regular files only, and locking a folder for one process."""

import errno
import fcntl
import glob
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def of_user(path: str | Path) -> Path:
    """A path with ~ or ~user replaced by the home folder; a ValueError if there is no such user.

    Examples:
        >>> of_user("data/images").as_posix()
        'data/images'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: there is no such user; write ./{path} for a folder of that name") from None


def require_file(path: str | Path, hint: str = "") -> None:
    """Check that a path names a regular file, or a link to one, so that opening it never waits.

    Raises:
        FileNotFoundError: If nothing is there; the hint says what to name.
        ValueError: If it is a folder, a device, a pipe or a socket.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{path} does not exist{hint and f'; {hint}'}") from None
    if stat.S_ISDIR(mode):
        raise ValueError(f"{path} is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is no regular file")


def require_utf8(names: Iterable[str], file: str) -> None:
    """Refuse names, such as those of folders, that are no text and so cannot stand in a file, which messages name."""
    for name in names:
        if name.encode(errors="ignore").decode() != name:
            raise ValueError(f"the name {name!r} is not UTF-8, as {file} is; rename it")


def read_file(path: str | Path, max_bytes: int) -> bytes:
    """The content of a regular file, see `require_file`; a ValueError if it is larger than `max_bytes`."""
    require_file(path)
    if (size := os.path.getsize(path)) > max_bytes:
        raise ValueError(f"{path} has {size:,} bytes, more than the {max_bytes:,} that are read of such a file")
    return Path(path).read_bytes()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the same folder that gets the final name when the block ends without an error.

    Its content reaches the disk before the name does. If the block raises, the temporary file is removed and an
    existing file of that name stays. If the name is a link, the file that it leads to is replaced.

    Raises:
        FileExistsError: If something other than a regular file has that name, such as a folder or a device.
        FileNotFoundError: If the folder does not exist.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(f"{folder}/report.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     print(os.listdir(folder))
        ['report.txt']
    """
    path = Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"folder {path.parent} does not exist; create it or choose another path")
    if os.path.lexists(path) and not path.is_file():
        raise FileExistsError(f"cannot write {path}: it is no regular file; choose another path")
    temporary = _temporary(path)
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(path.parent)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A locked temporary folder beside `path` that gets this name when the block ends well; else it is removed.

    The block may call `name_folder` earlier; the lock stays. What killed processes left for the same name is removed
    first.
    """
    path = Path(path)
    remove_temporaries(path.parent, path.name)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        with lock_folder(temporary):
            yield temporary
            if temporary.exists():
                name_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def name_folder(temporary: Path, path: str | Path) -> None:
    """Give a temporary folder its final name, which must be free."""
    os.rename(temporary, path)
    _flush_folder(Path(path).parent)


def remove_temporaries(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left half-written in a folder, under this final name or, if None, under any.

    Folders of running processes are locked and stay; on a file system without locks, all folders stay. Files are
    removed even while they are written: call it only where no other process writes.
    """
    for left in folder.glob(f".{'*' if name is None else glob.escape(name)}.*.tmp"):
        if name is not None and "." in left.name[len(name) + 2 : -4]:
            continue  # of a longer name, such as `first.json` for `first`
        if not left.is_dir():
            left.unlink(missing_ok=True)
            continue
        with suppress(OSError), lock_folder(left) as locked:
            if locked:
                shutil.rmtree(left, ignore_errors=True)


def _temporary(path: Path) -> Path:
    """A path beside another that becomes the other one when its content is whole; see `remove_temporaries`."""
    return path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"


def _flush(path: str | Path) -> None:
    """Flush a file or folder to the disk; network file systems report only here that the disk or a quota is full."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system without flushing
            raise
    finally:
        os.close(handle)


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder, ignoring errors: the names are there already, and some systems cannot do this."""
    with suppress(OSError):
        _flush(folder)


@contextmanager
def lock_folder(path: str | Path, file: str | None = None) -> Iterator[bool]:
    """Lock a folder for the block: no other process, and no other block of this one, can lock it.

    The lock stays with a folder that is renamed, and ends with the process. On a network file system it holds between
    machines only if it is a lock of a file, open for writing.

    Args:
        path: The folder.
        file: A file in it to lock in the folder's place, one that is never replaced.

    Yields:
        Whether it is locked; a file system may have no locks.

    Raises:
        BlockingIOError: If it is locked already.
    """
    place = Path(path, file or "")
    handle = os.open(place, os.O_RDWR if file and os.access(place, os.W_OK) else os.O_RDONLY)
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
