"""The published archive of CIFAR-10-C (Hendrycks and Dietterich, 2019): downloaded, checked and unpacked once.

Zenodo record 2535967: one tar file of ``CIFAR-10-C/labels.npy`` and 19 files ``CIFAR-10-C/<corruption>.npy``.
"""

import errno
import hashlib
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from freqfast.data import cache
from freqfast.data.download import fetch
from freqfast.files import new_folder, remove_temporaries, require_file
from freqfast.progress import Progress

ARCHIVE = "CIFAR-10-C.tar"
FOLDER = "CIFAR-10-C"
URL = f"https://zenodo.org/records/2535967/files/{ARCHIVE}"
SIZE = 2_918_471_680
SHA256 = "c72763e101c723b7c507b96205f7e938912a5d587376173b825850cf3cb876a7"
_BLOCK = 2**22  # bytes read at a time


def find_cifar10c() -> Path | None:
    """The folder of the published archive in the cache, if it was unpacked there."""
    folder = cache.folder() / FOLDER
    return folder if folder.is_dir() else None


def download_cifar10c(progress: Progress | None = None) -> Path:
    """The folder of the published archive in the cache; 2.7 GiB are downloaded and checked if it is not there.

    What has come lies in ``CIFAR-10-C.tar.part`` until it is unpacked; a second call goes on after it.

    Raises:
        FileNotFoundError: If it cannot be downloaded.
        ValueError: If what came is not the published file; it is removed.
        OSError: If there is no room for the archive and its content.
    """
    if (folder := find_cifar10c()) is not None:
        return folder
    part = cache.folder() / f"{ARCHIVE}.part"
    _make_room(2 * SIZE - (part.stat().st_size if part.exists() else 0))
    try:
        fetch(URL, part, SIZE, progress)
    except OSError as error:
        raise FileNotFoundError(
            f"CIFAR-10-C cannot be downloaded ({error}); call again to go on after what has come, or fetch {ARCHIVE} "
            "from Zenodo, record 2535967, and name that file"
        ) from None
    try:
        folder = find_cifar10c() or unpack_cifar10c(part, progress)  # another process may have been quicker
    except ValueError:
        part.unlink(missing_ok=True)
        raise
    part.unlink(missing_ok=True)
    return folder


def unpack_cifar10c(path: str | Path, progress: Progress | None = None) -> Path:
    """The folder that the published archive is unpacked into, in the cache, once; its size and hash are checked first.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not the published archive; nothing is unpacked then.
        OSError: If the cache cannot be written.
    """
    path = Path(path)
    require_file(path)
    if (size := path.stat().st_size) != SIZE:
        raise ValueError(f"{path} is not the published {ARCHIVE}: it has {size} bytes, not {SIZE}; fetch it again")
    progress = progress or (lambda done, total, message: None)
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(_BLOCK):
            digest.update(block)
            progress(file.tell(), SIZE, f"verifying {path.name}")
        if (found := digest.hexdigest()) != SHA256:
            raise ValueError(
                f"{path} is not the published {ARCHIVE}: its SHA-256 is {found}, not {SHA256}; fetch it again"
            )
        file.seek(0)
        return find_cifar10c() or _unpack(path, file, progress)


def _unpack(path: Path, file: BinaryIO, progress: Progress) -> Path:
    """Copy the content of the 20 files into a folder of the cache that appears whole."""
    folder = cache.folder() / FOLDER
    _make_room(SIZE)
    try:
        with new_folder(folder) as temporary, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is None:  # the folder
                    continue
                name = PurePosixPath(member.name).name
                with (temporary / name).open("wb") as target:
                    while block := content.read(_BLOCK):
                        target.write(block)
                        progress(file.tell(), SIZE, f"unpacking {name}")
                    target.flush()
                    os.fsync(target.fileno())
    except OSError as error:
        if not folder.is_dir():  # else another process was quicker
            raise OSError(
                f"{path} cannot be unpacked into {folder} ({error.strerror or error}); free {SIZE / 2**30:.1f} GiB "
                "there or set FREQFAST_CACHE"
            ) from None
    return folder


def _make_room(size: int) -> None:
    """Remove from the cache what an unpacking that was killed left, and refuse to begin what its disk cannot hold."""
    folder = cache.folder()
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporaries(folder, FOLDER)
    if (free := shutil.disk_usage(folder).free) < size:
        raise OSError(
            f"{folder} has {free / 2**30:.1f} GiB free, but CIFAR-10-C needs {size / 2**30:.1f} more; free some or set "
            "FREQFAST_CACHE"
        ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
