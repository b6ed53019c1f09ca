"""A trial reading of an HDF5 file in a process that can be ended: libhdf5 hangs on some damage and crashes on other."""

import os
import signal
import warnings
from contextlib import suppress
from pathlib import Path

from freqfast.spectra.h5.reading import read_layers

__all__ = ["check_readable"]

_SECONDS = 20.0
_SECONDS_PER_BYTE = 1e-6


def check_readable(path: str | os.PathLike[str]) -> None:
    """Read a file in a forked process, to find out whether reading it here would hang or crash this one.

    What the reader itself refuses passes: reading it here will say what is wrong. On systems without fork, nothing is
    tried. Reading may take 20 s, and 1 s more for each MB of the file.

    Raises:
        ValueError: If reading did not come to an end.
    """
    path = Path(path)
    if not hasattr(os, "fork") or not path.is_file():
        return
    seconds = _SECONDS + _SECONDS_PER_BYTE * path.stat().st_size
    with warnings.catch_warnings(action="ignore"):  # newer Pythons warn of threads, of which the child uses none
        child = os.fork()
    if not child:
        try:
            _read(path, seconds)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        ended = os.WTERMSIG(status) == signal.SIGALRM
        fault = f"does not end within {seconds:g} s" if ended else "crashes the HDF5 library"
        raise ValueError(
            f"{path}: reading it {fault}, so it is damaged or made to do harm; write it again with "
            "freqfast.write_spectra"
        )


def _read(path: Path, seconds: float) -> None:
    import resource

    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the system's own, which needs no turn of the interpreter
    signal.setitimer(signal.ITIMER_REAL, seconds)
    with suppress(Exception):
        read_layers(path)
