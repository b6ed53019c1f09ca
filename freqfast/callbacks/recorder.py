"""Record the first convolution's spectra by epoch."""

from collections.abc import Mapping, Sequence

import numpy as np

from freqfast.bands import Bands, band_shares
from freqfast.callbacks.columns import BandColumns
from freqfast.modulation import SpectralConv2d, effective_weight
from freqfast.spectrum import GRID, power_spectrum
from freqfast.surgery import find_conv

__all__ = ["SpectrumRecorder"]


class SpectrumRecorder(BandColumns):
    """Keeps the effective filters, their power spectra and band shares before training and after every epoch.

    Epochs count on over several fits; a learning-rate finder's are not recorded. `freqfast.write_spectra` stores what it holds.

    Args:
        bands: The bands; two of equal area by default. See `Bands.of` for the short forms.
        n: Points per axis of the spectra.
        layer: Name of the convolution; the first spatial one by default.

    Attributes:
        epochs: Epochs trained at each record, from 0.
        weights: Effective filters, each ``(O, I, kH, kW)`` float32 array.
        power: Power spectra, each ``(O, n, n)``.
        shares: Band shares, each ``(O, B)``.
        log_gain: Log power gains, each ``(O or 1, kH, kW)``; empty for a plain convolution.
    """

    def __init__(
        self,
        bands: Bands | int | Mapping[str, Sequence] | None = None,
        n: int = GRID,
        layer: str | None = None,
    ) -> None:
        self.bands, self.points, self.layer = Bands.of(bands), n, layer
        self.epochs: list[int] = []
        self.weights: list[np.ndarray] = []
        self.power: list[np.ndarray] = []
        self.shares: list[np.ndarray] = []
        self.log_gain: list[np.ndarray] = []

    def before_train(self) -> None:
        """Record the filters that training starts from."""
        super().before_train()
        if not self.epochs and not hasattr(self.learn, "lr_finder"):
            self._record(0)

    def after_epoch(self) -> None:
        """Record the epoch, if it trained."""
        if self._trained and not hasattr(self.learn, "lr_finder"):
            self._record(self.epochs[-1] + 1)

    def _record(self, epoch: int) -> None:
        _, conv = find_conv(self.learn.model, self.layer)
        weight = effective_weight(conv).float().cpu()
        self.epochs.append(epoch)
        self.weights.append(weight.numpy())
        self.power.append(power_spectrum(weight, self.points).numpy())
        self.shares.append(band_shares(weight, self.bands).numpy())
        if isinstance(conv, SpectralConv2d):
            self.log_gain.append(conv.log_gain_grid().float().cpu().numpy())
