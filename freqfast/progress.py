"""How long work tells what it has done and is asked to stop, without knowing who shows it or who asks."""

from collections.abc import Callable

__all__ = ["Progress", "RunStoppedError", "Stop", "stopping"]

Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, message)``."""

Stop = Callable[[], int | None]
"""Asked for the number of a signal that wants the work to stop; None if none does."""


class RunStoppedError(OSError):
    """A run that cannot go on for a reason outside it (a signal, the disk, memory), and can be resumed.

    Attributes:
        signum: The signal that stopped it, if one did.
    """

    def __init__(self, message: str, signum: int | None = None) -> None:
        super().__init__(message)
        self.signum = signum


def stopping(progress: Progress | None, stop: Stop) -> Progress:
    """A progress function at which work can stop at once, since it is repeated when the run goes on.

    Args:
        progress: Called as ``progress(done, total, message)`` in its turn.
        stop: Asked each time for the number of a signal that wants the run to stop; None if none does. If one does, the
            function raises `RunStoppedError`.
    """

    def report(done: int, total: int, message: str) -> None:
        if (signum := stop()) is not None:
            raise RunStoppedError(f"interrupted in {message}", signum)
        if progress is not None:
            progress(done, total, message)

    return report
