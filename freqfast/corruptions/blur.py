"""Blurs: Gaussian, defocus, glass, motion and zoom."""

import torch
from torch import Tensor

from freqfast.corruptions.filters import disk_filter, gaussian_filter, mean_zoom, motion_filter
from freqfast.corruptions.pixels import filter_precision, to_levels, to_unit
from freqfast.corruptions.streams import BatchRandom


def gaussian_blur(images: Tensor, rng: BatchRandom, sigma: float) -> Tensor:
    """Isotropic Gaussian of ``sigma`` pixels, each channel separately."""
    return to_levels(gaussian_filter(to_unit(images, filter_precision(images)), sigma))


def defocus_blur(images: Tensor, rng: BatchRandom, radius: float, alias_blur: float) -> Tensor:
    """A disk of ``radius`` pixels whose edge is smoothed by a Gaussian of ``alias_blur`` pixels."""
    return to_levels(disk_filter(to_unit(images), radius, alias_blur))


def glass_blur(images: Tensor, rng: BatchRandom, sigma: float, max_delta: int, passes: int) -> Tensor:
    """A Gaussian, then ``passes`` of a local shuffle, then the same Gaussian.

    The generator of the published data visits the pixels from the lower right. It is meant to swap each with the one at
    ``(h + dy, w + dx)``, ``dx`` and ``dy`` from ``-max_delta`` to ``max_delta - 1``, but its NumPy views alias, so it
    copies the value of that pixel.
    """
    shuffled = gaussian_blur(images, rng, sigma)
    if max_delta == 1:
        for _ in range(passes):
            _shuffle_by_one(shuffled, rng)
    else:
        shuffled = _shuffle(shuffled, max_delta, passes, rng)
    return gaussian_blur(shuffled, rng, sigma)


def _shuffle_by_one(images: Tensor, rng: BatchRandom) -> None:
    """A pass with ``dx`` and ``dy`` in {-1, 0}, in place: values come from pixels that were not visited yet.

    So the pass is one simultaneous choice among four pixels.
    """
    height, width = images.shape[2:]
    coin = rng.bits((1, height - 2, width - 2), torch.uint8)
    left, up = (coin & 1).neg_(), (coin >> 1 & 1).neg_()
    above, here = (
        _choose(left, images[..., rows, 1:-1], images[..., rows, 2:]) for rows in (slice(1, -1), slice(2, None))
    )
    images[..., 2:, 2:] = _choose(up, above, here)


def _choose(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``torch.where`` for bytes, and many times as fast: ``a`` where the mask is 255, ``b`` where it is 0."""
    return (a ^ b).bitwise_and_(mask).bitwise_xor_(b)


def _shuffle(images: Tensor, delta: int, passes: int, rng: BatchRandom) -> Tensor:
    """Passes in which a value may come from a pixel that was visited before, and so has another pixel's value."""
    height, width = images.shape[2:]
    rows, columns = height - 2 * delta, width - 2 * delta
    # Pixels are numbered through the batch; those of the border are not visited, and keep their value.
    pixel = torch.arange(len(images) * height * width, dtype=torch.int32, device=images.device)
    inside = slice(None), slice(delta + 1, delta + 1 + rows), slice(delta + 1, delta + 1 + columns)
    source = pixel
    for _ in range(passes):
        move = rng.integers(2 * delta, (2, rows, columns)).to(torch.int32).sub_(delta)
        origin = pixel.clone()
        origin.view(-1, height, width)[inside] += move[:, 0] * width + move[:, 1]
        # The last pixel is visited first: an origin that comes later already has the value of its own origin. Ways are
        # followed to their ends; the length that is known of each doubles every time.
        way = torch.maximum(origin, pixel)
        while not torch.equal(further := way.index_select(0, way), way):
            way = further
        source = source.index_select(0, origin.index_select(0, way))
    planes = [plane.reshape(-1).index_select(0, source) for plane in images.unbind(1)]
    return torch.stack(planes, dim=1).view(len(images), height, width, -1).permute(0, 3, 1, 2)


def motion_blur(images: Tensor, rng: BatchRandom, radius: int, sigma: float) -> Tensor:
    """A one-sided Gaussian trail along an angle in U(-45, 45) degrees."""
    return motion_filter(images, radius, sigma, degrees=rng.uniform(-45.0, 45.0))


def zoom_blur(images: Tensor, rng: BatchRandom, stop: float, step: float) -> Tensor:
    """The mean of the image and of its magnifications by 1, ``1 + step``, ... up to ``stop``."""
    return mean_zoom(images, stop, step)
