"""Corrupting a whole array of images by any of the corruptions."""

import math
import operator
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from freqfast.corruptions.registry import SEVERITIES, find_corruption
from freqfast.corruptions.streams import BatchRandom
from freqfast.corruptions.tables import TableChoice, find_table

Images = TypeVar("Images", NDArray[np.uint8], Tensor)

_MIN_SIDE = 8  # pixels: of smaller images, the blurs' borders would reflect more than the image holds

# Values per chunk. On a CPU three images of 224 pixels: enough that an operation takes longer than its call, and few
# enough that its copies stay in a core's cache. On other devices enough to keep them busy.
_CHUNK_VALUES, _CHUNK_VALUES_ELSEWHERE = 2**19, 2**24


def corrupt(
    images: Images,
    name: str,
    severity: int,
    seed: int = 0,
    *,
    index: ArrayLike | Tensor | None = None,
    frost_dir: str | Path | None = None,
    table: TableChoice = "auto",
) -> Images:
    """Corrupt images as CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C do (Hendrycks and Dietterich, arXiv:1903.12261).

    Image ``k`` draws its random numbers from ``(seed, name, severity, index[k])`` alone: the same bytes come out
    whatever the batch, the number of threads or the order of calls. (On another kind of device a rare value may
    differ by a grey level.) On the CPU it works in as many threads as torch is set to.

    The published parameters are for square images of 32, 64 and 224 pixels. At other sizes, square or not,

    - *shares of the image* stay shares: the grid of ``pixelate``, the magnification of ``zoom_blur``, the affine map
      and the smoothness of ``elastic_transform`` (by the shorter side), the scale of the ``frost`` photographs
      (likewise; one that is too small is reduced less), the landscape of ``fog`` (the next power of two, cropped), and
      the lengths of C-bar (by the shorter side; a line's width, a sparkle's shortest ray, the single frequency and the
      smoothness of caustics stay in pixels, so larger caustics have gentler slopes);
    - *pixels* stay pixels: the radii and sigmas of ``gaussian_blur``, ``defocus_blur``, ``glass_blur`` and
      ``motion_blur``, the flakes and the blur of ``snow``, the drops of ``spatter``, the blocks of
      ``jpeg_compression``, how far ``elastic_transform`` moves a pixel after its affine map, and all noise, which is
      drawn for each pixel.

    Args:
        images: uint8, ``(N, H, W, 3)`` or ``(N, 3, H, W)``, NumPy array or tensor on a device that has float64; a shape
            that fits both is read as ``(N, H, W, 3)``. Not modified; a read-only or memory-mapped array is fine.
        name: One of ``CORRUPTIONS``, ``C_BAR`` or ``IMAGENET_C_BAR``, or an entry point of the group
            ``freqfast.corruptions``.
        severity: 1 to 5.
        seed: Any integer.
        index: ``(N,)`` integers that identify the images, by default ``0 .. N - 1``. To corrupt a part of a data set as
            the whole would be, pass the part's positions.
        frost_dir: A directory that holds the frost photographs; by default those of the installed distribution
            ``imagecorruptions-imaug`` (the extra ``frost``). Only ``frost`` looks at it.
        table: Whose parameters to use: ``"cifar10"``, ``"tiny-imagenet"`` or ``"imagenet"``; ``"auto"`` chooses by the
            shorter side, see `find_table`. Corruptions of other packages have no tables.

    Returns:
        New images of the same type, layout and device.

    Raises:
        TypeError: If `images` is not an array of 8-bit levels, or `seed` no integer.
        ValueError: If a shape, name, severity, index or table does not fit, or the corruption's function fails.
        FileNotFoundError: If ``frost`` lacks its photographs.

    Examples:
        >>> images = np.full((2, 32, 32, 3), 128, dtype=np.uint8)
        >>> corrupt(images, "brightness", severity=4)[0, 0, 0]
        array([179, 179, 179], dtype=uint8)
        >>> corrupt(images, "brightness", severity=4, table="imagenet")[0, 0, 0]
        array([230, 230, 230], dtype=uint8)
    """
    channels_last, height, width = _layout(images)
    seed = operator.index(seed)  # the same value of another type would draw other numbers
    if isinstance(severity, bool) or severity not in SEVERITIES:
        raise ValueError(f"severity must be 1, 2, 3, 4 or 5, got {severity!r}")
    function = find_corruption(name, frost_dir, find_table(table, height, width))
    keys = _index_tensor(index, len(images))
    result = torch.empty_like(images) if isinstance(images, Tensor) else np.empty(images.shape, np.uint8)

    def work(part: slice) -> None:
        chunk = _to_planar(images[part], channels_last)
        rng = BatchRandom.for_images(seed, name, int(severity), keys[part].to(chunk.device))
        before = tuple(chunk.shape)
        try:
            corrupted = function(chunk, int(severity), rng)
        except Exception as error:
            raise ValueError(
                f"corruption {name!r} failed at severity {severity} ({type(error).__name__}: {error})"
            ) from error
        if not isinstance(corrupted, Tensor):
            raise ValueError(f"corruption {name!r} must return a tensor, got {type(corrupted).__name__}")
        if corrupted.shape != before or corrupted.dtype != torch.uint8:
            raise ValueError(
                f"corruption {name!r} turned uint8 {before} into "
                f"{corrupted.dtype} {tuple(corrupted.shape)}; it must keep type and shape"
            )
        ordered = torch.stack(corrupted.unbind(1), dim=-1) if channels_last else corrupted
        result[part] = ordered if isinstance(result, Tensor) else ordered.numpy()

    _on_threads(work, _chunks(images))
    return result


def check_size(height: int, width: int) -> None:
    """Refuse images that are too small to corrupt, by a ValueError; sizes in pixels."""
    if min(height, width) < _MIN_SIDE:
        raise ValueError(f"images must be at least {_MIN_SIDE} x {_MIN_SIDE} pixels, got {height} x {width}")


def _layout(images: object) -> tuple[bool, int, int]:
    """Whether images are ``(N, H, W, 3)``, their height and width; raises if they are no usable 8-bit RGB images."""
    if not isinstance(images, (np.ndarray, Tensor)):
        raise TypeError(f"images must be a NumPy array or a tensor, got {type(images).__name__}")
    if images.dtype not in (np.uint8, torch.uint8):
        raise TypeError(f"images must be uint8 levels 0..255, got {images.dtype}; scale and convert them first")
    shape = tuple(images.shape)
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        raise ValueError(f"images must be (N, H, W, 3) or (N, 3, H, W), got shape {shape}")
    channels_last = shape[3] == 3
    height, width = shape[1:3] if channels_last else shape[2:]
    check_size(height, width)
    return channels_last, height, width


def _index_tensor(index: ArrayLike | Tensor | None, count: int) -> Tensor:
    if index is None:
        return torch.arange(count, device="cpu")
    keys = np.asarray(index.cpu() if isinstance(index, Tensor) else index)
    if keys.shape != (count,):
        raise ValueError(f"index must have shape ({count},), one number an image, got {keys.shape}")
    if keys.size and keys.dtype.kind not in "iu":
        raise ValueError(f"index must hold integers, got {keys.dtype}")
    return torch.from_numpy(keys.astype(np.int64))


def _chunks(images: NDArray[np.uint8] | Tensor) -> list[slice]:
    on_cpu = not isinstance(images, Tensor) or images.device.type == "cpu"
    size = max(1, (_CHUNK_VALUES if on_cpu else _CHUNK_VALUES_ELSEWHERE) // math.prod(images.shape[1:]))
    return [slice(start, start + size) for start in range(0, len(images), size)]


def _on_threads(work: Callable[[slice], None], parts: list[slice]) -> None:
    """Do the work for all parts, in as many threads as torch is set to.

    torch's own threads would split each of the many operations on a chunk, and wait for one another after each: on a
    busy machine that takes ten times as long as on an idle one.
    """
    threads = torch.get_num_threads()
    if min(threads, len(parts)) <= 1:
        for part in parts:
            work(part)
        return
    torch.set_num_threads(1)  # threads that start from now on inherit it
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, parts))
    finally:
        torch.set_num_threads(threads)


def _to_planar(chunk: NDArray[np.uint8] | Tensor, channels_last: bool) -> Tensor:
    """A contiguous ``(n, 3, H, W)`` copy."""
    tensor = chunk if isinstance(chunk, Tensor) else torch.from_numpy(np.array(chunk))
    planar = tensor.permute(0, 3, 1, 2) if channels_last else tensor
    return planar.clone(memory_format=torch.contiguous_format)
