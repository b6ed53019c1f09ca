"""The published archive, played by small ones of other size and hash."""

import os
import tarfile

import pytest
from freqfast.cli.errors import environment_fails

from freqfast.robustness.archive import published as cifar10c
from freqfast.robustness.archive.reading import stored_source


def special(name, kind, link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


def test_unpacked_once(write, published, cache_folder):
    members = {"CIFAR-10-C": special("CIFAR-10-C", tarfile.DIRTYPE), **published}
    path = write(dict(reversed(members.items())))
    calls = []
    folder = cifar10c.unpack_cifar10c(path, lambda *call: calls.append(call))
    assert folder == cache_folder / "CIFAR-10-C" == cifar10c.find_cifar10c()
    assert sorted(os.listdir(folder)) == sorted(cifar10c.MEMBERS)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        name.split("/")[1]: content for name, content in published.items()
    }
    assert (folder / "fog.npy").stat().st_mode & 0o6111 == 0
    assert len(stored_source(folder).corruptions) == 19
    assert {message.split()[0] for _, _, message in calls} == {"verifying", "unpacking"}
    assert calls[-1][0] == calls[-1][1]
    before = (folder / "fog.npy").stat().st_mtime_ns
    assert cifar10c.unpack_cifar10c(path) == folder == cifar10c.download_cifar10c()
    assert (folder / "fog.npy").stat().st_mtime_ns == before
    assert os.listdir(cache_folder) == ["CIFAR-10-C"]


# What each has besides the 20 members, or in place of one.
UNSOUND = {
    "escapes": ("../fog.npy", b"x"),
    "escapes deeper": ("CIFAR-10-C/../../fog.npy", b"x"),
    "absolute": ("/tmp/fog.npy", b"x"),
    "unexpected": ("CIFAR-10-C/rain.npy", b"x"),
    "elsewhere": ("CIFAR-10-P/fog.npy", b"x"),
    "nested": ("CIFAR-10-C/deep/fog.npy", b"x"),
    "symbolic link": ("CIFAR-10-C/fog.npy", special("CIFAR-10-C/fog.npy", tarfile.SYMTYPE, "/etc/passwd")),
    "hard link": ("CIFAR-10-C/fog.npy", special("CIFAR-10-C/fog.npy", tarfile.LNKTYPE, "CIFAR-10-C/snow.npy")),
    "link for the folder": ("CIFAR-10-C", special("CIFAR-10-C", tarfile.SYMTYPE, "/tmp")),
    "device": ("CIFAR-10-C/fog.npy", special("CIFAR-10-C/fog.npy", tarfile.CHRTYPE)),
    "fifo": ("CIFAR-10-C/fog.npy", special("CIFAR-10-C/fog.npy", tarfile.FIFOTYPE)),
    "twice": ("again", special("CIFAR-10-C/fog.npy", tarfile.REGTYPE)),
}


@pytest.mark.parametrize("kind", UNSOUND)
def test_members_that_are_not_expected(write, published, cache_folder, tmp_path, kind):
    path = write({**published, **dict([UNSOUND[kind]])})
    with pytest.raises(ValueError, match=r"CIFAR-10-C\.tar is not a sound CIFAR-10-C\.tar: member '.*' is not one of"):
        cifar10c.unpack_cifar10c(path)
    assert list(cache_folder.rglob("*")) == []
    assert sorted(os.listdir(tmp_path)) == ["CIFAR-10-C.tar", "cache", "work"]


def test_missing_members(write, published, cache_folder):
    del published["CIFAR-10-C/fog.npy"], published["CIFAR-10-C/snow.npy"]
    with pytest.raises(ValueError, match=r"2 members are missing, the first is CIFAR-10-C/fog\.npy"):
        cifar10c.unpack_cifar10c(write(published))
    assert list(cache_folder.rglob("*")) == []


@pytest.mark.parametrize("keep", [0, 300, 20_000])
def test_cut_archives_with_the_right_hash(write, published, cache_folder, keep):
    path = write(published)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"is not a sound CIFAR-10-C\.tar"):
        cifar10c.unpack_cifar10c(write.accept(path))
    assert list(cache_folder.rglob("*")) == []


def test_other_sizes_and_hashes(write, published, cache_folder, tmp_path):
    path = write(published)
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


def test_what_a_killed_process_left_goes_first(write, published, disk):
    left = disk.place / "cache" / ".CIFAR-10-C.killed.tmp"
    left.mkdir(parents=True)
    (left / "fog.npy").write_bytes(bytes(2**20 - 8192))
    assert len(stored_source(cifar10c.unpack_cifar10c(write(published))).corruptions) == 19
    assert os.listdir(disk.place / "cache") == ["CIFAR-10-C"]


def test_a_disk_that_fills_leaves_nothing(write, published, disk, once):
    path = write(published)
    with pytest.raises(OSError, match=r"cannot be unpacked into .* \(No space left on device\); free .* GiB there"):
        cifar10c.unpack_cifar10c(path, once("unpacking fog.npy", disk.fill))
    assert os.listdir(disk.place / "cache") == []
    with pytest.raises(
        OSError, match=r"has 0\.0 GiB free, but CIFAR-10-C needs .* more; free some or set FREQFAST_"
    ) as no:
        cifar10c.unpack_cifar10c(path)  # before anything is written
    assert environment_fails(no.value)
    disk.filler.unlink()
    assert len(stored_source(cifar10c.unpack_cifar10c(path)).corruptions) == 19
