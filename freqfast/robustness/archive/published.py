"""The published archive of CIFAR-10-C (Hendrycks and Dietterich, 2019): downloaded, checked and unpacked once.

Zenodo record 2535967: one tar file of ``CIFAR-10-C/labels.npy`` and 19 files ``CIFAR-10-C/<corruption>.npy``.
"""

import os
from pathlib import Path

from freqfast.data import cache
from freqfast.data.archives import download, unpacked
from freqfast.files import file_sha256, require_file
from freqfast.progress import Progress

ARCHIVE = "CIFAR-10-C.tar"
FOLDER = "CIFAR-10-C"
URL = f"https://zenodo.org/records/2535967/files/{ARCHIVE}"
SHA256 = "c72763e101c723b7c507b96205f7e938912a5d587376173b825850cf3cb876a7"


def find_cifar10c() -> Path | None:
    """The folder of the published archive in the cache, if it was unpacked there."""
    folder = cache.folder() / FOLDER
    return folder if folder.is_dir() else None


def download_cifar10c(progress: Progress | None = None) -> Path:
    """The folder of the published archive in the cache; 2.7 GiB are downloaded if it is not there, and unpacked.

    Raises:
        FileNotFoundError: If it cannot be downloaded, or what came is not the published file.
        OSError: If the cache cannot be written, as on a full disk; what was downloaded stays for the next call.
    """
    if (folder := find_cifar10c()) is None:
        archive = download(URL, f"sha256:{SHA256}", progress)
        folder = _unpack(archive, progress)
        archive.unlink(missing_ok=True)
    return folder


def unpack_cifar10c(path: str | Path, progress: Progress | None = None) -> Path:
    """The folder that the published archive is unpacked into, in the cache, once; its hash is checked first.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not the published archive; nothing is unpacked then.
        OSError: If the cache cannot be written.
    """
    path = Path(path)
    require_file(path)
    if (sha256 := file_sha256(path)) != SHA256:
        raise ValueError(f"{path} is not the published {ARCHIVE} (SHA-256 {sha256}, not {SHA256}); fetch it again")
    return find_cifar10c() or _unpack(path, progress)


def _unpack(archive: Path, progress: Progress | None) -> Path:
    """Unpack the archive into a folder of the cache that appears whole."""
    folder = cache.folder() / FOLDER
    with unpacked(archive, progress) as content:
        try:
            os.rename(content / FOLDER, folder)
        except OSError:
            if not folder.is_dir():  # else another process was quicker
                raise
    return folder
