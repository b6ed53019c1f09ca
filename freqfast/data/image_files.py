"""Images in files, decoded when they are used: a set of any size needs the memory of one batch."""

import hashlib
import mimetypes
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from freqfast.data.images import Images
from freqfast.files import require_file
from freqfast.preprocessing import Preprocessing
from freqfast.progress import Progress

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # of a file's content: Pillow runs programs for some others
_PIXEL_LIMIT = 2**26  # few photographs have more; a small file can claim any number
_KINDS = mimetypes.MimeTypes()  # by Python's own table, not the machine's, and the suffixes that it lacks
for _suffix in (".apng", ".dib", ".j2k", ".jfif", ".jp2", ".jxl", ".mpo", ".psd", ".tga"):
    _KINDS.add_type("image/other", _suffix, strict=False)
AS_THEY_ARE = Preprocessing()
_TURNS = {  # what turns an image upright, by EXIF's orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class ImageFiles:
    """Images in files in place of an array ``(N, H, W, 3)``: slicing reads nothing, and `numpy.asarray` decodes.

    An image is turned upright as its EXIF data says, converted to RGB, scaled and cropped.

    Args:
        paths: The files.
        preprocessing: How images are scaled and cropped; without a crop all must have one size.

    Raises:
        ValueError: When decoded, if a file is no image, is grey of more than 8 bits, is smaller than the crop, or has
            another size than the first; the message names the file.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "grey.png"
        ...     Image.new("L", (64, 48), 128).save(path)
        ...     images = ImageFiles((path,), Preprocessing(resize=24, crop=16))
        ...     print(images.shape, np.asarray(images[:1])[0, 0, 0])
        (1, 16, 16, 3) [128 128 128]
    """

    paths: tuple[Path, ...]
    preprocessing: Preprocessing = AS_THEY_ARE

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: slice | NDArray[Any]) -> "ImageFiles":
        part = replace(self, paths=tuple(self.paths[row] for row in np.arange(len(self))[rows]))
        if "_size" in self.__dict__:
            part.__dict__["_size"] = self._size  # so that it is read once and is the same for all parts
        return part

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(N, H, W, 3)``; reads the first image if there is no crop."""
        return (len(self.paths), *self._size, 3)

    @cached_property
    def _size(self) -> tuple[int, int]:
        if (crop := self.preprocessing.crop) is not None:
            return crop, crop
        height, width, _ = self.decode(self.paths[0]).shape
        return height, width

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.uint8]:
        """Decode all images, in as many threads as torch is set to."""
        import torch  # takes seconds

        images = np.empty(self.shape, np.uint8)

        def fill(row: int) -> None:
            images[row] = self.decode(self.paths[row], images.shape[1:])

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            list(pool.map(fill, range(len(self.paths))))
        return images if dtype is None else images.astype(dtype, copy=False)

    def decode(self, path: Path, shape: tuple[int, ...] | None = None) -> NDArray[np.uint8]:
        """The pixels ``(H, W, 3)`` of a file that is not trusted, which must have this shape if one is given.

        Raises:
            FileNotFoundError: If it is not there.
            ValueError: If it cannot be used; the message names it.
        """
        require_file(path)
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > _PIXEL_LIMIT:
                    raise ValueError(f"{image.width}x{image.height} pixels are more than {_PIXEL_LIMIT:,}; shrink it")
                pixels = self.preprocessing.frame(upright(image))
        except UnidentifiedImageError:  # whose message has the address of an object
            reason = f"its content is none of {', '.join(_FORMATS)}"
        except Exception as error:  # Pillow raises many kinds for corrupt files
            reason = " ".join(str(error).split())
        else:
            if shape in (None, pixels.shape):
                return pixels
            size, first = (f"{width}x{height}" for height, width, _ in (pixels.shape, shape))
            raise ValueError(f"{path} has {size} pixels, the first image {first}; resize and crop them")
        raise ValueError(f"{path} cannot be used as an image: {reason}")

    def names_hash(self) -> bytes:
        """A hash of the files' names, folders and sizes, and of how they are scaled; no file is read."""
        scaling = self.preprocessing
        stated = (scaling.resize, scaling.crop, scaling.interpolation or "bilinear")
        digest = hashlib.sha256(repr(stated).encode())
        for path in self.paths:
            digest.update(f"{path.parent.name}/{path.name} {path.stat().st_size}\n".encode(errors="surrogateescape"))
        return digest.digest()


def upright(image: Image.Image) -> Image.Image:
    """An image in RGB, turned upright as its EXIF data says.

    Raises:
        ValueError: If it is grey and has more than 8 bits, which Pillow would clip to white.
    """
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"it has more than 8 bits a channel (Pillow's mode {image.mode}); convert it to 8 bits first")
    image.load()  # a PNG may have its EXIF data behind its pixels
    # Not by `ImageOps.exif_transpose`, which also writes the EXIF data anew and fails where any of it is odd.
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return (image if turn is None else image.transpose(turn)).convert("RGB")


def names_image(name: str) -> bool:
    """Whether a file's name has an image's suffix, of any kind, and is not hidden (as ``._a.png`` is).

    Images of kinds that are not read are refused when they are decoded, not left out.

    Examples:
        >>> names_image("a.tif"), names_image("a.txt"), names_image("._a.png")
        (True, False, False)
    """
    kind, _ = _KINDS.guess_type("image" + os.path.splitext(name)[1], strict=False)
    return (kind or "").startswith("image/") and not name.startswith(".")


def leave_out_corrupt(images: Images, progress: Progress | None = None) -> tuple[Images, list[str]]:
    """Decode images in files before long work; returns those that can be used, and what is wrong with each other one.

    The messages name the files. Without a crop, the first sound image sets the size of all.

    Raises:
        ValueError: If none can be used.
    """
    files: ImageFiles = images.pixels  # type: ignore[assignment]
    shape = None
    sound: list[int] = []
    faults: list[str] = []
    for row, path in enumerate(files.paths):
        try:
            shape = files.decode(path, shape).shape
            sound.append(row)
        except (OSError, ValueError) as error:
            faults.append(str(error))
        if progress:
            progress(row + 1, len(files), "decoding images")
    if not sound:
        raise ValueError(f"none of the images can be used; {faults[0]}")
    return images[np.array(sound)], faults
