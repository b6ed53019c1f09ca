"""The published archive downloaded from a real server on this machine."""

import os

import pytest

from freqfast.data.cifar10 import CLASSES
from freqfast.models.file import write_model
from freqfast.robustness.archive import published as cifar10c
from freqfast.robustness.archive.reading import stored_source
from tests.support.commands import exit_code
from tests.support.sound_model import stored_network

PART = "CIFAR-10-C.tar.part"


@pytest.fixture
def served(published, serve, monkeypatch):
    """The class of the server that has the archive."""
    server, url = serve(published.read_bytes())
    monkeypatch.setattr(cifar10c, "URL", url)
    return server


def test_download(served, cache_folder):
    calls = []
    folder = cifar10c.download_cifar10c(lambda *call: calls.append(call))
    assert len(stored_source(folder).corruptions) == 19
    assert os.listdir(cache_folder) == ["CIFAR-10-C"]  # the archive has gone
    size = len(served.content)
    assert (size, size, "downloading file") in calls
    assert list(dict.fromkeys(text.split()[0] for _, _, text in calls)) == ["downloading", "verifying", "unpacking"]
    assert cifar10c.download_cifar10c() == folder
    assert served.starts == [0]


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(served, cache_folder, monkeypatch, ranges):
    served.ranges = ranges
    monkeypatch.setattr("freqfast.data.download._BLOCK", 4096)

    def interrupt(done, total, message):
        if done > 8000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cifar10c.download_cifar10c(interrupt)
    assert os.listdir(cache_folder) == [PART]
    assert (cache_folder / PART).read_bytes() == served.content[:8192]
    assert len(stored_source(cifar10c.download_cifar10c()).corruptions) == 19
    assert served.starts == [0, 8192 if ranges else 0]


def test_broken_connections_are_made_again(served):
    served.breaks_after = 20_000
    assert len(stored_source(cifar10c.download_cifar10c()).corruptions) == 19
    assert served.starts == list(range(0, len(served.content), 20_000))


def test_a_server_that_stops(served, cache_folder):
    served.breaks_after, served.ranges = 20_000, False
    with pytest.raises(FileNotFoundError, match=r"the server stopped after 20,000 of .* bytes\); call again to go on"):
        cifar10c.download_cifar10c()
    assert (cache_folder / PART).stat().st_size == 20_000
    served.breaks_after = None
    assert cifar10c.download_cifar10c().is_dir()


def test_another_file_is_refused_and_removed_and_no_more_than_the_size_downloaded(
    served, cache_folder, monkeypatch, once
):
    monkeypatch.setattr(cifar10c, "SIZE", len(served.content) - 10)
    sizes = []
    with pytest.raises(ValueError, match=r"is not the published CIFAR-10-C\.tar: its SHA-256 is .*; fetch it again"):
        cifar10c.download_cifar10c(once("verifying", lambda: sizes.append((cache_folder / PART).stat().st_size)))
    assert sizes == [cifar10c.SIZE]
    assert os.listdir(cache_folder) == []  # nothing that a second call would go on after


def test_servers_without_the_file(monkeypatch, cache_folder, served):
    served.protocol_version = "ICY"
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded \(the server's answer is not valid HTTP: Bad"):
        cifar10c.download_cifar10c()
    served.protocol_version = "HTTP/1.0"
    monkeypatch.setattr(cifar10c, "URL", cifar10c.URL.replace("file", "moved"))
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded \(HTTP Error 404: Not Found\); call again"):
        cifar10c.download_cifar10c()
    monkeypatch.setattr(cifar10c, "URL", "http://127.0.0.1:9/CIFAR-10-C.tar")
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded \(<urlopen error .*Connection refused>\)"):
        cifar10c.download_cifar10c()
    assert not (cache_folder / "CIFAR-10-C").exists()


def test_a_download_goes_on_after_a_full_disk(served, disk, once, monkeypatch):
    disk.place.joinpath("filler").write_bytes(bytes(2**20 - 2 * len(served.content) + 4096))
    with pytest.raises(OSError, match=r"has 0\.0 GiB free, but CIFAR-10-C needs .* more; free some or set FREQFAST_"):
        cifar10c.download_cifar10c()  # room for the archive only
    assert served.starts == []
    disk.filler.unlink()
    monkeypatch.setattr("freqfast.data.download._BLOCK", 20_480)  # whole pages
    with pytest.raises(FileNotFoundError, match=r"No space left on device\); call again to go on after what has come"):
        cifar10c.download_cifar10c(once("downloading", disk.fill))
    disk.filler.unlink()
    assert len(stored_source(cifar10c.download_cifar10c()).corruptions) == 19
    assert served.starts == [0, 20_480]


def test_the_command_downloads(served, tmp_path, capsys):
    write_model(tmp_path / "m.safetensors", stored_network(CLASSES))
    for words in (["--download"], ["--cifar10c", tmp_path / "CIFAR-10-C.tar"]):  # the second time from the cache
        assert exit_code("evaluate", tmp_path / "m.safetensors", *words) == 0
        out, err = capsys.readouterr()
        assert err == "freqfast: no clean accuracy: no test images are at hand; name the data\n"
        assert "│ saturate " in out
        assert "not measured" not in out
    assert len(served.starts) == 1


def test_a_page_instead_of_the_file_leaves_what_came(served, cache_folder):
    cache_folder.mkdir()
    (cache_folder / PART).write_bytes(served.content[:5000])
    served.ranges, content, served.content = False, served.content, b"<html>please log in</html>"
    with pytest.raises(OSError, match="the server does not send a file of"):
        cifar10c.download_cifar10c()
    assert (cache_folder / PART).read_bytes() == content[:5000]
