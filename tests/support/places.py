"""Fixtures of places: a cache of a test's own, a disk that can be filled."""

import subprocess
from contextlib import suppress

import pytest


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("FREQFAST_CACHE", str(folder))
    monkeypatch.delenv("FREQFAST_DATA", raising=False)
    return folder


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
def mount(tmp_path):
    """``mount(options)`` mounts a small file system, or changes it; its folder."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if place.is_mount():
            subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)
        elif subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this process may not mount a tmpfs")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def disk(mount, monkeypatch):
    """A file system of 1 MiB that holds the cache."""
    place = mount("size=1m")
    monkeypatch.setenv("FREQFAST_CACHE", str(place / "cache"))
    return Disk(place)
