"""Finding and reading the photographs of frost; they are not part of freqfast."""

import hashlib
import warnings
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DISTRIBUTION = "imagecorruptions-imaug"
PIXEL_LIMIT = 2**25  # a larger image may be a decompression bomb
# The generator of the published data lists six and draws from the first five.
NAMES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")


def find_photographs(frost_dir: str | Path | None = None) -> tuple[Path, ...]:
    """Paths of the five photographs, in a folder or in the installed distribution, which is not imported.

    A FileNotFoundError says what to do if one is missing.
    """
    named = _installed() if frost_dir is None else {name: Path(frost_dir) / name for name in NAMES}
    found = {name: path for name, path in named.items() if path.is_file()}
    missing = [name for name in NAMES if name not in found]
    if missing and frost_dir is not None:
        raise FileNotFoundError(
            f"no {', '.join(missing)} in the frost directory {str(frost_dir)!r}; it must hold {', '.join(NAMES)}"
        )
    if missing:
        raise FileNotFoundError(
            f"frost needs its photographs: pip install 'freqfast[frost]' brings them (in {DISTRIBUTION}), "
            f"or frost_dir names a directory that holds {NAMES[0]} .. {NAMES[-1]}"
        )
    return tuple(found[name] for name in NAMES)


def _installed() -> dict[str, Path]:
    try:
        installed = files(DISTRIBUTION) or []
    except PackageNotFoundError:
        return {}
    return {path.name: Path(str(path.locate())) for path in installed if path.parent.name == "frost"}


def photographs_sha256(frost_dir: str | Path | None = None) -> str:
    """Hash of the five photographs' files; raises as `find_photographs`."""
    digest = hashlib.sha256()
    for path in find_photographs(frost_dir):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def grain(photograph: NDArray[np.uint8], height: int, width: int, field: float) -> float:
    """Photograph pixels per image pixel: ``field`` for its shorter side, fewer if the photograph is too small."""
    rows, columns = photograph.shape[:2]
    return float(min(field / min(height, width), rows / (height + 1), columns / (width + 1)))


def crop(photograph: NDArray[np.uint8], top: int, left: int, height: int, width: int, step: float) -> NDArray[np.uint8]:
    """A part of a photograph that is reduced by ``step``: ``(height, width, 3)``, its corner at ``(top, left)``.

    It is bilinear between the two nearest pixels, without antialiasing, as OpenCV reduced those of the published data.
    Reduced by 5, it is every fifth pixel, from the third on; with a step of 1 it is the photograph.
    """
    first, beyond = max(0, int(left * step) - 1), int((left + width) * step) + 2
    part = photograph[:, first:beyond]
    for axis, (start, size) in enumerate(((top, height), (left, width))):
        at = (np.arange(start, start + size) + 0.5) * step - 0.5 - axis * first
        low = np.floor(at).astype(np.int64)
        share = (at - low).reshape(-1, *(1,) * (2 - axis))
        last = part.shape[axis] - 1
        near = part.take(low.clip(0, last), axis)
        if share.any():
            near = near + share * (part.take((low + 1).clip(0, last), axis).astype(np.float64) - near)
        part = near
    return part if part.dtype == np.uint8 else np.rint(part).astype(np.uint8)


def read_photograph(path: Path) -> NDArray[np.uint8]:
    """RGB levels ``(H, W, 3)``, read again only if the file has changed; a ValueError if it is no picture."""
    status = path.stat()
    return _read(path.absolute(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=len(NAMES))
def _read(path: Path, size: int, time: int) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > PIXEL_LIMIT:
                raise ValueError(f"{image.width}x{image.height} pixels are too many")
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise ValueError(f"frost photograph {str(path)!r} cannot be read: {error}") from None
