"""Equalization: before the first convolution, every sample gets the radial power spectrum of the training set.

In a model an equalizer is three buffers of the convolution and a forward pre-hook. No module is added: code that walks
a model's leaves, such as fastai's `Learner.summary`, finds the convolution as before.
"""

from collections.abc import Callable
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, distributed, nn

from freqfast.spectral.spectrum import MAX_FREQUENCY, half_plane_counts, radial_frequencies
from freqfast.spectral.surgery import add_hook, find_conv, remove_hook, unwrap
from freqfast.spectral.tensors import at_least_float32, check_batch, constant, full_precision

EQUALIZER_BUFFERS = ("equalizer_reference", "equalizer_batches", "equalizer_exponent")
"""Buffers of an equalized convolution: those of `SpectrumEqualizer`, in its order."""

LOWEST_FREQUENCY = 1 / 32
"""Centre of the lowest bin in cycles/pixel; lower frequencies (of images larger than 32 pixels) belong to it too."""

FLOOR = 1e-5
"""Power density added to each bin before the logarithm: about that of 8-bit rounding in pixels of unit variance."""

_MOST_BINS = 1024  # as fine as the frequencies of images of 1500 pixels

MOMENTUM = 0.01
"""Weight of a new batch in the running reference after the first hundred, of which it is the plain mean."""


@constant
def _radial_bins(height: int, width: int, bins: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Overlapping triangular bins in radial frequency over the half plane of a real DFT, ``F = height * (width//2+1)``.

    The columns of the first, ``pool (F, B)``, average a half plane's power over each bin, DC left out; the second,
    ``spread (B, F)``, interpolates values of the bins linearly to all frequencies, zero at DC.
    """
    rho = radial_frequencies(height, width, half=True).ravel()
    step = (MAX_FREQUENCY - LOWEST_FREQUENCY) / (bins - 1)
    position = ((rho - LOWEST_FREQUENCY) / step).clip(0, bins - 1)
    distance = np.abs(position[:, None] - np.arange(bins))
    distance[rho == 0] = np.inf
    weight = (1 - distance).clip(min=0)
    counted = weight * np.tile(half_plane_counts(width), height)[:, None]
    # If the image is too small to have a frequency in some bin, the nearest one stands in: a larger image may have one.
    empty = counted.sum(0) == 0
    counted[distance.argmin(0)[empty], empty] = 1
    pool = counted / counted.sum(0)
    spread = np.ascontiguousarray(weight.T, np.float32)
    return torch.from_numpy(pool.astype(np.float32)).to(device), torch.from_numpy(spread).to(device)


class SpectrumEqualizer(nn.Module):
    """Scales each sample's spectrum so that its radial power becomes the training set's geometric mean.

    Let ``P_s(rho)`` be a sample's power at radial frequency rho, averaged over channels and over overlapping bins, and
    ``R(rho)`` the running mean of ``log P_s`` over the training batches. The sample's DFT is then multiplied by
    ``exp((R(rho) - log P_s(rho)) * exponent / 2)``. DC and all phases stay as they are; colours keep their ratios. If
    torch's process group is initialised, the batches of all ranks count as one batch, so that in training mode all
    ranks must call the module equally often. A forward pass that activation checkpointing repeats counts twice, so do
    not checkpoint the layer. This form is freqfast's own, in the spirit of Jia, Bao and Ma (2019, arXiv:1911.12044).

    Args:
        bins: Number of bins in radial frequency, from 1/32 to 0.707 cycles/pixel; one bin equalizes contrast alone.
        exponent: Share of the deviation (in log power) that is taken back; 1 is all of it, 0 none.

    Attributes:
        reference: ``(bins,)`` buffer, the mean log power density; zero before training.
        batches: Buffer, the number of training batches that the reference is the mean of. While it is 0, outputs equal
            inputs except for rounding.
        exponent: Buffer, a scalar. It changes outputs, so it belongs in the state dict.

    Raises:
        ValueError: If `bins` is less than 1 or more than 1024, or the exponent lies outside [0, 1].

    Examples:
        >>> equalizer = SpectrumEqualizer(bins=4)
        >>> equalizer(torch.rand(8, 3, 16, 16)).shape, int(equalizer.batches)
        (torch.Size([8, 3, 16, 16]), 1)
    """

    reference: Tensor
    batches: Tensor
    exponent: Tensor

    def __init__(self, bins: int = 12, exponent: float = 1.0) -> None:
        super().__init__()
        if not isinstance(bins, Integral) or not 1 <= bins <= _MOST_BINS:
            raise ValueError(f"bins must be an integer from 1 to {_MOST_BINS}, got {bins!r}")
        if not 0 <= exponent <= 1:
            raise ValueError(f"exponent must lie in [0, 1], got {exponent}")
        self.register_buffer("reference", torch.zeros(bins))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("exponent", torch.tensor(exponent, dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        """Equalize ``(N, C, H, W)``, or ``(C, H, W)``; in training mode the reference takes in the batch first."""
        return _equalize(images, self.reference, self.batches, self.exponent, self.training)

    def extra_repr(self) -> str:
        """Bins and exponent."""
        return f"bins={len(self.reference)}, exponent={float(self.exponent):g}"


def _equalize(images: Tensor, reference: Tensor, batches: Tensor, exponent: Tensor, training: bool) -> Tensor:
    """See `SpectrumEqualizer`, whose buffers these are."""
    if images.ndim == 3:
        return _equalize(images[None], reference, batches, exponent, training)[0]
    check_batch(images)
    if not images.numel():
        return images

    def log_gain(power: Tensor) -> Tensor:
        """Logarithm of the amplitudes' factor by bin, for samples of this power, ``(N, bins)`` both."""
        level = (power + FLOOR).log()
        if training:
            _follow(level, reference, batches)
        return (reference.to(level.dtype) - level) * (exponent / 2) * (batches > 0)

    with full_precision(images.device):
        pixels, bins = at_least_float32(images), len(reference)
        changed = _contrast(pixels, log_gain) if bins == 1 else _spectrum(pixels, bins, log_gain)
        equalized = changed.to(images.dtype)
    if images.is_contiguous(memory_format=torch.channels_last):
        equalized = equalized.contiguous(memory_format=torch.channels_last)
    return equalized


def _spectrum(pixels: Tensor, bins: int, log_gain: Callable[[Tensor], Tensor]) -> Tensor:
    height, width = pixels.shape[2:]
    pool, spread = (part.to(pixels.dtype) for part in _radial_bins(height, width, bins, pixels.device))
    spectrum = torch.fft.rfft2(pixels, norm="ortho")
    power = torch.view_as_real(spectrum).square().sum(-1).mean(1)
    gain = (log_gain(power.flatten(1) @ pool) @ spread).exp()
    return torch.fft.irfft2(spectrum * gain.unflatten(1, (1, height, -1)), s=(height, width), norm="ortho")


def _contrast(pixels: Tensor, log_gain: Callable[[Tensor], Tensor]) -> Tensor:
    """With one bin: the mean power of all frequencies but DC is the variance (Parseval), so no FFT is needed."""
    centred = pixels - pixels.mean((2, 3), keepdim=True)
    frequencies = max(pixels.shape[2] * pixels.shape[3] - 1, 1)  # a single pixel has none, and no variance
    change = log_gain(centred.square().sum((2, 3)).mean(1, keepdim=True) / frequencies)
    return pixels + centred * change.expm1()[:, :, None, None]


@torch.no_grad()
def _follow(level: Tensor, reference: Tensor, batches: Tensor) -> None:
    """Have a batch's log power densities ``(N, bins)`` join the reference."""
    if reference.dtype != level.dtype:  # of a model in half precision, in which small changes would be lost
        reference.data = reference.to(level.dtype)
    batches.add_(1)
    weight = (1 / batches).clamp(min=MOMENTUM).to(level.dtype)
    mean = level.mean(0)
    if distributed.is_available() and distributed.is_initialized():  # the batch is that of all ranks together
        parts = torch.cat([level.sum(0), level.new_tensor([len(level)])])
        distributed.all_reduce(parts)
        mean = parts[:-1] / parts[-1]
    reference.add_((mean - reference) * weight)


def _equalize_input(conv: nn.Module, inputs: tuple) -> tuple:
    """Forward pre-hook; a function of the module, so that models stay picklable."""
    reference, batches, exponent = (getattr(conv, name) for name in EQUALIZER_BUFFERS)
    return (_equalize(inputs[0], reference, batches, exponent, conv.training), *inputs[1:])


def apply_equalization(model: nn.Module, layer: str | None = None, bins: int = 12, exponent: float = 1.0) -> nn.Module:
    """Put a `SpectrumEqualizer` before a model's convolution, in place; parameters and their names stay.

    Args:
        model: Any model with a spatial convolution, plain or spectral.
        layer: Name of the convolution; the first spatial one by default.
        bins: As for `SpectrumEqualizer`.
        exponent: As for `SpectrumEqualizer`.

    Returns:
        The same model, whose convolution has the buffers of `EQUALIZER_BUFFERS`. Its outputs stay the same, except for
        rounding, until the convolution runs in training mode.

    Raises:
        ValueError: As `SpectrumEqualizer`; or if there is no such convolution, or it has an equalizer already.

    Examples:
        >>> apply_equalization(nn.Sequential(nn.Conv2d(3, 8, 3)), bins=4)[0].equalizer_reference
        tensor([0., 0., 0., 0.])
    """
    name, conv = find_conv(model, layer, plain=False)
    if name in equalized_layers(model):
        raise ValueError(f"layer {name!r} has an equalizer already; call remove_equalization first to start afresh")
    buffers = SpectrumEqualizer(bins, exponent).to(conv.weight.device).buffers()
    for buffer_name, buffer in zip(EQUALIZER_BUFFERS, buffers, strict=True):
        conv.register_buffer(buffer_name, buffer)
    add_hook(conv._forward_pre_hooks, _equalize_input, first=True)  # before a low-pass, whichever came first
    return model


def equalized_layers(model: nn.Module) -> list[str]:
    """Names of the convolutions that have an equalizer."""
    return [name for name, module in unwrap(model).named_modules() if EQUALIZER_BUFFERS[0] in module._buffers]


def remove_equalization(model: nn.Module) -> nn.Module:
    """Remove every equalizer and its reference from a model, in place.

    Args:
        model: Any model.

    Returns:
        The same model.

    Examples:
        >>> model = apply_equalization(nn.Sequential(nn.Conv2d(3, 8, 3)))
        >>> list(remove_equalization(model).state_dict())
        ['0.weight', '0.bias']
    """
    for name in equalized_layers(model):
        conv = unwrap(model).get_submodule(name)
        for buffer_name in EQUALIZER_BUFFERS:
            delattr(conv, buffer_name)
        remove_hook(conv._forward_pre_hooks, _equalize_input)
    return model
