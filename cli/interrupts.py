"""What a command of hours does when someone stops it or closes its terminal."""

import os
import shlex
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from freqfast.cli.errors import one_line, print_error

from freqfast.progress import RunStoppedError, Stop
from freqfast.runs.directory import RunDirectory

__all__ = ["interruptible", "long_command", "one_line_warnings"]

_STDERR = 2
_TWICE_S = 0.2  # `timeout` and job schedulers signal the process and its group: one request that arrives twice
_GRACE_S = 1.0  # to leave in order after the second signal, before the process ends whatever it is in
_SHOW_CURSOR = b"\x1b[?25h"  # which progress bars hide


@contextmanager
def long_command(run: Path) -> Iterator[Stop]:
    """Let the first Ctrl-C or SIGTERM end the block's work in order and the second at once; outlive the terminal.

    For the main thread; elsewhere signals stay as they are. The former handlers and streams come back at the end.

    Args:
        run: The run directory that the block works on, to say how to go on with it.

    Yields:
        A function that gives the number of the signal that came; None if none did.

    Raises:
        typer.Exit: 130 after Ctrl-C, 143 after SIGTERM, 1 if the run stopped by itself; the reason is on stderr.
    """
    stop = _StopRequest(run)
    try:
        with _lasting_streams(), _handlers(stop):
            yield lambda: stop.signum
    except RunStoppedError as error:
        print_error(error)
        raise typer.Exit(1 if error.signum is None else 128 + error.signum) from None
    except KeyboardInterrupt:
        print_error(_stopped_at_once(run))
        raise typer.Exit(128 + (stop.signum or signal.SIGINT)) from None


@contextmanager
def interruptible(message: str = "interrupted") -> Iterator[None]:
    """Let Ctrl-C or SIGTERM end the command with one line on stderr.

    Args:
        message: The line; it says what becomes of the work.

    Raises:
        typer.Exit: 130 after Ctrl-C, 143 after SIGTERM.
    """
    terminated = False

    def terminate(signum: int, frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    is_default = in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if is_default:
        signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt:
        print_error(message)
        raise typer.Exit(143 if terminated else 130) from None
    finally:
        if is_default:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Python warnings as the command's own messages, one line on stderr each."""

    def show(message: Warning | str, *where: Any) -> None:
        print_error(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _stopped_at_once(run: Path) -> str:
    left = f"; go on with `freqfast run --resume {shlex.quote(str(run))}`" if RunDirectory(run).is_started else ""
    return one_line(f"stopped at once{left}")


class _StopRequest:
    """A signal handler that takes note of the first signal and raises KeyboardInterrupt at the second.

    Python calls it between two of its instructions, which a step of a large model, all of it in one backward pass, may
    have minutes apart. So a thread beside it answers at once: it tells that the first has come, and ends the process
    where the second cannot be obeyed in time. What is left then is what SIGKILL leaves, which loses nothing.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.signum: int | None = None
        self._came = 0.0
        self._obeyed = False
        self._told = threading.Lock()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._came:
            if now - self._came > _TWICE_S:
                self._obeyed = True
                raise KeyboardInterrupt
            return
        self._came = now
        self._note(signum)

    def watch(self, signals: socket.socket, numbers: set[int]) -> None:
        """Read the numbers of signals as they come, until the other end is closed."""
        first = None
        while number := signals.recv(1):
            if number[0] not in numbers:
                continue
            now = time.monotonic()
            if first is None:
                first = now
                self._note(number[0])
            elif now - first > _TWICE_S:
                break
        else:
            return
        signals.settimeout(_GRACE_S)
        try:
            while signals.recv(1):
                pass
        except TimeoutError:
            if self._obeyed:
                return
            cursor = _SHOW_CURSOR if os.isatty(_STDERR) else b""
            with suppress(OSError):
                os.write(_STDERR, cursor + f"\nfreqfast: {_stopped_at_once(self.run)}\n".encode())
            os._exit(128 + (self.signum or number[0]))

    def _note(self, signum: int) -> None:
        self.signum = self.signum or signum
        if self._told.acquire(blocking=False):  # never given back
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
    ours, systems = socket.socketpair()
    systems.setblocking(False)
    numbers = {number for number in before if signal.getsignal(number) is stop}
    watcher = threading.Thread(target=stop.watch, args=(ours, numbers), daemon=True)
    wakeup = signal.set_wakeup_fd(systems.fileno(), warn_on_full_buffer=False)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        systems.close()
        watcher.join()
        ours.close()
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
