"""The published archive, played by small ones of other size and hash."""

import errno
import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from freqfast.data import cifar10c
from freqfast.robustness import stored_source


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def published():
    """Content by member: one image a severity."""
    members = {f"CIFAR-10-C/{name}": npy(np.full((5, 4, 4, 3), 7, np.uint8)) for name in sorted(cifar10c.MEMBERS)}
    return members | {"CIFAR-10-C/labels.npy": npy(np.zeros(5, np.uint8))}


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


def special(name, kind, link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


def test_unpacked_once(write, cache_folder):
    members = {"CIFAR-10-C": special("CIFAR-10-C", tarfile.DIRTYPE), **published()}
    path = write(dict(reversed(members.items())))
    calls = []
    folder = cifar10c.unpack_cifar10c(path, lambda *call: calls.append(call))
    assert folder == cache_folder / "CIFAR-10-C" == cifar10c.find_cifar10c()
    assert sorted(os.listdir(folder)) == sorted(cifar10c.MEMBERS)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        name.split("/")[1]: content for name, content in published().items()
    }
    assert (folder / "fog.npy").stat().st_mode & 0o6111 == 0
    assert len(stored_source(folder).corruptions) == 19
    assert {message.split()[0] for _, _, message in calls} == {"verifying", "unpacking"}
    assert calls[-1][0] == calls[-1][1]
    before = (folder / "fog.npy").stat().st_mtime_ns
    assert cifar10c.unpack_cifar10c(path) == folder == cifar10c.download_cifar10c()
    assert (folder / "fog.npy").stat().st_mtime_ns == before
    assert os.listdir(cache_folder) == ["CIFAR-10-C"]


def changed(name, content):
    return {**published(), name: content}


UNSOUND = {
    "escapes": changed("../fog.npy", b"x"),
    "escapes deeper": changed("CIFAR-10-C/../../fog.npy", b"x"),
    "absolute": changed("/tmp/fog.npy", b"x"),
    "unexpected": changed("CIFAR-10-C/rain.npy", b"x"),
    "elsewhere": changed("CIFAR-10-P/fog.npy", b"x"),
    "nested": changed("CIFAR-10-C/deep/fog.npy", b"x"),
    "symbolic link": changed("CIFAR-10-C/fog.npy", special("CIFAR-10-C/fog.npy", tarfile.SYMTYPE, "/etc/passwd")),
    "hard link": changed("CIFAR-10-C/fog.npy", special("CIFAR-10-C/fog.npy", tarfile.LNKTYPE, "CIFAR-10-C/snow.npy")),
    "link for the folder": {"CIFAR-10-C": special("CIFAR-10-C", tarfile.SYMTYPE, "/tmp"), **published()},
    "device": changed("CIFAR-10-C/fog.npy", special("CIFAR-10-C/fog.npy", tarfile.CHRTYPE)),
    "fifo": changed("CIFAR-10-C/fog.npy", special("CIFAR-10-C/fog.npy", tarfile.FIFOTYPE)),
    "twice": {**published(), "again": special("CIFAR-10-C/fog.npy", tarfile.REGTYPE)},
}


@pytest.mark.parametrize("kind", UNSOUND)
def test_members_that_are_not_expected(write, cache_folder, tmp_path, kind):
    path = write(UNSOUND[kind])
    with pytest.raises(ValueError, match=r"CIFAR-10-C\.tar is not a sound CIFAR-10-C\.tar: member '.*' is not one of"):
        cifar10c.unpack_cifar10c(path)
    assert list(cache_folder.rglob("*")) == []
    assert sorted(os.listdir(tmp_path)) == ["CIFAR-10-C.tar", "cache"]


def test_missing_members(write, cache_folder):
    members = published()
    del members["CIFAR-10-C/fog.npy"], members["CIFAR-10-C/snow.npy"]
    with pytest.raises(ValueError, match=r"2 members are missing, the first is CIFAR-10-C/fog\.npy"):
        cifar10c.unpack_cifar10c(write(members))
    assert list(cache_folder.rglob("*")) == []


@pytest.mark.parametrize("keep", [0, 300, 20_000])
def test_cut_archives_with_the_right_hash(write, cache_folder, keep):
    path = write(published())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"is not a sound CIFAR-10-C\.tar"):
        cifar10c.unpack_cifar10c(write.accept(path))
    assert list(cache_folder.rglob("*")) == []


def test_other_sizes_and_hashes(write, cache_folder, tmp_path):
    path = write(published())
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is not the published CIFAR-10-C\.tar: its SHA-256 is [0-9a-f]{64}, not"):
        cifar10c.unpack_cifar10c(path)
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=rf"it has {len(content) - 1} bytes, not {len(content)}; fetch it again"):
        cifar10c.unpack_cifar10c(path)
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        cifar10c.unpack_cifar10c(tmp_path / "absent")
    assert not cache_folder.exists()


def test_a_full_disk_leaves_nothing(write, cache_folder, monkeypatch):
    path = write(published())
    real = Path.open

    def full(self, mode="r", *args, **options):
        if "w" in mode and self.name == "fog.npy":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match=r"cannot be unpacked into .* \(No space left on device\); free .* GiB there"):
        cifar10c.unpack_cifar10c(path)
    assert list(cache_folder.rglob("*")) == []


# Download


@pytest.fixture
def served(write, tmp_path, monkeypatch):
    """The archive as pooch would fetch it, from a file instead of a server."""
    path = write(published(), tmp_path / "served.tar")
    monkeypatch.setattr(cifar10c, "URL", "https://example.org/CIFAR-10-C.tar")

    class FromFile:
        def __init__(self, progressbar=False):
            self.bar = progressbar

        def __call__(self, url, output, pooch, check_only=False):
            content = path.read_bytes()
            Path(output).write_bytes(content)
            if self.bar:
                self.bar.total = len(content)
                self.bar.update(len(content))

    monkeypatch.setattr(cifar10c.pooch, "HTTPDownloader", FromFile)
    return path


def test_download(served, cache_folder):
    calls = []
    folder = cifar10c.download_cifar10c(lambda *call: calls.append(call))
    assert len(stored_source(folder).corruptions) == 19
    assert os.listdir(cache_folder) == ["CIFAR-10-C"]  # the archive has gone
    assert calls[0] == (served.stat().st_size, served.stat().st_size, "downloading CIFAR-10-C.tar")


def test_a_download_of_another_file_is_refused(served, cache_folder):
    served.write_bytes(b"not it")
    with pytest.raises(
        FileNotFoundError, match=r"cannot be downloaded \(.*hash.*\); fetch CIFAR-10-C\.tar from Zenodo"
    ) as e:
        cifar10c.download_cifar10c()
    assert "\n" not in " ".join(str(e.value).split())
    assert list(cache_folder.rglob("*")) == []


def test_no_network(monkeypatch, cache_folder):
    def refuse(*args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(cifar10c.pooch, "retrieve", refuse)
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded \(no route to host\); fetch .* --cifar10c"):
        cifar10c.download_cifar10c()
