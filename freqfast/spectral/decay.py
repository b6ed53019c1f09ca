"""The energy of a layer's filters outside a band, as a penalty on its weight."""

import numpy as np
import torch
from torch import Tensor

from freqfast.spectral.bands import Bands, BandsLike
from freqfast.spectral.tensors import at_least_float32, constant, full_precision


def energy_outside(weight: Tensor, band: str = "low", bands: BandsLike = None) -> Tensor:
    """Energy that filters ``(O, I, kH, kW)`` have outside a band, summed over the filters; differentiable.

    It is the squared L2 norm of the weight times the energy-weighted share that lies outside. Half types are computed
    in float32.

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
