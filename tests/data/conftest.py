"""Every test has a cache of its own and no data in its environment."""

import hashlib
import io
import os
import pickle
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from freqfast.data import cifar10, cifar10c

NAMED_BY_USER = os.environ.get("FREQFAST_DATA")
BESIDE_PROJECT = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("FREQFAST_CACHE", str(folder))
    monkeypatch.delenv("FREQFAST_DATA", raising=False)
    return folder


@pytest.fixture
def real_cifar10():
    place = Path(NAMED_BY_USER) if NAMED_BY_USER else BESIDE_PROJECT
    if not place.exists():
        pytest.skip("no real CIFAR-10: set FREQFAST_DATA")
    return place


@pytest.fixture
def make_tree(tmp_path):
    """Writes an image-folder tree; images are noise, so that each is unlike any other."""

    def make(
        folder=tmp_path / "tree", splits=("train", "test"), classes=("ant", "bee"), count=3, size=(8, 6), suffix=".png"
    ):
        rng = np.random.default_rng(0)
        for split in splits:
            for name in classes:
                (folder / split / name).mkdir(parents=True)
                for i in range(count):
                    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / split / name / f"{i}{suffix}")
        return folder

    return make


@pytest.fixture
def pack():
    """Packs a folder into an archive."""

    def write(folder, archive):
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, folder.name)
        return archive

    return write


@pytest.fixture
def batches(tmp_path):
    """A cifar-10-batches-py folder, 20 images a batch with names that tell nothing, and the planes that it holds."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    planes, labels = {}, {}
    for name in cifar10.BATCHES:
        planes[name] = rng.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
        labels[name] = rng.integers(0, 10, 20).tolist()
        batch = {b"data": planes[name].reshape(20, 3072), b"labels": labels[name], b"filenames": [b"x.png"] * 20}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=4))
    return folder, planes, labels


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


@pytest.fixture
def once():
    """Gives a progress function that acts at the first message that begins so."""

    def once(message, action):
        done = []

        def progress(step, total, text):
            if text.startswith(message) and not done:
                done.append(text)
                action()

        return progress

    return once


class Disk:
    """A small file system."""

    def __init__(self, place):
        self.place, self.filler = place, place / "filler"

    def fill(self):
        """Leave no block of it free."""
        with self.filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A file system of 1 MiB that holds the cache."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("this process may not mount a tmpfs")
    monkeypatch.setenv("FREQFAST_CACHE", str(place / "cache"))
    yield Disk(place)
    subprocess.run(["umount", str(place)], check=True)
