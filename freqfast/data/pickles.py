"""Reading the pickled batches of CIFAR-10 without running code that a pickle names."""

import io
import pickle
import pickletools
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEPS = 10**6  # of unpickling, and entries of its memo; 10,000 images with their file names take 30,000 and 10,000


def read_batch(content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    """Read a batch in the published layout.

    Only builtin containers and arrays of uint8, int32 and int64 are unpickled; all else is refused. Arrays are made
    from their raw bytes, without NumPy's own unpickling, which trusts a pickled type's description.

    Returns:
        Images, uint8 ``(N, 32, 32, 3)``; labels ``(N,)``; and N names of files, or none if the batch does not name all.

    Raises:
        Exception: Of any kind, since hostile bytes can make unpickling raise anything.
    """
    _check_steps(content)
    batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    pixels, labels = batch[b"data"], batch[b"labels"]
    if not isinstance(pixels, _Array) or pixels.values.dtype != np.uint8:
        raise ValueError("its data is no array of uint8")
    if isinstance(labels, _Array):
        labels = labels.values
    elif not (isinstance(labels, list) and all(type(label) is int for label in labels)):
        raise ValueError("its labels are no list of integers")
    numbers = np.array(labels, dtype=np.int64)
    images = pixels.values.reshape(len(numbers), 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), numbers, _names(batch.get(b"filenames"), len(numbers))


def _names(found: object, count: int) -> list[str]:
    """The names of files, if there is one for each image."""
    if not isinstance(found, list) or len(found) != count:
        return []
    names = [name.decode("latin-1") if isinstance(name, bytes) else name for name in found]
    return names if all(type(name) is str for name in names) else []


def _check_steps(content: bytes) -> None:
    """Refuse a pickle with too many steps, or with a memo index so large that the memo would fill the memory."""
    for step, (operation, value, _) in enumerate(pickletools.genops(content)):
        entry = value if operation.name.endswith("PUT") and isinstance(value, int) else 0
        if max(step, entry) > _STEPS:
            raise pickle.UnpicklingError(f"it takes more than {_STEPS:,} steps or memo entries")


class _Type:
    """Replaces ``numpy.dtype``, which a hostile state could make read bytes as pointers."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else str(code)
        if self.code.lstrip("<|") not in ("u1", "i4", "i8"):
            raise pickle.UnpicklingError(f"it holds an array of type {self.code[:20]!r}")

    def __setstate__(self, state: tuple) -> None:
        if state[1] in (">", b">"):
            raise pickle.UnpicklingError("it holds an array of swapped bytes")


class _Array:
    """Replaces ``numpy.ndarray``, and the function by which pickles make an array."""

    values: np.ndarray

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, is_fortran, content = state
        if not isinstance(kind, _Type) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("it holds an array that is not made of plain bytes")
        self.values = np.frombuffer(content, kind.code).reshape(shape, order="F" if is_fortran else "C")


class _ArraysOnly(pickle.Unpickler):
    """Unpickles builtin containers and arrays, and refuses to look up anything else."""

    def find_class(self, module: str, name: str) -> Any:
        found = f"{module}.{name}"
        if found == "numpy.dtype":
            return _Type
        if found in ("numpy.ndarray", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"):
            return _Array
        raise pickle.UnpicklingError(f"it asks for {found}, which no CIFAR-10 batch needs")
