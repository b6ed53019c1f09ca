"""Enforce frequency proportions on the first convolution's filters."""

from collections.abc import Mapping
from typing import cast

import torch
from fastai.learner import Learner
from torch import Tensor

from freqfast.callbacks.columns import BandColumns
from freqfast.spectral.bands import Bands, BandsLike, assign_bands, band_counts, band_shares
from freqfast.spectral.modulation import assign_effective_weight, effective_weight
from freqfast.spectral.proportion import project_filters

__all__ = ["FrequencyProportion"]


class FrequencyProportion(BandColumns):
    """Keeps a given share of the first convolution's filters in each frequency band after every optimizer step.

    Before the first step each filter is assigned to a band such that their shares there add up to the most; from then
    on every filter is projected onto the closest one (of its norm) with at least `purity` of its energy in its band.
    Where `SpectralModulation` is on as well, the proportion holds for the filters that the layer applies. After Jia,
    Bao and Ma (2019, arXiv:1911.12044).

    Args:
        proportions: Share of the filters by band name, summing to 1, such as ``{"low": 0.75, "high": 0.25}``.
        bands: The bands; two of equal area (low, high) by default. See `Bands.of` for the short forms.
        purity: Share of energy that a filter must have in its band, above 0.5.
        layer: Name of the convolution; the first spatial one by default.
        preserve_norm: Keep each filter's norm when it is projected.

    Attributes:
        assignment: ``(O,)`` band indices of the current or last fit; None before the first.

    Raises:
        ValueError: If a band is unknown or the proportions do not sum to 1; when added to a Learner, if the purity or
            the layer does not fit its model, or the layer has a `FrequencyProportion` already.
    """

    def __init__(
        self,
        proportions: Mapping[str, float],
        bands: BandsLike = None,
        purity: float = 0.9,
        layer: str | None = None,
        preserve_norm: bool = True,
    ) -> None:
        self.proportions = dict(proportions)
        self.bands = Bands.of(bands)
        self.purity = purity
        self.layer = layer
        self.preserve_norm = preserve_norm
        self.assignment: Tensor | None = None
        band_counts(self.proportions, self.bands, 1)

    def _install(self, learn: Learner) -> None:
        super()._install(learn)
        project_filters(effective_weight(self._claim(learn)), self.proportions, self.bands, self.purity)

    def before_fit(self) -> None:
        """Remember the assignment from before a learning-rate finder's throw-away steps."""
        super().before_fit()
        self._assigned_before = self.assignment

    def before_train(self) -> None:
        """Assign the filters at the first batch of a fit, and project them."""
        super().before_train()
        if self.assignment is None or self.learn.train_iter == 0:
            self._assign()
        self._project()

    def after_step(self) -> None:
        """Project; also after a skipped step, where it changes nothing."""
        if self.assignment is None:  # added in the middle of an epoch
            self._assign()
        self._project()

    def _assign(self) -> None:
        # For filters that are enforced already this is the assignment that they have, so a second fit keeps it.
        shares = band_shares(effective_weight(self.conv), self.bands)
        self.assignment = assign_bands(shares, band_counts(self.proportions, self.bands, len(shares)))

    def _project(self) -> None:
        conv = self.conv
        weight = effective_weight(conv).cpu()  # the projection's many small steps would each keep a GPU waiting
        if not weight.isfinite().all():  # diverged: for a learning-rate finder or TerminateOnNaNCallback to notice
            return
        projected = project_filters(weight, cast(Tensor, self.assignment), self.bands, self.purity, self.preserve_norm)
        if not torch.equal(projected, weight):
            assign_effective_weight(conv, projected.to(conv.weight.device))

    def after_fit(self) -> None:
        """Take a learning-rate finder's assignment back."""
        if self.is_finding_lr:
            self.assignment = self._assigned_before
