"""Record the first convolution's spectra by epoch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from freqfast.callbacks.columns import BandColumns
from freqfast.callbacks.proportion import FrequencyProportion
from freqfast.methods.options import Options, Positive
from freqfast.spectra import SpectraHistory
from freqfast.spectral.bands import Bands, band_shares
from freqfast.spectral.modulation import SpectralConv2d, effective_weight
from freqfast.spectral.spectrum import power_spectrum

_RECORDS = ("epochs", "weights", "log_gain")  # from which all else follows


class SpectrumRecorder(Options, BandColumns):
    """Keeps the effective filters, their power spectra and band shares before training and after every epoch.

    The count of epochs continues over several fits. Epochs of a learning-rate finder, and epochs that end with weights
    that are not finite, are left out. The first fit of another model starts the records anew.

    Args:
        bands: The bands; two of equal area by default. See `Bands.of` for the short forms.
        n: Points per axis of the spectra.
        layer: Name of the convolution; the first spatial one by default.

    Attributes:
        epochs: Number of epochs trained at each record; it starts at 0, or at fastai's ``start_epoch``.
        weights: Effective filters, each ``(O, I, kH, kW)`` float32 array.
        log_gain: Log power gains, each ``(O or 1, kH, kW)``; empty for a plain convolution.

    Raises:
        ValueError: When added to a Learner that has no such layer, or one whose kernel is 1x1 or larger than n.

    Examples:
        >>> recorder = SpectrumRecorder(bands=3)
        >>> recorder.bands.names, recorder.epochs
        (('low', 'mid', 'high'), [])
    """

    bands: Any = None
    n: Positive = 32  # as in `freqfast.spectral.spectrum`
    layer: str | None = None

    is_only = False
    # After FrequencyProportion, whatever the order of adding: training starts from the filters that it enforces.
    order = FrequencyProportion.order + 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bands = Bands.of(self.bands)
        self._recorded: nn.Conv2d | None = None  # what the records are of
        self.epochs: list[int] = []
        self.weights: list[np.ndarray] = []
        self.log_gain: list[np.ndarray] = []

    def _install(self, model: nn.Module) -> None:
        power_spectrum(effective_weight(self._find(model)), self.n)

    def before_train(self) -> None:
        """Record the filters that training starts from."""
        if self.is_finding_lr:
            return
        if self._recorded not in (None, self.conv):
            self.load_state_dict({name: [] for name in _RECORDS})
        if not self.epochs:
            self._record(self.learn.epoch)

    def after_epoch(self) -> None:
        """Record the epoch, but not a validation, which makes no step."""
        if self.learn.train_iter and self.epochs and not self.is_finding_lr:
            self._record(self.epochs[-1] + 1)

    def _record(self, epoch: int) -> None:
        conv = self.conv
        weight = effective_weight(conv).float().cpu()
        if not weight.isfinite().all():  # diverged: the losses show it
            return
        self._recorded = conv
        self.epochs.append(epoch)
        self.weights.append(weight.numpy())
        if isinstance(conv, SpectralConv2d):
            self.log_gain.append(conv.log_gain_grid().float().cpu().numpy())

    def history(self) -> SpectraHistory:
        """The records, stacked by epoch, with shared gains repeated if others are not shared; a ValueError if none."""
        if not self.epochs:
            raise ValueError("nothing was recorded yet; fit the Learner with the SpectrumRecorder first")
        return SpectraHistory(
            epochs=np.array(self.epochs),
            power=np.stack([power_spectrum(weight, self.n) for weight in self.weights]),
            weight=np.stack(self.weights),
            shares=np.stack([band_shares(weight, self.bands) for weight in self.weights]),
            log_gain=np.stack(np.broadcast_arrays(*self.log_gain)) if len(self.log_gain) == len(self.epochs) else None,
        )

    def state_dict(self) -> dict[str, list]:
        """The records so far, by the names of the attributes."""
        return {name: list(getattr(self, name)) for name in _RECORDS}

    def load_state_dict(self, state: Mapping[str, list]) -> None:
        """Continue from the records of `state_dict`."""
        for name in _RECORDS:
            setattr(self, name, list(state[name]))
