"""What a terminal shows while a command works: its screen, by a terminal emulator."""

import os
import pty
import re
import threading

import pyte
import pytest
from freqfast.cli.output import console

from tests.support.commands import exit_code

COLUMNS = 100


@pytest.fixture
def watched(monkeypatch):
    """Runs a command on a pseudo-terminal; gives the lines of its screen after each piece of output."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.delenv("NO_COLOR", raising=False)

    def watched(*words):
        parent, child = pty.openpty()
        screen, shots = pyte.Screen(COLUMNS, 60), []
        stream = pyte.ByteStream(screen)

        def read():
            try:
                while piece := os.read(parent, 2**16):
                    stream.feed(piece)
                    shots.append([line.rstrip() for line in screen.display if line.strip()])
            except OSError:  # the other end is closed
                return

        reader = threading.Thread(target=read)
        reader.start()
        with open(child, "w") as terminal, monkeypatch.context() as patch:
            patch.setattr("sys.stdout", terminal)
            patch.setattr("sys.stderr", terminal)
            patch.setattr(console, "is_interactive", True)  # which Rich asks when the program begins
            assert exit_code(*words) == 0, shots
        reader.join()
        os.close(parent)
        return shots

    return watched


QUICK = ("--set", "epochs=2", "--set", "batch_size=2000")
RUN = ("run", "quickstart", *QUICK, "--set", "model.width=4", "--set", "test_images=1", "-o", "run")
FINETUNE = ("finetune", "../model.safetensors", "--data", "photos", "-o", "tuned.safetensors", *QUICK)


@pytest.mark.parametrize(("words", "first"), [(RUN, "quickstart: 2 epochs of"), (FINETUNE, "epoch 1/2: train loss ")])
def test_lines_stand_above_the_bar(watched, checkpoint, words, first):
    shots = watched(*words)
    bars = [line for lines in shots for line in lines if "elapsed" in line]
    assert bars
    for bar in bars:
        assert re.fullmatch(r"\W+ (\d[\d,]*/[\d,]+  )?elapsed \d+:\d\d(, \d+:\d\d left)? .*", bar)
    assert not any(" left" in bar for bar in bars if "loading PyTorch" in bar)  # there is no estimate yet
    assert any(" left " in bar for bar in bars)
    assert any(lines[-1] in bars and lines[-2].startswith(first) for lines in shots if len(lines) > 1)
    *_, last = shots
    assert not any("elapsed" in line for line in last)
    (epoch,) = (line for line in last if line.startswith("epoch 2/2"))
    assert re.match(r"epoch 2/2: train loss [\d.]+, test loss [\d.]+, test accuracy [\d.]+ %", epoch)
