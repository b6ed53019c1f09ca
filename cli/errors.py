"""How the commands say what went wrong: one line on stderr, whatever an exception or a hostile file put into it."""

import errno
import sys

from freqfast.compute.memory import memory_error

__all__ = ["environment_fails", "one_line", "print_error"]

_LONGEST = 2000  # characters; a message may quote a value of any length
_ENVIRONMENT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE}


def one_line(text: object) -> str:
    """A text that a file or a package gave, on one line and without control characters that a terminal would obey."""
    words = " ".join(str(text).split())
    line = "".join(character if character.isprintable() else "?" for character in words)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 400]} [...] {line[-400:]}"


def print_error(text: object) -> None:
    """Print a message of the program's own on stderr."""
    print(f"freqfast: {one_line(text)}", file=sys.stderr)


def environment_fails(error: BaseException) -> bool:
    """Whether it is the machine that fails (memory, disk) rather than what it was given.

    An exception that says more about another, such as which file it met, fails for the other's reason.
    """
    if isinstance(error, OSError) and error.errno in _ENVIRONMENT:
        return True
    reason = error.__cause__ or error.__context__
    return memory_error(error) is not None or (reason is not None and environment_fails(reason))
