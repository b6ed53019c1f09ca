"""What a command of hours does when someone stops it or closes its terminal."""

import os
import shlex
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from freqfast.cli.errors import print_error

__all__ = ["long_command", "one_line_warnings"]

_STDERR = 2
_TWICE_S = 0.2  # `timeout` and job schedulers signal the process and its group: one request that arrives twice


@contextmanager
def long_command(run: Path) -> Iterator[Callable[[], int | None]]:
    """Let the first Ctrl-C or SIGTERM end the block's work in order and the second at once; outlive the terminal.

    For the main thread; elsewhere signals stay as they are. The former handlers and streams come back at the end.

    Args:
        run: The run directory that the block works on, to say how to go on with it.

    Yields:
        A function that gives the number of the signal that came, None if none did.

    Raises:
        typer.Exit: 130 after Ctrl-C, 143 after SIGTERM, 1 if the run stopped by itself; the reason is on stderr.
    """
    from freqfast.training import RunStoppedError

    stop = _StopRequest()
    try:
        with _lasting_streams(), _handlers(stop):
            yield lambda: stop.signum
    except RunStoppedError as error:
        print_error(error)
        raise typer.Exit(1 if error.signum is None else 128 + error.signum) from None
    except KeyboardInterrupt:
        left = f"; go on with `freqfast run --resume {shlex.quote(str(run))}`" if run.exists() else ""
        print(f"freqfast: stopped at once{left}", file=sys.stderr)
        raise typer.Exit(128 + (stop.signum or signal.SIGINT)) from None


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Python warnings as the command's own messages, one line on stderr each."""

    def show(message: Warning | str, *where: Any) -> None:
        print_error(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield


class _StopRequest:
    """A signal handler that takes note of the first signal and raises KeyboardInterrupt at the second."""

    signum: int | None = None
    came = 0.0

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.signum is not None:
            if now - self.came > _TWICE_S:
                raise KeyboardInterrupt
            return
        self.signum, self.came = signum, now
        with suppress(OSError):  # not print: the signal may have come in the middle of one
            os.write(_STDERR, b"\nfreqfast: finishing the step and saving; once more to stop at once\n")


@contextmanager
def _handlers(stop: _StopRequest) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted: dict[str, Any] = {"SIGINT": stop, "SIGTERM": stop, "SIGHUP": signal.SIG_IGN}  # no SIGHUP on Windows
    before = {
        number: signal.signal(number, handler)
        for name, handler in wanted.items()
        if (number := getattr(signal, name, None)) is not None
        and signal.getsignal(number) is not signal.SIG_IGN  # a shell's way to shield what runs in the background
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _lasting_streams() -> Iterator[None]:
    """Standard output and error that swallow what a closed terminal or a broken pipe no longer takes."""
    # Where they were closed from the start, Python has None for them, and the next files to be opened would get their
    # numbers, and with these whatever libraries write to standard error.
    while (handle := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(handle)
    before = sys.stdout, sys.stderr
    lasting = [stream and _LastingStream(stream) for stream in before]
    sys.stdout, sys.stderr = lasting  # type: ignore[assignment]
    try:
        yield
    finally:
        for stream in filter(None, lasting):
            stream.flush()
        sys.stdout, sys.stderr = before


class _LastingStream:
    """A text stream whose file, once writing to it fails, is the null device."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())  # below the buffer, so that flushing what it holds succeeds at exit
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
