"""How long-running work reports its progress, and how it is asked to stop."""

import sys
from collections.abc import Callable
from typing import Any

Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, message)``."""

Log = Callable[[str], object]
"""Called with a line that is worth keeping, such as one about an epoch."""

Stop = Callable[[], int | None]
"""Returns the number of a signal if the work is to stop, else None."""


class RunStoppedError(Exception):
    """Raised when a run has to stop for a reason outside it (a signal, the disk, memory); it can be resumed.

    Attributes:
        signum: The signal that stopped it, if one did.

    Examples:
        >>> RunStoppedError("interrupted after 3 epochs", signum=2).signum
        2
    """

    def __init__(self, message: str, signum: int | None = None) -> None:
        super().__init__(message)
        self.signum = signum


def stopping(progress: Progress | None, stop: Stop) -> Progress:
    """A progress function for work that may stop at any report, because a resumed run repeats it.

    Before each report it asks `stop`, and raises `RunStoppedError` if that returns a signal.

    Examples:
        >>> report = stopping(print, stop=lambda: None)
        >>> report(1, 2, "decoding")
        1 2 decoding
    """

    def report(done: int, total: int, message: str) -> None:
        if (signum := stop()) is not None:
            raise RunStoppedError(f"interrupted in {message}", signum)
        if progress is not None:
            progress(done, total, message)

    return report


def notebook_progress() -> Progress | None:
    """A function that draws progress as fastai's bar in a notebook; None elsewhere.

    Examples:
        >>> notebook_progress() is None  # this is no notebook
        True
    """
    return _Bar() if "ipykernel" in sys.modules else None


class _Bar:
    """A bar of fastprogress, a new one whenever the total changes."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __call__(self, done: int, total: int, message: str) -> None:
        from fastprogress.fastprogress import progress_bar

        if self.bar is None or self.bar.total != total:
            self.bar = progress_bar(range(total), leave=False)
            self.bar.update(0)
        self.bar.comment = message
        self.bar.update(done)
