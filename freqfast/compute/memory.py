"""Memory: kept in the process when it is freed, so that a CPU does not pay for it anew; and known by its lack."""

import ctypes

__all__ = ["keep_freed_memory", "memory_error"]

# Parameters of glibc's mallopt(3), from its malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Tell the C library to reuse the memory of freed tensors instead of returning it to the system.

    glibc maps large blocks one by one and unmaps them when they are freed, and gives back what is free at the heap's
    end. An activation of a few megabytes is such a block, so each step of a CPU training faults in all its pages anew;
    `tests/bench/bench_memory.py` shows what that costs. Results stay the same to the last bit; the process keeps the
    most memory that it has had at once. It holds for the whole process.

    Commands and the runs of a study call it. Call it before training with the callbacks in a process of your own.

    Returns:
        Whether the C library took it: True with glibc (Linux), False elsewhere, where nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc: macOS, musl, Windows
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))


def memory_error(error: BaseException | None) -> str | None:
    """What an exception says of memory that could not be had, on one line; None if it is about something else.

    An exception that came of another, such as one that says which file it met, is about what the other is about.
    """
    while error is not None:
        text = " ".join(str(error).split())
        # Libraries have exceptions of their own, and torch for the CPU no kind of its own, so the words must tell. In
        # these kinds, which our own messages are of, they may be a file's; what they come of is asked next.
        may_quote = isinstance(error, (ValueError, OSError, ImportError))
        said = not may_quote and ("allocate memory" in text or "out of memory" in text)
        if said or isinstance(error, MemoryError):
            return text or type(error).__name__
        error = error.__cause__ or error.__context__
    return None
