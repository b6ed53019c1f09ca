"""Enforce frequency proportions on the first convolution's filters."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from freqfast.methods.base import Method, OnLayer
from freqfast.methods.options import Positive
from freqfast.spectral.bands import Bands, band_counts
from freqfast.spectral.modulation import assign_effective_weight, effective_weight
from freqfast.spectral.proportion import project_filters, project_onto_subspace, target_bands
from freqfast.spectral.tensors import whole


class FrequencyProportion(OnLayer, Method):
    """Keeps a given share of the first convolution's filters in each frequency band after every optimizer step.

    Before the first step, filters are assigned to bands such that the sum of their energy shares in these bands is
    largest. From then on, each filter is projected onto the closest filter of the same norm that has at least `purity`
    of its energy in its band or, with `rank`, that consists of its band's leading eigenvectors. With
    `SpectralModulation`, the proportion holds for the filters that the layer applies. A frozen layer stays bit for bit
    as it is, unless momentum moves it. After Jia, Bao and Ma (2019, arXiv:1911.12044).

    Args:
        proportions: Share of the filters by band name, summing to 1, such as ``{"low": 0.75, "high": 0.25}``.
        bands: The bands; two of equal area (low, high) by default. See `Bands.of` for the short forms.
        purity: Share of energy that a filter must have in its band, above 0.5; 0.9 by default. With `rank` it follows
            from the kernel once the method is attached.
        layer: Name of the convolution; the first spatial one by default.
        preserve_norm: Keep each filter's norm when it is projected.
        rank: Number of eigenvectors that filters are made of; given instead of a purity.

    Attributes:
        assignment: ``(O,)`` band indices of the current or last training; None before the first in which the layer
            trains.

    Raises:
        ValueError: If a band is unknown, the proportions do not sum to 1, or both purity and rank are given; when
            attached, if the arguments do not fit the layer.

    Examples:
        >>> FrequencyProportion({"low": 0.75, "high": 0.25}).purity
        0.9
    """

    proportions: Mapping[str, float]
    bands: Any = None
    purity: Annotated[float, Field(gt=0.5, lt=1)] | None = None  # the kernel's size sets a limit below 1
    layer: str | None = None
    preserve_norm: bool = True
    rank: Positive | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bands = Bands.of(self.bands)
        band_counts(self.proportions, self.bands, 1)
        if self.purity is not None and self.rank is not None:
            raise ValueError(f"purity and rank exclude each other, got {self.purity} and {self.rank}; pass one of them")
        self.proportions = dict(self.proportions)
        self.purity = 0.9 if self.purity is None and self.rank is None else self.purity
        self.assignment: Tensor | None = None
        self._kept: Tensor | None = None  # the weight as it was projected, or frozen

    def attach(self, model: nn.Module, optimizer: Optimizer | None = None) -> None:
        """Assign the filters and project them, so that averages of weights can begin with them."""
        super().attach(model, optimizer)
        self.enforce()

    def _install(self, model: nn.Module) -> None:
        weight = effective_weight(self._find(model))
        self._projected(weight, self.proportions)  # raises if a weight of this shape cannot be projected
        if self.rank is not None:
            counts = band_counts(self.proportions, self.bands, len(weight))
            bounds = self.bands.reachable((weight.shape[2], weight.shape[3]), self.rank)
            self.purity = float(bounds[np.array(counts) > 0].min())

    def start(self) -> None:
        """Assign the filters, and project them."""
        self.enforce(assign=True)

    def step(self) -> None:
        """Project; also after a skipped step, where it changes nothing."""
        self.enforce()

    def enforce(self, assign: bool = False) -> None:
        """Project the filters now, as after a change of the weights outside of a step.

        With `assign`, the filters are assigned to bands anew, as needed to change `proportions` during a fit. A frozen
        layer stays, unless momentum has moved it since.
        """
        conv = self.conv
        if not conv.weight.requires_grad:
            moved = self._kept is not None and not torch.equal(whole(conv.weight), self._kept)
            if assign or self.assignment is None or not moved:
                self._kept = whole(conv.weight.detach()).clone()
                return
        weight = effective_weight(conv).cpu()  # the projection's many small steps would each keep a GPU waiting
        if assign or self.assignment is None:
            # Filters that are enforced already keep their bands, so a second fit keeps the assignment.
            self.assignment = target_bands(weight, self.bands, self.proportions)
        if not weight.isfinite().all():  # diverged: a learning-rate finder or TerminateOnNaNCallback deals with it
            return
        assign_effective_weight(conv, self._projected(weight, self.assignment).to(conv.weight.device))
        self._kept = whole(conv.weight.detach()).clone()

    def _projected(self, weight: Tensor, target: Mapping[str, float] | Tensor) -> Tensor:
        if self.rank is not None:
            return project_onto_subspace(weight, target, self.bands, self.rank, self.preserve_norm)
        return project_filters(weight, target, self.bands, self.purity, self.preserve_norm)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """The assignment of filters to bands, which lasts through a fit."""
        return {"assignment": self.assignment}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the assignment of `state_dict`."""
        self.assignment = state["assignment"]
