"""Sound files of every kind, and the check that every hostile one of them goes through."""

import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hostile import sound as sound_files
from tests.support.commands import exit_code

HERE = Path(__file__).parent
if sys.platform != "linux":
    collect_ignore_glob = ["test_*"]  # memory is measured by Linux's means


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("hostile")
            item.add_marker(pytest.mark.filterwarnings("default"))  # the commands print them


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """A folder of sound files, made once; tests work on copies."""
    return sound_files.make_all(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="session")
def runs(sound, tmp_path_factory):
    """A finished run and an unfinished one beside the other sound files."""
    sound_files.make_runs(sound, sound / "tree", tmp_path_factory.mktemp("cache"))


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

    def words(self, make, words):
        """The words of a command: {} is the path that the function makes, and others stand for sound files."""
        sound = {"{model}": "model.safetensors", "{tree}": "tree", "{study}": "study.toml"}
        places = {"{}": make(self)} | {word: self.sound / name for word, name in sound.items()}
        return [places.get(word, word) for word in words]


@pytest.fixture
def attack(world, capfd):
    """Runs a command in this process and checks what must hold whatever it was given."""

    def attack(*words, harmless=False, mebibytes=700, seconds=60):
        before = set(world.place.rglob("*"))
        capfd.readouterr()
        with bounded(mebibytes, seconds):
            code = exit_code(*words)
        result = subprocess.CompletedProcess(words, code, *capfd.readouterr())
        check(result, harmless)
        assert not world.canary.exists(), "code was executed"
        if code:
            new = set(world.place.rglob("*")) - before
            assert not new, new
        return result

    return attack


@contextmanager
def bounded(mebibytes, seconds):
    """Fails a block that takes more memory or time, be it that it waits."""
    handler = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"took more than {seconds} s"))
    signal.alarm(seconds)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int((_mebibytes("VmSize") + 1500) * 2**20), limits[1]))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _mebibytes("VmHWM")
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    assert _mebibytes("VmHWM") - before < mebibytes


def _mebibytes(name):
    """A figure of this process's memory, as Linux gives it."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) / 2**10


def check(result, harmless=False):
    """One clear line on stderr and the exit code 2, or 1 where the environment fails."""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("freqfast: warning: ")]
    assert "Traceback" not in result.stdout + result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    assert all(line.startswith("freqfast: ") for line in lines), result.stderr
    if harmless and result.returncode == 0:  # with notes on what is left out
        return
    assert result.returncode in (1, 2), result
    assert len(lines) == 1, result.stderr
    assert len("freqfast: ") + 10 < len(lines[0]) < 2100
    if result.returncode == 1:
        assert "memory" in lines[0].lower(), result.stderr
