"""Sound files of every kind, and the one check that every hostile one of them goes through."""

import resource
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from freqfast.cli.main import main

from tests.hostile import handmade_images, handmade_texts, handmade_weights  # noqa: F401
from tests.hostile import sound as sound_files

HERE = Path(__file__).parent
outcomes = Counter()


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("hostile")
            item.add_marker(pytest.mark.filterwarnings("default"))  # the commands print them


def pytest_terminal_summary(terminalreporter):
    if outcomes:
        told = ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))
        terminalreporter.write_line(f"hostile cases: {sum(outcomes.values())} ({told})")


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """A folder of sound files, made once; tests work on copies."""
    return sound_files.make_all(tmp_path_factory.mktemp("sound"))


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def world(sound, tmp_path, monkeypatch):
    """A working directory of its own, and a canary that nothing may wake."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("FREQFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FREQFAST_DATA", raising=False)
    return World(place, sound, tmp_path / "canary")


class World:
    """Where a case takes place."""

    def __init__(self, place, sound, canary):
        self.place, self.sound, self.canary = place, sound, canary

    def copy(self, item):
        """A copy of a sound file or folder, to be spoilt."""
        source, target = self.sound / item, self.place / item
        if not target.exists():
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        return target


@pytest.fixture
def attack(world, monkeypatch, capfd):
    """Runs a command in this process and checks what must hold whatever it was given."""

    def attack(*words, harmless=False):
        before = set(world.place.rglob("*"))
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["freqfast", *map(str, words)])
        memory, start, code = _peak_mib(), time.monotonic(), 0
        try:
            main()
        except SystemExit as done:
            code = done.code or 0
        result = Result(code, *capfd.readouterr())
        check(result, harmless)
        assert not world.canary.exists(), "code was executed"
        assert _peak_mib() - memory < 700
        assert time.monotonic() - start < 60
        if code:
            new = set(world.place.rglob("*")) - before
            assert not new, new
        outcomes["refused" if code == 2 else "failed for want of memory or disk" if code else "harmless"] += 1
        return result

    return attack


def check(result, harmless=False):
    """One clear line on stderr and the exit code 2, or 1 where the environment fails."""
    lines = [line for line in result.err.splitlines() if not line.startswith("freqfast: warning: ")]
    assert "Traceback" not in result.out + result.err
    assert "\x1b" not in result.out + result.err
    if harmless and result.code == 0:
        assert all(line.startswith("freqfast: ") for line in lines), result.err  # notes on what is left out
        return
    assert result.code in (1, 2), result
    assert len(lines) == 1, result.err
    assert lines[0].startswith("freqfast: "), result.err
    assert len(lines[0]) < 2100
    assert len(lines[0]) > len("freqfast: ") + 10
    if result.code == 1:
        assert "memory" in lines[0].lower(), result.err


@pytest.fixture
def checked():
    """The same check of what a process of its own gave."""

    def checked(code, out, err):
        result = Result(code, out, err)
        check(result)
        outcomes["refused" if code == 2 else "failed for want of memory or disk"] += 1
        return result

    return checked


def _peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
