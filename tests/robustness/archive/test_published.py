"""The published archive, played by a small one of another hash, in a file and on a server of this machine."""

import os
import tarfile

import numpy as np
import pytest

from freqfast.data.cifar10 import CLASSES
from freqfast.models.file import write_model
from freqfast.robustness.archive import published as cifar10c
from freqfast.robustness.archive.reading import stored_source
from tests.support.commands import exit_code
from tests.support.sound_model import stored_network


@pytest.fixture
def served(published, serve, monkeypatch):
    """The class of the server that has the archive."""
    server, url = serve(published.read_bytes(), published.name)
    monkeypatch.setattr(cifar10c, "URL", url)
    return server


def steps(calls):
    return list(dict.fromkeys(message.split()[0] for _, _, message in calls))


def test_unpacked_once(published, cache_folder):
    calls = []
    folder = cifar10c.unpack_cifar10c(published, lambda *call: calls.append(call))
    assert folder == cache_folder / "CIFAR-10-C" == cifar10c.find_cifar10c()
    with tarfile.open(published) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}
    assert {f"CIFAR-10-C/{file.name}": file.read_bytes() for file in folder.iterdir()} == members
    assert (folder / "fog.npy").stat().st_mode & 0o6022 == 0
    assert len(stored_source(folder).corruptions) == 19
    assert steps(calls) == ["unpacking"]
    before = (folder / "fog.npy").stat().st_mtime_ns
    assert cifar10c.unpack_cifar10c(published) == folder == cifar10c.download_cifar10c()
    assert (folder / "fog.npy").stat().st_mtime_ns == before
    assert os.listdir(cache_folder) == ["CIFAR-10-C"]


def test_another_file_is_refused(published, cache_folder, tmp_path):
    content = bytearray(published.read_bytes())
    content[600] ^= 1
    published.write_bytes(content)
    with pytest.raises(ValueError, match=r"is not the published CIFAR-10-C\.tar \(SHA-256 [0-9a-f]{64}, not"):
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


def test_a_full_disk_leaves_nothing_but_the_archive(served, disk, once):
    left = disk.place / "cache" / ".unpacked.killed.tmp"
    left.mkdir(parents=True)
    (left / "fog.npy").write_bytes(bytes(2**19))  # of a killed process, which the next call removes
    with pytest.raises(OSError, match="No space left on device"):
        cifar10c.download_cifar10c(once("unpacking CIFAR", disk.fill))
    assert os.listdir(disk.place / "cache") == ["CIFAR-10-C.tar"]
    disk.filler.unlink()
    assert len(stored_source(cifar10c.download_cifar10c()).corruptions) == 19
    assert served.requests == 1
    assert os.listdir(disk.place / "cache") == ["CIFAR-10-C"]


def test_download(served, cache_folder):
    calls = []
    folder = cifar10c.download_cifar10c(lambda *call: calls.append(call))
    assert len(stored_source(folder).corruptions) == 19
    assert os.listdir(cache_folder) == ["CIFAR-10-C"]  # the archive has gone
    size = len(served.content)
    assert (size, size, "downloading CIFAR-10-C.tar") in calls
    assert steps(calls) == ["downloading", "unpacking"]
    assert cifar10c.download_cifar10c() == folder
    assert served.requests == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"breaks_after": 20_000}, "20000 bytes read, .* more expected"),
        ({"content": b"<html>please log in</html>"}, "does not match the known hash"),
        ({"path_served": "/moved"}, "404 Client Error"),
        ({"protocol_version": "ICY"}, "Connection aborted"),
    ],
    ids=["broken", "other file", "moved", "no HTTP"],
)
def test_a_failed_download_says_what_to_do_in_one_line_and_leaves_nothing(served, cache_folder, change, reason):
    for name, value in change.items():
        setattr(served, name, value)
    with pytest.raises(FileNotFoundError, match=rf"^CIFAR-10-C.tar cannot be downloaded \(.*{reason}.*\); try again"):
        cifar10c.download_cifar10c()
    assert os.listdir(cache_folder) == []


def test_the_command_downloads(served, tmp_path, capsys):
    write_model(tmp_path / "m.safetensors", stored_network(CLASSES))
    for place in ("cifar10c", tmp_path / "CIFAR-10-C.tar"):  # the second time from the cache
        assert exit_code("evaluate", tmp_path / "m.safetensors", "--corrupted", place) == 0
        out, err = capsys.readouterr()
        assert err == "freqfast: no clean accuracy: no test images are at hand; name the data\n"
        assert "│ saturate " in out
        assert "not measured" not in out
    assert served.requests == 1
