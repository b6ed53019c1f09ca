"""Images that take their spectrum from two others: amplitude and phase, or low and high frequencies."""

import torch
from torch import Tensor
from torch.nn import functional

from freqfast.spectral.tensors import at_least_float32, check_batch


def recombine_amplitude_phase(phase_of: Tensor, amplitude_of: Tensor) -> Tensor:
    """Combine the phases of images ``(N, C, H, W)`` with the amplitude spectra of others; pixels may leave [0, 1].

    The DFT is taken over channels, rows and columns together, after Chen et al. (2021, arXiv:2108.08487).

    Examples:
        >>> images = torch.rand(2, 3, 8, 8)
        >>> torch.allclose(recombine_amplitude_phase(images, images), images, atol=1e-5)
        True
    """
    check_batch(phase_of, amplitude_of)
    if not len(phase_of):
        return phase_of
    axes = (1, 2, 3)
    phase = torch.fft.rfftn(at_least_float32(phase_of), dim=axes).angle()
    amplitude = torch.fft.rfftn(at_least_float32(amplitude_of), dim=axes).abs()
    combined = torch.fft.irfftn(torch.polar(amplitude, phase), s=phase_of.shape[1:], dim=axes)
    return combined.to(phase_of.dtype)


def gaussian_low_pass(images: Tensor, sigma: float | Tensor) -> Tensor:
    """Blur images by a Gaussian, cut at three standard deviations but at least a 3x3 kernel; borders are reflected.

    The high frequencies of the images ``(N, C, H, W)`` are the rest, ``images - gaussian_low_pass(images, sigma)``.
    Sigma is the standard deviation in pixels, one number for all images or ``(N,)``; 0.5 gives a 3x3 kernel. A
    ValueError is raised if sigma is not above 0 or the kernel is wider than the reflected image.

    Examples:
        >>> image = torch.zeros(1, 1, 5, 5)
        >>> image[..., 2, 2] = 1
        >>> gaussian_low_pass(image, 0.5)[0, 0, 2].round(decimals=3)
        tensor([0.0000, 0.0840, 0.6190, 0.0840, 0.0000])
    """
    check_batch(images)
    count, channels, height, width = images.shape
    sigma = torch.as_tensor(sigma, dtype=images.dtype, device=images.device).view(-1, 1).expand(count, 1)
    if not (sigma > 0).all():
        raise ValueError(f"sigma must be greater than 0 pixels, got {float(sigma.min()):g}")
    if not count:
        return images
    reach = (3 * sigma).clamp_min(1)
    if reach.max() >= min(height, width):
        raise ValueError(f"sigma must be smaller for images of {height}x{width}, got {float(sigma.max()):g} pixels")
    radius = int(reach.max())
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    taps = (-0.5 * (offsets / sigma).square()).exp() * (offsets.abs() <= reach)
    kernels = (taps / taps.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None]
    padded = functional.pad(images, (radius,) * 4, mode="reflect")
    planes = padded.reshape(1, -1, height + 2 * radius, width + 2 * radius)  # each with a kernel of its own
    rows = functional.conv2d(planes, kernels[..., None], groups=planes.shape[1])
    return functional.conv2d(rows, kernels[:, :, None], groups=planes.shape[1]).view_as(images)
