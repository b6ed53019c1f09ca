"""The files of a data set in a folder, or in a tar archive that is not trusted: all listed first, then read one by one.

Nothing is extracted to the disk, and no link inside an archive is followed.
"""

import bz2
import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from freqfast.files import read_file
from freqfast.progress import Progress

MEMBER_LIMIT = 64 * 2**20  # bytes; a batch of the published archive has 30 MB
_SPARE = 2**28  # bytes that any archive may unpack to
_RATIO = 20  # an archive of images unpacks to little more than its size; compressed zeros to 1000 times it
_COMPRESSIONS: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}

Wanted = Callable[[tuple[str, ...]], bool]
"""Tells by the parts of a file's path whether it belongs to the data."""


class DataFile(NamedTuple):
    """A file of a data set: the parts of its path in the folder or archive, its size in bytes, and how to read it."""

    parts: tuple[str, ...]
    size: int
    read: Callable[[], bytes]

    @property
    def name(self) -> str:
        """Its path inside the folder or archive."""
        return "/".join(self.parts)


@contextmanager
def open_files(source: Path, is_wanted: Wanted, progress: Progress | None = None) -> Iterator[list[DataFile]]:
    """The wanted files of a folder or a tar archive (of gzip, bzip2 or xz), to be read inside the block in any order.

    An archive is read fastest in the order of the list.

    Raises:
        ValueError: If a wanted name in a folder is no regular file, or the archive is corrupt, has an unsafe path, or
            unpacks to far more than images do.
    """
    if source.is_dir():
        yield _files_of_folder(source, is_wanted)
        return
    with source.open("rb") as raw:
        try:
            files = _files_of_archive(raw, source, is_wanted, progress)
        except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
            raise ValueError(f"it is not a valid tar archive: {error}") from None
        yield files


def files_under(folder: Path, is_wanted: Wanted) -> list[str]:
    """Paths of the wanted files in a folder, sorted.

    Files are looked for in the folder itself, in ``<split>/<class>`` and one folder deeper, or in all below that where
    no folder is a link. Folders may be links, and a link may even lead back to a folder above it.
    """
    found: list[str] = []
    real = os.path.realpath(folder)
    for where, folders, names in os.walk(folder, followlinks=True):
        above = Path(where).relative_to(folder).parts
        has_link = os.path.realpath(where) != os.path.join(real, *above)
        if len(above) >= 3 and (has_link or not is_wanted((*above, "image.png"))):
            folders.clear()
        if len(above) != 1:
            found += (os.path.join(where, name) for name in names if is_wanted((*above, name)))
    return sorted(found)


def _files_of_folder(folder: Path, is_wanted: Wanted) -> list[DataFile]:
    files = []
    for path in files_under(folder, is_wanted):
        parts = Path(path).relative_to(folder).parts
        if not os.path.isfile(path):
            raise ValueError(f"{'/'.join(parts)} is no regular file, nor a link to one; remove it")
        files.append(DataFile(parts, os.path.getsize(path), partial(read_file, path, MEMBER_LIMIT)))
    return files


def _files_of_archive(raw: IO[bytes], path: Path, is_wanted: Wanted, progress: Progress | None) -> list[DataFile]:
    size = path.stat().st_size
    stream = _Bounded(_decompressed(raw), _SPARE + _RATIO * size)
    archive = tarfile.open(fileobj=stream, mode="r:")  # type: ignore[call-overload] # noqa: SIM115 (files read from it)
    files: dict[tuple[str, ...], DataFile] = {}
    for i, member in enumerate(archive):
        parts = PurePosixPath(member.name).parts
        if progress and i % 1000 == 0:
            progress(raw.tell(), size, f"reading {path.name}")
        if member.isdir() or not is_wanted(parts):
            continue
        if not member.isreg():
            raise ValueError(
                f"member {member.name[:200]!r} is no regular file, nor is a link followed; pack the files themselves "
                "(tar --dereference --hard-dereference)"
            )
        if ".." in parts or parts[0] == "/" or member.size > MEMBER_LIMIT or member.issparse():
            raise ValueError(f"member {member.name[:200]!r} has an unsafe path or size; use the original archive")
        files.pop(parts, None)  # of a file that was added again, the later one counts
        files[parts] = DataFile(parts, member.size, partial(_read_member, archive, member))
    while stream.read(2**20):
        pass  # to the end, where gzip's checksum is: tarfile takes a corrupt header for the end of the archive
    return list(files.values())


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    with archive.extractfile(member) as file:  # type: ignore[union-attr] # a regular file
        return file.read()


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    start = raw.read(6)
    raw.seek(0)
    return next((opened(raw) for magic, opened in _COMPRESSIONS.items() if start.startswith(magic)), raw)


class _Bounded:
    """A stream that refuses to read more, at once or in total, than an archive of images needs."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit = stream, limit
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MEMBER_LIMIT + tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"it asks for {size:,} bytes at once")
        self._check(self.tell() + size)
        return self._stream.read(size)

    def seek(self, position: int) -> int:
        self._check(position)
        return self._stream.seek(position)

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise tarfile.ReadError(f"it unpacks to more than {self._limit:,} bytes, far more than images do")
