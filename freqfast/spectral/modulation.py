"""Spectral modulation: a convolution that learns how much of each spatial frequency its filters pass.

A kernel's DFT is multiplied by ``exp(g / 2)``, with g the **log power gain**, equal for the frequencies ``(u, v)`` and
``(-u, -v)`` so that the kernel stays real. In the real Fourier basis (cosines and sines) this is a diagonal matrix, so
it takes two small matrix products and no FFT.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from freqfast.spectral.spectrum import frequency_pairs
from freqfast.spectral.surgery import check_unwrapped, find_conv, unwrap
from freqfast.spectral.tensors import (
    at_least_float32,
    check_not_negative,
    constant,
    full_precision,
    in_float64,
    whole,
)


@lru_cache(maxsize=64)
def _free_frequencies(kernel_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Free DFT frequencies of a kernel, ``(F, 2)`` integers (u, v), and the ``(kH, kW)`` map from bins to them."""
    pairs = list(frequency_pairs(*kernel_size))
    index = np.empty(kernel_size, np.int64)
    for i, (bin_, negative) in enumerate(pairs):
        index[bin_] = index[negative] = i
    return np.array([bin_ for bin_, _ in pairs]), index


def gain_frequencies(kernel_size: tuple[int, int]) -> Tensor:
    """Frequencies ``(fy, fx)`` of a kernel's log gains, ``(F, 2)`` in cycles/pixel (one of each +/- pair)."""
    bins, _ = _free_frequencies(kernel_size)
    return torch.from_numpy((bins / np.array(kernel_size) + 0.5) % 1 - 0.5)


@constant
def _real_fourier_basis(
    kernel_size: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Orthonormal cosines and sines ``(k, k)`` in columns, and the index ``(k,)`` of each column's free frequency."""
    kh, kw = kernel_size
    pairs, _ = _free_frequencies(kernel_size)
    y, x = (axis.ravel() for axis in np.mgrid[:kh, :kw])
    columns, owners = [], []
    for i, (u, v) in enumerate(pairs):
        phase = 2 * np.pi * (u * y / kh + v * x / kw)
        alone = (2 * u) % kh == 0 and (2 * v) % kw == 0  # its own negative: no sine
        for wave in (np.cos(phase),) if alone else (np.cos(phase), np.sin(phase)):
            columns.append(wave / np.linalg.norm(wave))
            owners.append(i)
    basis = torch.from_numpy(np.stack(columns, 1)).to(device, dtype)
    return basis, torch.from_numpy(np.array(owners)).to(device)


def _modulate(weight: Tensor, log_gain: Tensor) -> Tensor:
    """Multiply the kernels' spectra by ``exp(log_gain / 2)``; a gain of zero leaves the weight bit for bit."""
    size = (int(weight.shape[2]), int(weight.shape[3]))  # torch.jit.trace has tensors there
    basis, owners = _real_fourier_basis(size, weight.dtype, weight.device)
    change = torch.expm1(log_gain.to(weight.dtype) / 2)[:, None, owners]
    return weight + (((weight.flatten(2) @ basis) * change) @ basis.mT).view_as(weight)


class SpectralConv2d(nn.Conv2d):
    """A 2-D convolution whose filters pass each spatial frequency by a learnable power gain.

    In eval mode it applies the filters ``Re IDFT(DFT(weight) * exp(log_gain / 2))``, on the kernel's own DFT grid. In
    training mode each forward pass adds ``sigma * eps`` to the log gains, with eps standard normal: perturbation in the
    power spectrum (after Jia, Bao and Ma, 2019, arXiv:1911.12044, who give no formula; this form is freqfast's own).
    The noise depends only on `seed` and the number of draws so far, on any device and rank. Each forward pass in
    training mode counts as a draw, even one that activation checkpointing repeats: do not checkpoint this layer.

    Args:
        *args: As for `torch.nn.Conv2d`.
        per_filter: One gain per filter and frequency; otherwise one per frequency, shared by the layer.
        sigma: Standard deviation of the perturbation of the log power gains; 0 for none.
        seed: Seed of the perturbation; None draws one from torch's generator.
        keep_power: Subtract ``sigma^2 / 2`` from the perturbed log gains, so that the mean power at each frequency
            stays the same. Otherwise it rises by a factor of ``exp(sigma^2 / 2)``, also in the running variances of a
            BatchNorm after the layer.
        **kwargs: As for `torch.nn.Conv2d`.

    Attributes:
        log_gain: ``(O, F)`` or ``(1, F)`` parameter, zero at first;
            `freqfast.spectral.modulation.gain_frequencies` gives the F frequencies.

    Raises:
        ValueError: If the kernel is 1x1, or sigma negative or not finite.
        RuntimeError: In training mode under `torch.nn.DataParallel`, since all its replicas would draw the same noise.

    Examples:
        >>> conv = SpectralConv2d(3, 8, 3, sigma=0.5)
        >>> conv(torch.zeros(1, 3, 8, 8)).shape, conv.log_gain.shape  # the mean and four pairs of frequencies
        (torch.Size([1, 8, 6, 6]), torch.Size([8, 5]))
    """

    log_gain: nn.Parameter
    applies_effective_weight = True  # tells `find_conv` that this forward is understood

    def __init__(
        self,
        *args: object,
        per_filter: bool = True,
        sigma: float = 0.0,
        seed: int | None = None,
        keep_power: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._init_modulation(per_filter, sigma, seed, keep_power)

    def _init_modulation(self, per_filter: bool, sigma: float, seed: int | None, keep_power: bool) -> None:
        check_not_negative(sigma=sigma)
        kh, kw = self.kernel_size
        if max(kh, kw) < 2:
            raise ValueError("a 1x1 kernel has one frequency only, so it cannot be modulated; choose a larger kernel")
        rows, free = self.out_channels if per_filter else 1, len(_free_frequencies((kh, kw))[0])
        zeros = torch.zeros(rows, free, dtype=self.weight.dtype, device=self.weight.device)
        self.seed = int(torch.randint(2**31, (), device="cpu")) if seed is None else int(seed)
        self.sigma, self.keep_power = float(sigma), bool(keep_power)
        self.draws = 0
        self.log_gain = nn.Parameter(zeros, requires_grad=self.weight.requires_grad)

    def reset_parameters(self) -> None:
        """Draw weight and bias anew and set the gains to zero, as is needed for a layer made on the meta device."""
        super().reset_parameters()
        if "log_gain" in self._parameters:  # not yet while the convolution is made
            nn.init.zeros_(self.log_gain)

    # The compiler's graphs cannot hold a generator, and would be made anew for each count of draws. This is
    # `torch.compiler.disable` without its import of TorchDynamo, which takes as long as torch's.
    @_disable_dynamo
    def _perturbation(self) -> Tensor:
        """The next draw of what is added to the log gains."""
        if getattr(self, "_is_replica", False):  # the layer itself would never count its replicas' draws
            raise RuntimeError(
                "nn.DataParallel's replicas would draw the same perturbation in every step; use "
                "DistributedDataParallel, or sigma=0"
            )
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.draws) % 2**63)
        self.draws += 1
        eps = torch.randn(self.log_gain.shape, generator=generator, dtype=torch.float32, device="cpu")
        noise = self.sigma * eps.to(self.log_gain.device, self.log_gain.dtype)
        return noise - self.sigma**2 / 2 if self.keep_power else noise

    def modulated_weight(self, perturbed: bool = False) -> Tensor:
        """Filters that the layer applies, ``(O, I, kH, kW)``, differentiable in weight and gains."""
        with full_precision(self.weight.device):
            weight, gain = whole(self.weight), whole(self.log_gain)
            gain = gain + self._perturbation() if perturbed and self.sigma else gain
            return _modulate(at_least_float32(weight), at_least_float32(gain)).to(self.weight.dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve, ``(N, I, H, W)`` to ``(N, O, H', W')``, with the modulated filters."""
        return self._conv_forward(input, self.modulated_weight(perturbed=self.training), self.bias)

    def log_gain_grid(self) -> Tensor:
        """Log power gains on the kernel's DFT grid by increasing frequency, ``(O or 1, kH, kW)``, without gradient."""
        _, index = _free_frequencies((self.kernel_size[0], self.kernel_size[1]))
        return torch.fft.fftshift(self.log_gain.detach()[:, torch.from_numpy(index)], dim=(-2, -1))

    def extra_repr(self) -> str:
        """The convolution's own description and the modulation's."""
        kept = ", keep_power=True" if self.keep_power else ""
        return f"{super().extra_repr()}, per_filter={len(self.log_gain) > 1}, sigma={self.sigma:g}{kept}"


def apply_modulation(
    model: nn.Module,
    layer: str | None = None,
    per_filter: bool = True,
    sigma: float = 0.5,
    seed: int | None = None,
    keep_power: bool = False,
) -> nn.Module:
    """Turn a model's convolution into a `SpectralConv2d`, in place: the module and its parameters keep their identity.

    Args:
        model: Any model with a spatial convolution.
        layer: Name of the convolution; the first spatial one by default.
        per_filter: As for `SpectralConv2d`, like all arguments that follow.
        sigma: Standard deviation of the perturbation.
        seed: Its seed.
        keep_power: Whether the mean power stays.

    Returns:
        The same model. In eval mode its outputs do not change until the gains are trained.

    Raises:
        ValueError: As `SpectralConv2d`; or if the layer is not a plain convolution or shares its weight with another,
            or the model is wrapped for several processes already, whose gains would differ.

    Examples:
        >>> type(apply_modulation(nn.Sequential(nn.Conv2d(3, 8, 3)))[0]).__name__
        'SpectralConv2d'
    """
    check_unwrapped(model)
    name, conv = find_conv(model, layer)
    if isinstance(conv, SpectralConv2d):
        raise ValueError(f"layer {name!r} is modulated already; call bake_modulation first to start afresh")
    if type(conv) is not nn.Conv2d or "forward" in vars(conv):
        raise ValueError(
            f"layer {name!r} ({type(conv).__name__}) has a class or a forward of its own, which modulation would "
            "replace; put a plain torch.nn.Conv2d in its place first"
        )
    for other, module in unwrap(model).named_modules():
        if module is not conv and module._parameters.get("weight") is conv.weight:
            raise ValueError(f"layer {name!r} shares its weight with {other!r}, which baking would change; untie them")
    # Before the class changes, so that a refusal leaves a plain convolution.
    SpectralConv2d._init_modulation(conv, per_filter, sigma, seed, keep_power)  # type: ignore[arg-type]
    conv.__class__ = SpectralConv2d
    return model


@torch.no_grad()
def bake_modulation(model: nn.Module) -> nn.Module:
    """Fold every modulation into ordinary `torch.nn.Conv2d` weights, in place: the same outputs in eval mode.

    Args:
        model: Any model.

    Returns:
        The same model, without any `SpectralConv2d` in it.

    Raises:
        ValueError: If the weight of such a layer is computed anew before each call, as under pruning or weight norm.

    Examples:
        >>> bake_modulation(apply_modulation(nn.Sequential(nn.Conv2d(3, 8, 3))))[0]
        Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
    """
    convs = {name: module for name, module in unwrap(model).named_modules() if isinstance(module, SpectralConv2d)}
    for name, conv in convs.items():
        if "weight" not in conv._parameters:
            raise ValueError(
                f"the weight of layer {name!r} is reparametrised, so gains cannot be folded into it; remove the "
                "parametrisation first (pruning by torch.nn.utils.prune.remove)"
            )
    for conv in convs.values():
        conv.weight.copy_(effective_weight(conv))
        del conv.log_gain, conv.sigma, conv.seed, conv.draws, conv.keep_power
        conv.__class__ = nn.Conv2d  # type: ignore[assignment]
    return model


@torch.no_grad()
def effective_weight(layer: nn.Conv2d) -> Tensor:
    """The filters that a convolution applies in eval mode.

    Args:
        layer: A plain or spectral convolution.

    Returns:
        A copy, ``(O, I, kH, kW)``, without gradient.

    Raises:
        TypeError: If the layer is not a convolution.

    Examples:
        >>> effective_weight(SpectralConv2d(3, 8, 5)).shape
        torch.Size([8, 3, 5, 5])
    """
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"layer must be a torch.nn.Conv2d, got {type(layer).__name__}; pass a model's convolution")
    if isinstance(layer, SpectralConv2d):
        return layer.modulated_weight()
    return whole(layer.weight.detach()).clone()


@torch.no_grad()
def assign_effective_weight(layer: nn.Conv2d, target: Tensor) -> None:
    """Make a convolution apply the filters `target`: its weight changes, but not a modulation's gains.

    Filters that the convolution applies already keep their weight bit for bit.
    """
    weight: Any = layer.weight
    if isinstance(layer, SpectralConv2d):
        changed = (target != effective_weight(layer)).flatten(1).any(1)[:, None, None, None]
        inverse = _modulate(in_float64(target), -in_float64(whole(layer.log_gain.detach())))
        inverse = inverse.to(weight.dtype).to(weight.device)
        target = torch.where(changed, inverse, whole(weight))
    if whole(weight) is not weight:
        from torch.distributed.tensor import distribute_tensor

        target = distribute_tensor(target, weight.device_mesh, weight.placements)
    weight.copy_(target)
