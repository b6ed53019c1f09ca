"""Spectra of a model's convolutions."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from freqfast.progress import Progress
from freqfast.spectra.layer import Scalar, Spectra, SpectraHistory
from freqfast.spectral.bands import Bands, BandsLike, band_shares
from freqfast.spectral.modulation import SpectralConv2d, effective_weight
from freqfast.spectral.spectrum import GRID, check_weight, power_spectrum
from freqfast.spectral.surgery import find_conv, spatial_convs, unwrap


def spatial_layers(model: nn.Module) -> list[str]:
    """Names of a model's spatial convolutions (kernels larger than 1x1); a ValueError if there is none.

    Examples:
        >>> spatial_layers(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3)))
        ['0', '2']
    """
    return list(spatial_convs(unwrap(model))) or [find_conv(model)[0]]  # raises, for there is none


def measure_spectra(
    model: nn.Module,
    layer: str | None = None,
    bands: BandsLike = None,
    n: int = GRID,
    target: Mapping[str, float] | None = None,
    history: SpectraHistory | None = None,
    provenance: Mapping[str, Scalar] | None = None,
) -> Spectra:
    """Spectra of the filters that a model's convolution applies, in float32.

    Args:
        model: Any model with a spatial convolution; it is not changed.
        layer: Name of the convolution; the first spatial one by default.
        bands: The bands; two of equal area by default. See `Bands.of` for the short forms.
        n: Points per axis of the spectra, at least the kernel's size.
        target: Proportion of the filters by band that training enforced.
        history: The same layer's spectra by epoch, recorded with the same bands and n.
        provenance: Where the model comes from: text and numbers by name.

    Raises:
        ValueError: If the model has no such convolution, its weight is not finite, or an argument does not fit.

    Examples:
        >>> spectra = measure_spectra(nn.Conv2d(3, 8, 5), bands=3, provenance={"seed": 0})
        >>> spectra.power.shape, spectra.shares.shape
        ((8, 32, 32), (8, 3))
    """
    name, conv = find_conv(model, layer)
    bands = Bands.of(bands)
    try:
        weight = check_weight(effective_weight(conv).float().cpu())
    except ValueError as error:
        raise ValueError(f"layer {name!r}: {error}") from None
    compact = _compact(weight)
    spectra = Spectra(
        power=power_spectrum(compact, n).numpy(),
        weight=weight.numpy(),
        shares=band_shares(compact, bands).numpy(),
        bands=bands,
        layer=name,
        target=target,
        log_gain=conv.log_gain_grid().float().cpu().numpy() if isinstance(conv, SpectralConv2d) else None,
        history=history,
        provenance=provenance or {},
    )
    if history is not None and not np.allclose(history.shares[-1], band_shares(history.weight[-1], bands), atol=1e-3):
        raise ValueError(f"the history's shares are not those of {bands}; pass the bands of its recorder")
    return spectra


def are_spectra_of(model: nn.Module, spectra: Spectra) -> bool:
    """Whether spectra are of the filters that a model applies, up to rounding.

    Examples:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 5))
        >>> are_spectra_of(model, measure_spectra(model)), are_spectra_of(nn.Conv2d(3, 8, 5), measure_spectra(model))
        (True, False)
    """
    conv = dict(unwrap(model).named_modules()).get(spectra.layer)
    if not isinstance(conv, nn.Conv2d) or conv.weight.shape != spectra.weight.shape:
        return False
    weight = effective_weight(conv).float().cpu().numpy()
    return np.allclose(spectra.weight, weight, rtol=1e-3, atol=1e-3 * float(np.abs(weight).max()))


def measure_layers(
    model: nn.Module,
    layers: Sequence[str] | None = None,
    bands: BandsLike = None,
    n: int = GRID,
    provenance: Mapping[str, Scalar] | None = None,
    progress: Progress | None = None,
) -> list[Spectra]:
    """Spectra of several convolutions of a model, or of all that are spatial.

    Args:
        model: Any model with a spatial convolution; it is not changed.
        layers: Names of the convolutions; by default every spatial one whose weight is what it applies, without
            dilation; a warning tells of each that is left out. Kernels of 1x1 have no spectrum.
        bands: The bands; two of equal area by default. See `Bands.of` for the short forms.
        n: Points per axis of the spectra, at least the largest kernel's size.
        provenance: Where the model comes from: text and numbers by name.
        progress: Called as ``progress(done, total, message)``.

    Raises:
        ValueError: As for `measure_spectra`, of any of the layers.

    Examples:
        >>> [spectra.layer for spectra in measure_layers(nn.Sequential(nn.Conv2d(3, 8, 5), nn.Conv2d(8, 4, 3)))]
        ['0', '1']
    """
    names = _measurable(model) if layers is None else list(layers)
    measured = []
    for done, name in enumerate(names, 1):
        measured.append(measure_spectra(model, name, bands, n, provenance=provenance))
        if progress is not None:
            progress(done, len(names), name)
    return measured


def _measurable(model: nn.Module) -> list[str]:
    """The spatial convolutions that `find_conv` takes; warns of the others, and raises the first error if all are."""
    names, faults = [], []
    for name in spatial_layers(model):
        try:
            names.append(find_conv(model, name)[0])
        except ValueError as error:
            faults.append(error)
    if not names:
        raise faults[0]
    for fault in faults:
        warnings.warn(f"left out: {str(fault).partition(';')[0]}", stacklevel=3)
    return names


def _compact(weight: Tensor) -> Tensor:
    """Filters of the same spectra with at most as many input channels as a kernel has values: 512 of 3x3 become 9.

    Power and shares depend only on the sum of the kernels' outer products, which is the same for the factor R of QR.
    """
    kernels = weight.flatten(2)
    if kernels.shape[1] <= kernels.shape[2]:
        return weight
    factor = torch.linalg.qr(kernels.double(), mode="r").R
    return factor.unflatten(2, weight.shape[2:])
