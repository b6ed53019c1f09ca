"""The published archive, played by a small one of other size and hash."""

import os
import tarfile

import numpy as np
import pytest
from freqfast.cli.errors import environment_fails

from freqfast.robustness.archive import published as cifar10c
from freqfast.robustness.archive.reading import stored_source


def test_unpacked_once(published, cache_folder):
    calls = []
    folder = cifar10c.unpack_cifar10c(published, lambda *call: calls.append(call))
    assert folder == cache_folder / "CIFAR-10-C" == cifar10c.find_cifar10c()
    with tarfile.open(published) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}
    assert {f"CIFAR-10-C/{file.name}": file.read_bytes() for file in folder.iterdir()} == members
    assert (folder / "fog.npy").stat().st_mode & 0o6111 == 0
    assert len(stored_source(folder).corruptions) == 19
    assert list(dict.fromkeys(message.split()[0] for _, _, message in calls)) == ["verifying", "unpacking"]
    assert all(0 < done <= total == cifar10c.SIZE for done, total, _ in calls)
    before = (folder / "fog.npy").stat().st_mtime_ns
    assert cifar10c.unpack_cifar10c(published) == folder == cifar10c.download_cifar10c()
    assert (folder / "fog.npy").stat().st_mtime_ns == before
    assert os.listdir(cache_folder) == ["CIFAR-10-C"]


def test_other_sizes_and_hashes(published, cache_folder, tmp_path):
    content = bytearray(published.read_bytes())
    content[600] ^= 1
    published.write_bytes(content)
    with pytest.raises(ValueError, match=r"is not the published CIFAR-10-C\.tar: its SHA-256 is [0-9a-f]{64}, not"):
        cifar10c.unpack_cifar10c(published)
    published.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=rf"it has {len(content) - 1} bytes, not {len(content)}; fetch it again"):
        cifar10c.unpack_cifar10c(published)
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        cifar10c.unpack_cifar10c(tmp_path / "absent")
    assert not cache_folder.exists()


def test_another_process_unpacks_it_meanwhile(published, cache_folder, once):
    def unpack():
        (cache_folder / "CIFAR-10-C").mkdir()
        np.save(cache_folder / "CIFAR-10-C" / "fog.npy", np.ones(3))

    folder = cifar10c.unpack_cifar10c(published, once("unpacking", unpack))
    assert os.listdir(folder) == ["fog.npy"]
    assert os.listdir(cache_folder) == ["CIFAR-10-C"]


def test_leftovers_of_a_killed_process_are_removed(published, disk):
    left = disk.place / "cache" / ".CIFAR-10-C.killed.tmp"
    left.mkdir(parents=True)
    (left / "fog.npy").write_bytes(bytes(2**20 - 8192))
    assert len(stored_source(cifar10c.unpack_cifar10c(published)).corruptions) == 19
    assert os.listdir(disk.place / "cache") == ["CIFAR-10-C"]


def test_a_disk_that_fills_leaves_nothing(published, disk, once):
    with pytest.raises(OSError, match=r"cannot be unpacked into .* \(No space left on device\); free .* GiB there"):
        cifar10c.unpack_cifar10c(published, once("unpacking fog.npy", disk.fill))
    assert os.listdir(disk.place / "cache") == []
    with pytest.raises(OSError, match=r"has 0\.0 GiB free, but CIFAR-10-C needs .* more; free some or set") as caught:
        cifar10c.unpack_cifar10c(published)  # before anything is written
    assert environment_fails(caught.value)
    disk.filler.unlink()
    assert len(stored_source(cifar10c.unpack_cifar10c(published)).corruptions) == 19
