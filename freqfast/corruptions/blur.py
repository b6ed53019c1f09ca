"""Blurs: Gaussian, defocus, glass, motion and zoom."""

import torch
from torch import Tensor

from freqfast.corruptions.filters import disk_filter, gaussian_filter, mean_zoom, motion_filter
from freqfast.corruptions.pixels import to_levels, to_unit
from freqfast.corruptions.streams import BatchRandom


def gaussian_blur(images: Tensor, rng: BatchRandom, sigma: float) -> Tensor:
    """Isotropic Gaussian of ``sigma`` pixels, channels apart."""
    return to_levels(gaussian_filter(to_unit(images), sigma))


def defocus_blur(images: Tensor, rng: BatchRandom, radius: float, alias_blur: float) -> Tensor:
    """A disk of ``radius`` pixels whose edge is smoothed by a Gaussian of ``alias_blur`` pixels."""
    return to_levels(disk_filter(to_unit(images), radius, alias_blur))


def glass_blur(images: Tensor, rng: BatchRandom, sigma: float, max_delta: int, passes: int) -> Tensor:
    """Gaussian, ``passes`` of a local shuffle, Gaussian.

    The generator of the published data visits the pixels from the lower right and means to swap each with one at
    ``(h + dy, w + dx)``, ``dx`` and ``dy`` from ``-max_delta`` to ``max_delta - 1``, but through NumPy views that alias
    it copies that one's value.
    """
    shuffled = to_levels(gaussian_filter(to_unit(images), sigma))
    for _ in range(passes):
        if max_delta == 1:
            _shuffle_by_one(shuffled, rng)
        else:
            shuffled = _shuffle(shuffled, max_delta, rng)
    return to_levels(gaussian_filter(to_unit(shuffled), sigma))


def _shuffle_by_one(images: Tensor, rng: BatchRandom) -> None:
    """A pass with ``dx`` and ``dy`` in {-1, 0}, in place: values come from pixels that were not visited yet.

    So it is one simultaneous choice among four.
    """
    height, width = images.shape[2:]
    coin = rng.bits((1, height - 2, width - 2), torch.uint8)
    left, up = (coin & 1).bool(), (coin & 2).bool()
    here, above = images[..., 2:, :], images[..., 1:-1, :]
    images[..., 2:, 2:] = torch.where(
        up,
        torch.where(left, above[..., 1:-1], above[..., 2:]),
        torch.where(left, here[..., 1:-1], here[..., 2:]),
    )


def _shuffle(images: Tensor, delta: int, rng: BatchRandom) -> Tensor:
    """A pass in which a value may come from a pixel that was visited before, and had it from elsewhere."""
    height, width = images.shape[2:]
    rows, columns = height - 2 * delta, width - 2 * delta
    if min(rows, columns) < 1:
        return images
    # Pixels are numbered through the batch; those of the border are not visited, and keep their value.
    pixel = torch.arange(len(images) * height * width, device=images.device)
    move = rng.integers(2 * delta, (2, rows, columns)) - delta
    inside = slice(None), slice(delta + 1, delta + 1 + rows), slice(delta + 1, delta + 1 + columns)
    origin, visited = pixel.clone(), torch.zeros_like(pixel, dtype=torch.bool)
    origin.view(-1, height, width)[inside] += move[:, 0] * width + move[:, 1]
    visited.view(-1, height, width)[inside] = True

    second_hand = visited[origin] & (origin > pixel)  # as the last pixel is visited first
    source = origin.clone()
    waiting = second_hand.nonzero()[:, 0]
    at = origin[waiting]
    while len(waiting):
        further = origin[at]
        source[waiting] = further
        again = second_hand[at]
        waiting, at = waiting[again], further[again]
    channels_last = images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])
    return channels_last[source].view(-1, height, width, images.shape[1]).permute(0, 3, 1, 2)


def motion_blur(images: Tensor, rng: BatchRandom, radius: int, sigma: float) -> Tensor:
    """A one-sided Gaussian trail along an angle in U(-45, 45) degrees."""
    return motion_filter(images, radius, sigma, degrees=rng.uniform(-45.0, 45.0))


def zoom_blur(images: Tensor, rng: BatchRandom, stop: float, step: float) -> Tensor:
    """The mean of the image and of its magnifications by 1, ``1 + step``, ... up to ``stop``."""
    return mean_zoom(images, stop, step)
