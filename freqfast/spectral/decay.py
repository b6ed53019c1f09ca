"""The energy of a layer's filters outside a band, as a penalty on its weight."""

import numpy as np
import torch
from torch import Tensor

from freqfast.spectral.bands import Bands, BandsLike
from freqfast.spectral.tensors import at_least_float32, constant, full_precision

__all__ = ["energy_outside"]


def energy_outside(weight: Tensor, band: str = "low", bands: BandsLike = None) -> Tensor:
    """Energy that a layer's filters have outside a band, summed over the filters; differentiable.

    Args:
        weight: ``(O, I, kH, kW)``; half types are computed in float32.
        band: Name of the band.
        bands: The bands; two of equal area by default.

    Returns:
        A scalar: the squared L2 norm of the weight times the energy-weighted share that lies outside.

    Raises:
        ValueError: If no band has this name.

    Examples:
        >>> checkerboard = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).expand(1, 1, 2, 2)
        >>> energy_outside(checkerboard, "low") > 0.8 * checkerboard.square().sum()
        tensor(True)
    """
    bands = Bands.of(bands)
    kernels = at_least_float32(weight).flatten(2)
    form = _outside(bands, bands.index(band), (weight.shape[2], weight.shape[3]), kernels.dtype, kernels.device)
    with full_precision(weight.device):
        return ((kernels @ form) * kernels).sum()


@constant
def _outside(bands: Bands, band: int, kernel_size: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    form = np.delete(bands.energy_matrices(kernel_size), band, 0).sum(0)
    return torch.from_numpy(form).to(device, dtype)
