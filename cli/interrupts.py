"""What signals, closed terminals and broken pipes do to a command."""

import errno
import io
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from freqfast.cli.errors import print_error

from freqfast.progress import RunStoppedError, Stop

_STDERR = 2
_ONE_REQUEST_S = 0.2  # `timeout` and job schedulers signal the process and its group: one request that arrives twice
_SHOW_CURSOR = b"\x1b[?25h"  # progress bars hide it, and a process that the system ends cannot bring it back


@contextmanager
def interruptible(message: str = "interrupted") -> Iterator[None]:
    """Let Ctrl-C (exit code 130), SIGTERM (143) or a closed terminal (129) end the command with this line on stderr."""
    came = int(signal.SIGINT)

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = number
        raise KeyboardInterrupt

    # Ctrl-C too, whose handler of Python's own `freqfast.__main__` has taken away.
    caught = _not_ignored(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in caught}
    try:
        yield
    except KeyboardInterrupt:
        print_error(message)
        raise typer.Exit(128 + came) from None
    finally:
        _restore(before)


@contextmanager
def long_command(folder: Path, go_on: str, *, has_children: bool = False) -> Iterator[Stop]:
    """Let the first Ctrl-C or SIGTERM stop the block's work in order and the second at once; outlive the terminal.

    Python calls a signal's handler between two of its instructions, so the first signal may wait for the end of a
    backward pass. After that the system itself ends the process at the second, whatever it computes: the work since the
    last checkpoint is lost, no more. There is no message then, and a shell gives 130 or 143 as after the first.

    Args:
        folder: What the work leaves. If it exists, the last message says how to go on.
        go_on: How, in words.
        has_children: At the second signal raise KeyboardInterrupt instead, so that the block can end its processes.

    Yields:
        A function that gives the number of the signal that came; None if none did.

    Raises:
        typer.Exit: 130 after Ctrl-C, 143 after SIGTERM, 1 if the run stopped by itself; the reason is on stderr.
    """
    try:
        with _handlers(signal.default_int_handler if has_children else signal.SIG_DFL) as stop:
            yield stop
    except RunStoppedError as error:
        print_error(f"{error}; {go_on}" if folder.exists() else error)
        raise typer.Exit(1 if error.signum is None else 128 + error.signum) from None
    except KeyboardInterrupt:
        print_error(f"stopped at once; {go_on}" if folder.exists() else "stopped at once")
        raise typer.Exit(128 + (stop() or signal.SIGINT)) from None


@contextmanager
def _handlers(second: Any) -> Iterator[Stop]:
    """Note the first signal, and handle the second otherwise; the former handlers come back at the end."""
    came: int | None = None
    shown = b"\nfreqfast: finishing the step and saving; once more to stop at once\n"
    caught = _not_ignored(signal.SIGINT, signal.SIGTERM)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = number
        for each in caught:
            signal.signal(each, signal.SIG_IGN)
        with suppress(OSError):  # not print: the signal may have come in the middle of one
            os.write(_STDERR, (_SHOW_CURSOR if os.isatty(_STDERR) else b"") + shown)
        time.sleep(_ONE_REQUEST_S)
        for each in caught:
            signal.signal(each, second)

    handlers: dict[int, Any] = {**dict.fromkeys(caught, note), signal.SIGHUP: signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield lambda: came
    finally:
        _restore(before)


def _not_ignored(*numbers: int) -> list[int]:
    """The signals that this process does not ignore, as shells make `command &` ignore Ctrl-C, and nohup SIGHUP."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def _restore(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextmanager
def lasting_streams() -> Iterator[list[OSError]]:
    """Standard output and error that swallow what a closed terminal or a broken pipe no longer takes.

    Yields:
        A list that says why, if a full disk did not take what was printed; whole once standard output is flushed.
    """
    # If they were closed from the start, the next files to be opened would get their numbers, and with these whatever
    # libraries write to standard error. Python has None for them then, and `print` writes to standard output what is
    # for a standard error that is None.
    while (handle := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(handle)
    before = sys.stdout, sys.stderr
    if isinstance(sys.stdout, io.TextIOWrapper):
        with suppress(OSError):
            sys.stdout.reconfigure(errors="replace")  # an encoding may have no ±
    lost: list[OSError] = []
    streams = (stream or open(handle, "w", closefd=False) for handle, stream in enumerate(before, 1))  # noqa: SIM115
    sys.stdout, sys.stderr = (_LastingStream(stream, lost) for stream in streams)  # type: ignore[assignment]
    try:
        yield lost
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


class _LastingStream:
    """A text stream that goes on writing to the null device once writing fails."""

    def __init__(self, stream: Any, lost: list[OSError]) -> None:
        self._stream, self._lost = stream, lost

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            self._lost.append(error)
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())  # below the buffer, so that flushing what it holds succeeds at exit
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
