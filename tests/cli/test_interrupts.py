"""Signals: what they do to each kind of command, in processes of their own, and what they leave."""

import signal
import subprocess
import sys
import time
from textwrap import indent
from unittest.mock import Mock

import pytest
import typer
from freqfast.cli.interrupts import interruptible

from tests.support.finished import write_run

ASKED = "freqfast: finishing the step and saving; once more to stop at once"
BUSY_S = 60
AS_COMMAND = "import sys, typer\ntry:\n{}except typer.Exit as done:\n    sys.exit(done.exit_code)"
LONG_COMMAND = f"""
import hashlib, signal, sys, time
from pathlib import Path
from freqfast.cli.interrupts import long_command
from freqfast.progress import RunStoppedError
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in a shell's background
with long_command(Path("."), "go on so", has_children=sys.argv[1] == "children") as stop:
    print("ready", flush=True)
    while stop() is None:
        time.sleep(0.01)
    if sys.argv[1] == "obey":
        raise RunStoppedError("interrupted", stop())
    print("asked", stop(), flush=True)
    if sys.argv[1] == "busy":
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes without any Python
    time.sleep({BUSY_S})
"""
INTERRUPTIBLE = f"""
import signal, time
from freqfast.cli.interrupts import interruptible
from freqfast.files import replacing
signal.signal(signal.SIGINT, signal.SIG_DFL)  # as the program's first line leaves it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which the tests may have been started without, by nohup
with interruptible("interrupted; nothing is kept"), replacing("file") as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    time.sleep({BUSY_S})
"""


@pytest.fixture
def start(place):
    """Starts a script, up to its first line."""
    started = []

    def start(script, *words):
        code = AS_COMMAND.format(indent(script, "    "))
        process = subprocess.Popen([sys.executable, "-c", code, *words], cwd=place, stdout=-1, stderr=-1, text=True)
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_first_signal_is_told_to_the_work(start, number, code):
    process = start(LONG_COMMAND, "obey")
    process.send_signal(number)
    process.send_signal(number)  # as `timeout` does, to the process and to its group: one request
    err = process.communicate(timeout=BUSY_S)[1]
    assert process.returncode == code
    assert err == f"\n{ASKED}\nfreqfast: interrupted; go on so\n"


def ask_twice(process, first, second):
    process.send_signal(first)
    assert process.stderr.readline() == "\n"
    assert process.stderr.readline() == f"{ASKED}\n"
    assert process.stdout.readline() == f"asked {first}\n"
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(second)
    err = process.communicate(timeout=BUSY_S)[1]
    assert time.monotonic() - began < BUSY_S / 3
    return err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_the_process_even_while_no_python_runs(start, number):
    process = start(LONG_COMMAND, "busy")
    assert ask_twice(process, signal.SIGTERM, number) == ""
    assert process.returncode == -number


def test_second_signal_lets_a_command_end_its_child_processes(start):
    process = start(LONG_COMMAND, "children")
    assert ask_twice(process, signal.SIGTERM, signal.SIGTERM) == "freqfast: stopped at once; go on so\n"
    assert process.returncode == 143


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_other_commands_in_order(start, place, number, code):
    process = start(INTERRUPTIBLE)
    process.send_signal(number)
    assert process.communicate(timeout=60)[1].splitlines()[0] == "freqfast: interrupted; nothing is kept"
    assert process.returncode == code
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("stage", "words", "message"),
    [
        ("analysis.filtering.judge", "reliance MODEL --data photos -o figure.png", "interrupted"),
        (
            "robustness.evaluation.judge_all",
            "evaluate MODEL --data photos --limit 2 --corruptions fog -o result.json",
            "interrupted; no results are kept",
        ),
        (
            "training.loop.ResumableLearner.fit_one_cycle",
            "finetune MODEL --data photos -o x.safetensors",
            "interrupted; nothing is written",
        ),
        ("spectra.measure.power_spectrum", "spectra MODEL -o out.h5", "interrupted"),
        ("report.page.inline_figure", "report RUN --force", "interrupted"),
    ],
)
def test_ctrl_c_is_one_line_and_leaves_nothing(call, place, checkpoint, monkeypatch, stage, words, message):
    places = {"MODEL": checkpoint, "RUN": write_run(place.parent / "run")}
    monkeypatch.setattr(f"freqfast.{stage}", Mock(side_effect=KeyboardInterrupt))
    result = call(*(places.get(word, word) for word in words.split()))
    assert (result.code, result.out, result.err) == (130, "", f"freqfast: {message}\n")
    assert list(place.iterdir()) == []


def test_interruptible_restores_the_former_handler():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended, interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
