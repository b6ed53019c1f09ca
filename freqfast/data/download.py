"""Large downloads that continue where they stopped."""

from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.request import Request, urlopen

from freqfast import __version__
from freqfast.progress import Progress

_BLOCK = 2**20  # bytes at a time: the most that a broken connection loses
_TIMEOUT = 60  # seconds without an answer


def fetch(url: str, path: Path, size: int, progress: Progress | None = None) -> None:
    """Download a file of known size in bytes, continuing after the part of it that is already there.

    A broken connection is opened again, as long as each connection delivers some bytes. Several processes may fetch the
    same file to the same place, since they write the same bytes. The folder must exist; the caller checks the content.

    Raises:
        OSError: If the server does not answer, refuses, or stops before the end; or if the file cannot be written.
    """
    path.touch()
    while (done := path.stat().st_size) < size:
        _receive(url, path, done, size, progress)
        if path.stat().st_size <= done:
            raise OSError(f"the server stopped after {done:,} of {size:,} bytes")


def _receive(url: str, path: Path, done: int, size: int, progress: Progress | None) -> None:
    """Write what one connection sends."""
    headers = {"User-Agent": f"freqfast/{__version__}", "Range": f"bytes={done}-"}
    try:
        response = urlopen(Request(url, headers=headers), timeout=_TIMEOUT)  # noqa: S310 (the URL is the package's own)
    except HTTPException as error:
        raise OSError(f"the server's answer is not valid HTTP: {error!r}") from None
    with response, path.open("r+b") as file:
        if response.status != 206:  # this server does not know ranges: it sends all from the start
            if response.length != size:  # it may be a page that asks to log in
                raise OSError(f"the server does not send a file of {size:,} bytes")
            done = 0
        file.seek(done)
        for block in _blocks(response):
            file.write(block[: size - done])
            done = file.tell()
            if progress:
                progress(done, size, f"downloading {url.rpartition('/')[2]}")
            if done == size:
                break


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    """What the connection sends until it ends or breaks."""
    with suppress(OSError, HTTPException):
        while block := response.read(_BLOCK):
            yield block
