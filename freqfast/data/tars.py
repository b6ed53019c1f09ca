"""Files of a tar archive that nobody vouches for, read in memory: nothing is extracted, no link is followed."""

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from freqfast.progress import Progress

__all__ = ["MEMBER_LIMIT", "read_members"]

MEMBER_LIMIT = 64 * 2**20
"""Bytes; a batch of the published archive has 30 MB."""

_SPARE, _RATIO = (
    2**28,
    20,
)  # an archive of images unpacks to little more than its size; compressed zeros to 1000 times it
_COMPRESSIONS: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


def read_members(
    path: Path, is_wanted: Callable[[tuple[str, ...]], bool], progress: Progress | None = None
) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Wanted plain files of an archive, compressed by gzip, bzip2, xz or not at all.

    Args:
        path: The archive.
        is_wanted: Tells by the parts of a member's path whether it is read.
        progress: Called as ``progress(done, total, message)``.

    Yields:
        The parts of the path, and the content.

    Raises:
        ValueError: If the archive is not sound, a wanted member's path leads out of it, or it unpacks to far more than
            images do.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as raw:
            stream = _Bounded(_decompressed(raw), _SPARE + _RATIO * size)
            with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
                for i, member in enumerate(archive):
                    parts = PurePosixPath(member.name).parts
                    if progress and i % 1000 == 0:
                        progress(raw.tell(), size, f"reading {path.name}")
                    if not member.isreg() or not is_wanted(parts):
                        continue
                    if ".." in parts or parts[0] == "/" or member.size > MEMBER_LIMIT or member.issparse():
                        raise ValueError(
                            f"member {member.name[:200]!r} has an unsafe path or size; use the original archive"
                        )
                    if (content := archive.extractfile(member)) is not None:
                        yield parts, content.read()
            while stream.read(2**20):
                pass  # to the end, where gzip's checksum is: tarfile takes a damaged header for the end of the archive
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        raise ValueError(f"not a sound tar archive: {error}") from None


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    start = raw.read(6)
    raw.seek(0)
    return next((opened(raw) for magic, opened in _COMPRESSIONS.items() if start.startswith(magic)), raw)


class _Bounded:
    """A stream of which no more is read, at once and in all, than an archive of images can need."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit = stream, limit

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MEMBER_LIMIT + tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"it asks for {size:,} bytes at once")
        self._within(self.tell() + size)
        return self._stream.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        self._within(position)
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def _within(self, position: int) -> None:
        if position > self._limit:
            raise tarfile.ReadError(
                f"it unpacks to more than {self._limit:,} bytes, far more than images of its size do"
            )
