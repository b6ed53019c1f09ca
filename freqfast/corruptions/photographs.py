"""Finding and reading the photographs of frost; they are not part of freqfast."""

import hashlib
import warnings
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

DISTRIBUTION = "imagecorruptions-imaug"
PIXEL_LIMIT = 2**25  # an image of more may be a bomb
# The generator of the published data lists six and draws from the first five.
NAMES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")


def find_photographs(frost_dir: str | Path | None = None) -> tuple[Path, ...]:
    """Paths of the five photographs, in a folder or in the installed distribution, which is not imported.

    Raises:
        FileNotFoundError: If one is missing; the message says what to do.
    """
    if frost_dir is not None:
        paths = tuple(Path(frost_dir) / name for name in NAMES)
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise FileNotFoundError(
                f"no {', '.join(missing)} in the frost directory {str(frost_dir)!r}; it must hold {', '.join(NAMES)}"
            )
        return paths
    try:
        installed = files(DISTRIBUTION) or []
    except PackageNotFoundError:
        installed = []
    located = {path.name: Path(str(path.locate())) for path in installed if path.parent.name == "frost"}
    found = tuple(located[name] for name in NAMES if name in located and located[name].is_file())
    if len(found) < len(NAMES):
        raise FileNotFoundError(
            f"frost needs its photographs: pip install 'freqfast[frost]' brings them (in {DISTRIBUTION}), "
            f"or frost_dir names a directory that holds {NAMES[0]} .. {NAMES[-1]}"
        )
    return found


def photographs_sha256(frost_dir: str | Path | None = None) -> str:
    """Hash of the five photographs' files; raises as `find_photographs`."""
    digest = hashlib.sha256()
    for path in find_photographs(frost_dir):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@lru_cache(maxsize=2)
def shrunk_photographs(paths: tuple[Path, ...], height: int, width: int) -> tuple[Tensor, Tensor]:
    """The photographs at 20 % (for a shorter side of 32), in one uint8 stack ``(k, 3, h, w)``, and their sizes.

    OpenCV's bilinear reduction by exactly 5, which the published data has, looks at no neighbour: it picks every
    fifth pixel, from the third on. So do we, at any ratio.
    """
    shrunk = []
    for path in paths:
        photograph = _read(path)
        rows, columns = photograph.shape[:2]
        step = min(160 / min(height, width), rows / (height + 1), columns / (width + 1))
        y, x = (  # rounded up by exactly a half, the last one would lie on the edge
            ((np.arange(round(side / step)) + 0.5) * step).astype(int).clip(max=side - 1) for side in (rows, columns)
        )
        shrunk.append(photograph[y][:, x])
    sizes = np.array([photograph.shape[:2] for photograph in shrunk])
    stack = np.zeros((len(shrunk), 3, *sizes.max(axis=0)), dtype=np.uint8)
    for k, photograph in enumerate(shrunk):
        stack[k, :, : sizes[k, 0], : sizes[k, 1]] = photograph.transpose(2, 0, 1)
    return torch.from_numpy(stack), torch.from_numpy(sizes)


def _read(path: Path) -> NDArray[np.uint8]:
    """RGB levels ``(H, W, 3)``."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > PIXEL_LIMIT:
                raise ValueError(f"{image.width}x{image.height} pixels are too many")
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise ValueError(f"frost photograph {str(path)!r} cannot be read: {error}") from None
