import hashlib
import io
import tarfile

import numpy as np
import pytest

from freqfast.corruptions import CORRUPTIONS
from freqfast.data.images import Images
from freqfast.robustness.archive import published as cifar10c


@pytest.fixture
def images(photos):
    return Images(photos[:5], np.array([3, 0, 9, 1, 3]))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new" / "corrupted"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A tar file like the published CIFAR-10-C, of one image a severity, which passes for it."""
    path = tmp_path / "CIFAR-10-C.tar"
    with tarfile.open(path, "w") as tar:
        folder = tarfile.TarInfo("CIFAR-10-C")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name in ("labels", *sorted(CORRUPTIONS)):
            array = np.zeros(5, np.uint8) if name == "labels" else np.full((5, 4, 4, 3), 7, np.uint8)
            np.save(content := io.BytesIO(), array)
            entry = tarfile.TarInfo(f"CIFAR-10-C/{name}.npy")
            entry.size, entry.mode, entry.uid, entry.mtime = content.tell(), 0o4777, 12345, 2**40
            content.seek(0)
            tar.addfile(entry, content)
    monkeypatch.setattr(cifar10c, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path
