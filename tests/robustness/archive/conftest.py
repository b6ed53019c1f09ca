import hashlib
import io
import tarfile

import numpy as np
import pytest

from freqfast.robustness.archive import published as cifar10c
from tests.support.places import cache_folder, disk, once  # noqa: F401 (fixtures)


@pytest.fixture
def images(photos):
    return photos[:5]


@pytest.fixture
def labels():
    return np.array([3, 0, 9, 1, 3])


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new" / "corrupted"


def _npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.fixture
def published():
    """Content by member of an archive like the published CIFAR-10-C: one image a severity."""
    images = {f"CIFAR-10-C/{name}": _npy(np.full((5, 4, 4, 3), 7, np.uint8)) for name in sorted(cifar10c.MEMBERS)}
    return images | {"CIFAR-10-C/labels.npy": _npy(np.zeros(5, np.uint8))}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a tar of members, content or `TarInfo`, and makes it pass for the published one."""

    def write(members, path=tmp_path / "CIFAR-10-C.tar"):
        with tarfile.open(path, "w") as tar:
            for name, content in members.items():
                entry = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
                if isinstance(content, bytes):
                    entry.size = len(content)
                    entry.mode, entry.uid, entry.mtime = 0o4777, 12345, 2**40
                tar.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
        return accept(path)

    def accept(path):
        monkeypatch.setattr(cifar10c, "SIZE", path.stat().st_size)
        monkeypatch.setattr(cifar10c, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
        return path

    write.accept = accept
    return write
