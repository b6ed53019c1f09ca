"""Messages on stderr, one line each, whatever an exception or a hostile file put into them."""

import errno
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from freqfast.compute.memory import memory_error

_LONGEST = 2000  # characters; a message may quote a value of any length
_ENVIRONMENT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE}


def one_line(text: object) -> str:
    r"""A text on one line, without characters that command a terminal or reorder what it shows.

    All that comes from a file, a package or the user goes through it before it is printed. White space becomes a space,
    other characters without a shape "?": control characters (C0 and C1, and with them all escape sequences) and those
    for bidirectional text. Of a very long text the middle is left out.

    Examples:
        >>> one_line("a\n b \x1b[2J \u202e c")
        'a  b ?[2J ? c'
    """
    line = "".join(
        character if character.isprintable() else " " if character.isspace() else "?" for character in str(text)
    )
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 400]} [...] {line[-400:]}"


def print_error(text: object) -> None:
    """Print a message of the program's own on stderr."""
    words = " ".join(str(text).split())
    print(f"freqfast: {one_line(words)}", file=sys.stderr)


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print Python's warnings as the program's own messages, but not those for who writes with a library."""

    def show(message: Warning | str, *where: Any) -> None:
        print_error(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        warnings.simplefilter("ignore", FutureWarning)  # such as fastai's own on Python 3.14
        yield


def environment_fails(error: BaseException) -> bool:
    """Whether it is the machine that fails (memory, disk) rather than what it was given.

    An exception that says more about another, such as which file it met, fails for the other's reason.
    """
    if isinstance(error, OSError) and error.errno in _ENVIRONMENT:
        return True
    if isinstance(error, ImportError) and "failed to map segment" in str(error):  # too little address space
        return True
    reason = error.__cause__ or error.__context__
    return memory_error(error) is not None or (reason is not None and environment_fails(reason))
