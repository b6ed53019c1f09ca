"""Archives: downloaded and checked by pooch, and unpacked by the standard library's filter for data."""

import lzma
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freqfast.data import cache
from freqfast.files import new_folder
from freqfast.progress import Progress

_BLOCK = 2**20  # bytes at a time
_SPARE, _RATIO = 2**28, 20  # bytes that any archive may unpack to, and how many more for each of its own


def download(url: str, known_hash: str, progress: Progress | None = None) -> Path:
    """Download a file into the cache, unless it is there already.

    Args:
        url: Where it is.
        known_hash: As pooch takes it, such as "md5:..." or "sha256:...".
        progress: Called with bytes.

    Raises:
        FileNotFoundError: If the download fails, or gives another file.
    """
    import pooch

    name = url.rpartition("/")[2]
    bar = _Bar(name, progress or (lambda done, total, message: None))
    pooch.get_logger().setLevel("ERROR")  # it would say where it downloads from
    try:
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=_BLOCK)
        return Path(pooch.retrieve(url, known_hash, name, cache.folder(), downloader=downloader))
    except (OSError, ValueError) as error:  # of the network or the disk, or for another hash
        raise FileNotFoundError(
            f"{name} cannot be downloaded ({' '.join(str(error).split())}); try again, or fetch {url} and name it"
        ) from None


class _Bar:
    """Reports progress to a function in the place of tqdm's bar."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.total, self._done, self._name, self._progress = 0, 0, name, progress

    def update(self, count: int) -> None:
        self._done = min(self._done + count, self.total)
        self._progress(self._done, self.total, f"downloading {self._name}")

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


@contextmanager
def unpacked(archive: Path, progress: Progress | None = None) -> Iterator[Path]:
    """The content of a tar archive that is not trusted, in a folder of the cache that goes with the block.

    Raises:
        ValueError: If the archive is corrupt, has a path or a link that leads out of it, or unpacks to far more than
            images do.
    """
    limit, total = _SPARE + _RATIO * archive.stat().st_size, 0

    def admit(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        nonlocal total
        total += member.size
        if total > limit:
            raise tarfile.ReadError(f"it unpacks to more than {limit:,} bytes, far more than images do")
        if progress:
            progress(stream.tell(), archive.stat().st_size, f"unpacking {archive.name}")
        return tarfile.data_filter(member, folder)

    cache.folder().mkdir(parents=True, exist_ok=True)
    with new_folder(cache.folder() / "unpacked") as temporary:
        try:
            with archive.open("rb") as stream, tarfile.open(fileobj=stream) as tar:
                tar.extractall(temporary, filter=admit)  # noqa: S202 (the filter is data's)
                while tar.fileobj.read(_BLOCK):  # to the end, where gzip's checksum is
                    pass
        except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # of the disk
                raise
            raise ValueError(f"{archive} is not a valid tar archive: {' '.join(str(error).split())}") from None
        yield temporary
        shutil.rmtree(temporary)  # so that it does not get its final name
