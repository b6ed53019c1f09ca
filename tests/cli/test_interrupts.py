"""Signals that come while no Python code runs, as in the backward pass of a large model; in a process of its own."""

import signal
import subprocess
import sys
import time

import pytest
import typer
from freqfast.cli.interrupts import interruptible

BUSY_S = 60
SCRIPT = """
import hashlib, signal, sys, time
from pathlib import Path
from freqfast.cli.interrupts import long_command
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in a shell's background
with long_command(Path("a b")) as stop:
    began = time.monotonic()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000)
    rounds = int(float(sys.argv[1]) * 100_000 / (time.monotonic() - began))
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", rounds)  # answers no signal
    print("asked", stop())
"""


@pytest.fixture
def busy(tmp_path):
    """Starts a long command that does one thing, without Python, for so many seconds."""
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "recipe.toml").write_text("")
    started = []

    def busy(seconds):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(seconds)],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        return process

    yield busy
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_is_told_and_the_second_obeyed_at_once(busy, number, code):
    process, began = busy(BUSY_S), time.monotonic()
    process.send_signal(number)
    assert process.stderr.readline() == "\n"
    assert process.stderr.readline() == "freqfast: finishing the step and saving; once more to stop at once\n"
    time.sleep(0.5)
    process.send_signal(number)
    assert process.wait(BUSY_S) == code
    assert time.monotonic() - began < BUSY_S / 3
    told = process.stderr.read().strip()
    assert told == "freqfast: stopped at once; go on with `freqfast run --resume 'a b'`"


def test_one_is_one_however_late_python_hears_of_it(busy):
    """Also one that comes twice, to the process and to its group."""
    process = busy(2)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "asked 15\n")
    assert err == "\nfreqfast: finishing the step and saving; once more to stop at once\n"


def test_sigterm_ends_other_commands_in_order(place):
    script = """
import time
from freqfast.cli.interrupts import interruptible
from freqfast.files import replacing
with interruptible("interrupted; nothing is kept"), replacing("file") as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=place, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.communicate(timeout=60)[1].splitlines()[0] == "freqfast: interrupted; nothing is kept"
    assert list(place.iterdir()) == []


def test_interruptible_gives_the_handler_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended, interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
