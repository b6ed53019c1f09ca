"""The published archive downloaded from a real server on this machine."""

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from freqfast.cli.main import main

from freqfast.data.cifar10 import CLASSES
from freqfast.models.file import write_model
from freqfast.models.resnet import build_model
from freqfast.robustness.archive import published as cifar10c
from freqfast.robustness.archive.reading import stored_source

PART = "CIFAR-10-C.tar.part"


class Server(BaseHTTPRequestHandler):
    """Serves `content`, from where it is asked to if it knows ranges; breaks each connection after some bytes."""

    content, ranges, breaks_after, starts = b"", True, None, []

    def do_GET(self):
        if self.path != "/CIFAR-10-C.tar":
            self.send_error(404)
            return
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) if self.ranges else 0
        self.starts.append(start)
        self.send_response(206 if self.ranges else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start:][: self.breaks_after])

    def log_message(self, *args):
        pass


@pytest.fixture
def served(write, published, monkeypatch):
    """The class of the server that has the archive, a new one for each test."""
    server = type("Server", (Server,), {"content": write(published).read_bytes(), "starts": []})
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), server) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,)).start()
        monkeypatch.setattr(cifar10c, "URL", f"http://127.0.0.1:{http.server_port}/CIFAR-10-C.tar")
        yield server
        http.shutdown()


def test_download(served, cache_folder):
    calls = []
    folder = cifar10c.download_cifar10c(lambda *call: calls.append(call))
    assert len(stored_source(folder).corruptions) == 19
    assert os.listdir(cache_folder) == ["CIFAR-10-C"]  # the archive has gone
    size = len(served.content)
    assert (size, size, "downloading CIFAR-10-C.tar") in calls
    assert list(dict.fromkeys(text.split()[0] for _, _, text in calls)) == ["downloading", "verifying", "unpacking"]
    assert cifar10c.download_cifar10c() == folder
    assert served.starts == [0]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_was_interrupted_goes_on(served, cache_folder, ranges):
    served.ranges, kept = ranges, 5000
    cache_folder.mkdir()
    (cache_folder / PART).write_bytes(served.content[:kept])
    assert len(stored_source(cifar10c.download_cifar10c()).corruptions) == 19
    assert served.starts == [kept if ranges else 0]
    assert os.listdir(cache_folder) == ["CIFAR-10-C"]


def test_an_interrupt_keeps_what_came(served, cache_folder, monkeypatch):
    monkeypatch.setattr("freqfast.data.download._BLOCK", 4096)

    def interrupt(done, total, message):
        if done > 8000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cifar10c.download_cifar10c(interrupt)
    assert os.listdir(cache_folder) == [PART]
    assert (cache_folder / PART).read_bytes() == served.content[:8192]
    cifar10c.download_cifar10c()
    assert served.starts == [0, 8192]


def test_connections_that_break_are_taken_up_again(served):
    served.breaks_after = 20_000
    assert len(stored_source(cifar10c.download_cifar10c()).corruptions) == 19
    assert served.starts == list(range(0, len(served.content), 20_000))


def test_a_server_that_brings_nothing_more(served, cache_folder):
    served.breaks_after, served.ranges = 20_000, False
    with pytest.raises(FileNotFoundError, match=r"the server stopped after 20,000 of .* bytes\); call again to go on"):
        cifar10c.download_cifar10c()
    assert (cache_folder / PART).stat().st_size == 20_000
    served.breaks_after = None
    assert cifar10c.download_cifar10c().is_dir()


def test_no_more_than_its_size_is_downloaded(served, cache_folder, monkeypatch, once):
    monkeypatch.setattr(cifar10c, "SIZE", len(served.content) - 10)
    sizes = []
    with pytest.raises(ValueError, match=r"tar\.part is not the published CIFAR-10-C\.tar: its SHA-256 is"):
        cifar10c.download_cifar10c(once("verifying", lambda: sizes.append((cache_folder / PART).stat().st_size)))
    assert sizes == [cifar10c.SIZE]


@pytest.mark.parametrize("change", [lambda content: bytes(len(content)), lambda content: b"<html>" + content[6:]])
def test_another_file_of_that_size_is_refused_and_removed(served, cache_folder, change):
    served.content = change(served.content)
    with pytest.raises(ValueError, match=r"is not the published CIFAR-10-C\.tar: its SHA-256 is .*; fetch it again"):
        cifar10c.download_cifar10c()
    assert os.listdir(cache_folder) == []  # nothing that a second call would go on after


def test_nobody_answers(monkeypatch, cache_folder, served):
    monkeypatch.setattr(cifar10c, "URL", cifar10c.URL.replace("CIFAR-10-C", "moved"))
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded \(HTTP Error 404: Not Found\); .* --cifar10c"):
        cifar10c.download_cifar10c()
    monkeypatch.setattr(cifar10c, "URL", "http://127.0.0.1:9/CIFAR-10-C.tar")
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded \(<urlopen error .*Connection refused>\)"):
        cifar10c.download_cifar10c()
    assert not (cache_folder / "CIFAR-10-C").exists()


def test_a_disk_that_fills_is_gone_on_with(served, disk, once, monkeypatch):
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


def test_the_command_from_the_server_to_the_table(served, cache_folder, tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    spec = {"name": "resnet18", "width": 8, "kernel_size": 3, "classes": 10}
    write_model(tmp_path / "m.safetensors", build_model(**spec), spec, CLASSES, (0.5,) * 3, (0.25,) * 3)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["freqfast", "evaluate", str(tmp_path / "m.safetensors"), *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as done:
            code = done.code or 0
        return code, *capsys.readouterr()

    served.content = served.content[::-1]
    code, out, err = call("--download")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "its SHA-256 is" in err
    served.content = served.content[::-1]
    code, out, err = call("--download")
    assert (code, err) == (0, "freqfast: no clean accuracy: no test images are at hand; name them with --data\n")
    assert "│ saturate " in out
    assert "not measured" not in out
    assert call() == (0, out, err)  # from the cache
    assert call("--cifar10c", tmp_path / "CIFAR-10-C.tar") == (0, out, err)  # verified, and there already
    assert len(served.starts) == 2


def test_a_page_in_the_file_s_place_costs_nothing_of_what_came(served, cache_folder):
    cache_folder.mkdir()
    (cache_folder / PART).write_bytes(served.content[:5000])
    served.ranges, content, served.content = False, served.content, b"<html>please log in</html>"
    with pytest.raises(OSError, match="the server sends something else than a file of"):
        cifar10c.download_cifar10c()
    assert (cache_folder / PART).read_bytes() == content[:5000]
