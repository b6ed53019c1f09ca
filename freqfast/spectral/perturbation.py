"""Perturbation of each sample's spectrum; to a linear first layer, factors on samples and on filters are the same."""

import math

import numpy as np
import torch
from torch import Tensor

from freqfast.spectral.spectrum import frequency_axes, half_plane_counts
from freqfast.spectral.tensors import (
    as_tensor,
    at_least_float32,
    check_batch,
    check_not_negative,
    constant,
    full_precision,
)


def perturb_spectrum(
    images: Tensor | np.ndarray,
    gain: float = 0.0,
    tilt: float = 2.0,
    shaping: float = 1.0,
    jitter: float = 0.0,
    noise: float = 0.08,
    generator: torch.Generator | None = None,
    scale: float | None = None,
) -> Tensor:
    """Perturb each image's spectrum by random factors and added power, each of a strength drawn for the image.

    With f the frequency in cycles/pixel and rho its radius, both times `scale` in the tilt and in the shaping, an
    image's DFT is multiplied by the product of

    - an overall amplitude gain ``exp(-u)``, ``u ~ U(0, gain)``, for half of the images; it spares the mean (DC), so it
      acts like a loss of contrast;
    - a radial tilt ``exp(-3 t (2 rho)^2)``, ``t ~ U(0, tilt)``: high frequencies are attenuated in four images of five,
      and boosted (``t -> -0.15 t``, with ``rho^2`` of at most 1/2) in the fifth;
    - shaping by a smooth random response ``exp(s g(f))``, ``s ~ U(0, shaping)``, the same for all channels, where::

          g(f) = sum_n a_n (cos(2 pi n . f) - 1) / |n|  /  sqrt(sum_n 1 / |n|^2),  a_n ~ N(0, 1),

      over the shifts n of up to two pixels (times `scale`) along each axis, one of each pair n and -n. It keeps the
      mean and all phases, and blurs or sharpens by a random short kernel, mostly more along some directions than
      others;
    - log-normal jitter ``exp(s eps)``, independent for each frequency and channel, ``s ~ U(0, jitter)``, which spares
      the mean (frequencies along the vertical axis, and those of ``fx = 1/2`` in images of even width, get the mean of
      two factors);

    and Gaussian noise is added, independent for each channel. Its standard deviation is ``scale * noise * U(0, 1)^1.5``
    (pixel values), and its amplitude spectrum falls as ``(rho + 0.03)^-c``, ``c ~ U(0, 1)``. The result is clamped to
    [0, 1].

    After the idea of Jia, Bao and Ma (2019, arXiv:1911.12044); the distributions are freqfast's own.

    Args:
        images: ``(N, C, H, W)`` float pixels in [0, 1].
        gain: Largest loss of log amplitude; 0 for none, as for all arguments that follow.
        tilt: Largest tilt.
        shaping: Largest scale of the smooth response's log amplitude.
        jitter: Largest standard deviation of the log amplitude.
        noise: Largest standard deviation of the added noise, in pixel values.
        generator: Source of randomness on the images' device; None for torch's own.
        scale: Factor on the widths of blurs and kernels, and on the noise. None for (shorter side / 32)^(2/3), 1 at the
            32 pixels for which the strengths were chosen and 3.7 at 224: blurs grow less than images do, as from
            CIFAR-10-C to ImageNet-C.

    Returns:
        New images, same shape and dtype (half types are computed in float32).

    Raises:
        ValueError: If the images are not 4-D floating point, or a strength is negative or not finite.

    Examples:
        >>> images = torch.full((2, 3, 8, 8), 0.5)
        >>> perturbed = perturb_spectrum(images, generator=torch.Generator().manual_seed(0))
        >>> perturbed.shape, bool((perturbed != images).any())
        (torch.Size([2, 3, 8, 8]), True)
    """
    images = as_tensor("images", images)
    check_batch(images)
    check_not_negative(gain=gain, tilt=tilt, shaping=shaping, jitter=jitter, noise=noise, scale=scale or 0)
    if not images.numel():
        return images.clone()
    count, channels, height, width = images.shape
    pixels = at_least_float32(images)
    if scale is None:
        scale = (min(height, width) / 32) ** (2 / 3)

    def uniform() -> Tensor:
        return torch.rand(count, 1, 1, 1, device=images.device, generator=generator, dtype=torch.float32)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, channels, *shape, device=images.device, generator=generator, dtype=torch.float32)

    rho, counts = _half_plane(height, width, images.device)
    spectrum = torch.fft.rfft2(pixels)

    log_amplitude = torch.zeros_like(rho)
    if tilt:
        t = tilt * uniform()
        attenuates, square = uniform() < 0.8, (scale * rho).square()
        log_amplitude = (
            -12 * torch.where(attenuates, t, -0.15 * t) * torch.where(attenuates, square, square.clamp(max=0.5))
        )
    if shaping:
        strength, waves = shaping * uniform(), _waves(height, width, scale, images.device)
        weights = torch.randn(count, len(waves), device=images.device, generator=generator, dtype=torch.float32)
        with full_precision(images.device):
            log_amplitude = log_amplitude + strength * torch.einsum("nk,khw->nhw", weights, waves)[:, None]
    if jitter:
        log_amplitude = log_amplitude + jitter * uniform() * normal(*rho.shape) * (rho > 0)
    if gain:
        log_amplitude = log_amplitude - gain * uniform() * (uniform() < 0.5) * (rho > 0)
    spectrum = spectrum * log_amplitude.exp()

    if noise:
        shape = (rho + 0.03).pow(-uniform())
        power = (shape.square() * counts).sum((-2, -1), keepdim=True) / (height * width)
        level = scale * noise * uniform().pow(1.5) * power.rsqrt()
        spectrum = spectrum + torch.fft.rfft2(normal(height, width)) * (level * shape)
    return torch.fft.irfft2(spectrum, s=(height, width)).clamp(0, 1).to(images.dtype)


@constant
def _waves(height: int, width: int, scale: float, device: torch.device) -> Tensor:
    """The waves that smooth responses are sums of, zero at DC, ``(12, H, W // 2 + 1)``."""
    fy, fx = (scale * f for f in _frequencies(height, width, device))
    shifts = [(y, x) for y in range(-2, 3) for x in range(3) if (x, y) > (0, 0)]
    waves = torch.stack([((2 * torch.pi * (y * fy + x * fx)).cos() - 1) / math.hypot(y, x) for y, x in shifts])
    return waves / math.sqrt(sum(1 / (y * y + x * x) for y, x in shifts))


@constant
def _half_plane(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Radial frequency ``(H, W // 2 + 1)`` in a real image's DFT, and how many of the whole each column stands for."""
    counts = torch.from_numpy(half_plane_counts(width)).to(device, torch.float32)
    return torch.hypot(*_frequencies(height, width, device)), counts


def _frequencies(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """``fy (H, 1)`` and ``fx (W // 2 + 1,)`` of a real image's DFT, float32, in cycles/pixel."""
    fy, fx = frequency_axes(height, width, half=True, dtype=np.float32)
    return torch.from_numpy(fy).to(device), torch.from_numpy(fx).to(device)
