"""Memory: keep freed memory in the process, which is faster on a CPU, and recognise errors that mean a lack of it."""

import ctypes

# Parameters of glibc's mallopt(3), from its malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4

# Of the system, of CUDA and Apple's GPU, and of cuBLAS and cuDNN.
_LACKING = ("allocate memory", "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED")


def keep_freed_memory() -> bool:
    """Tell the C library to reuse the memory of freed tensors instead of returning it to the system.

    glibc maps large blocks one by one and unmaps them when they are freed, and returns free memory at the heap's end.
    An activation of a few megabytes is such a block, so each step of a CPU training faults in all its pages anew;
    `tests/bench/bench_memory.py` shows what that costs. Results stay the same to the last bit; the process keeps the
    most memory that it has had at once. The setting holds for the whole process.

    The command line and the runs of a study call it. Call it before you train with the callbacks in your own process.

    Returns:
        Whether the C library accepted it: True with glibc (Linux), False elsewhere, where nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc: macOS, musl, Windows
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))


def memory_error(error: BaseException | None) -> str | None:
    """The message, on one line, of an exception that means a lack of memory; None if it means something else.

    The causes of the exception count too: a lack of memory may have caused an error about a file.

    Examples:
        >>> memory_error(RuntimeError("CUDA out of memory"))
        'CUDA out of memory'
    """
    while error is not None:
        text = " ".join(str(error).split())
        # Libraries have exceptions of their own, and torch has none for a CPU's memory, so the words must decide. In
        # the kinds that freqfast raises itself, the words may be part of a file's name.
        may_quote = isinstance(error, (ValueError, OSError, ImportError))
        says_so = not may_quote and any(words in text for words in _LACKING)
        if says_so or isinstance(error, MemoryError):
            return text or type(error).__name__
        error = error.__cause__ or error.__context__
    return None
