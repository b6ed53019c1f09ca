"""Penalise the energy of the first convolution's filters outside a band."""

from typing import Any

from torch import Tensor, nn

from freqfast.methods.base import Method, OnLayer
from freqfast.records import Amount
from freqfast.spectral.bands import Bands
from freqfast.spectral.decay import energy_outside
from freqfast.spectral.modulation import SpectralConv2d, effective_weight
from freqfast.spectral.spectrum import check_weight
from freqfast.spectral.tensors import whole


class SpectralDecay(OnLayer, Method):
    """Adds to the loss the energy that the first convolution's filters have outside a band, times a strength.

    It is the soft form of `FrequencyProportion`: an L2 penalty on these frequencies alone. On them it acts like a
    `weight_decay` of twice the strength in `torch.optim.SGD`. Wang et al. (2020, arXiv:1905.13545) saw that networks
    with smooth first filters are more robust; the form of this penalty is freqfast's own. The displayed loss does not
    contain it, and nothing is added to the network.

    Args:
        strength: Factor of the energy; 0 for none.
        band: Name of the band that is left alone.
        bands: The bands; two of equal area (low, high) by default. See `Bands.of` for the short forms.
        layer: Name of the convolution; the first spatial one by default.

    Raises:
        ValueError: If the strength is negative or not finite, or the band is unknown; when attached, if the
            layer is unfit (see `freqfast.spectral.surgery.find_conv`).

    Examples:
        >>> SpectralDecay(0.1, band="low").bands.names
        ('low', 'high')
    """

    strength: Amount = 0.01
    band: str = "low"
    bands: Any = None
    layer: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bands = Bands.of(self.bands)
        self.bands.index(self.band)

    def _install(self, model: nn.Module) -> None:
        check_weight(effective_weight(self._find(model)))

    def penalty(self) -> Tensor:
        """The energy outside the band, times the strength."""
        conv = self.conv
        weight = conv.modulated_weight() if isinstance(conv, SpectralConv2d) else whole(conv.weight)
        return self.strength * energy_outside(weight, self.band, self.bands)
