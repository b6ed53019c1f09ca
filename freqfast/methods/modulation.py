"""Learn a spectral modulation of the first convolution in training."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from freqfast.methods.base import Method, OnLayer
from freqfast.records import Amount
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation
from freqfast.spectral.tensors import whole


class SpectralModulation(OnLayer, Method):
    """Learns how much of each spatial frequency the first convolution's filters pass, under random perturbation.

    Attaching it turns the convolution into a `SpectralConv2d` in place; the gains train like its weight. A
    layer that is a `SpectralConv2d` already, as in a loaded model, keeps its gains and the number of its draws.
    Detaching it ends the perturbation alone: the gains stay, until `freqfast.bake_modulation` folds them into
    a plain convolution. After Jia, Bao and Ma (2019, arXiv:1911.12044).

    Args:
        per_filter, keep_power: As for `SpectralConv2d`.
        sigma: Standard deviation of the perturbation of the log power gains in training; 0 for none.
        layer: Name of the convolution; the first spatial one by default.
        seed: Seed of the perturbation; None keeps the layer's, or draws one from torch's generator. In distributed
            training all ranks draw the noise of the first.

    Raises:
        ValueError: If sigma is negative or not finite; when attached, if the layer is not a plain
            convolution, or has gains of the other form (`per_filter`).

    Examples:
        >>> SpectralModulation(sigma=0.3, seed=0).sigma
        0.3
    """

    per_filter: bool = True
    sigma: Amount = 0.5
    layer: str | None = None
    seed: int | None = None
    keep_power: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._before: tuple[Tensor, ...] | None = ()  # weight and gains before a step; None once the gains have moved

    def attach(self, model: nn.Module, optimizer: Optimizer | None = None) -> None:
        """Turn the layer into a `SpectralConv2d`, whose gains join the optimizer, if there is one."""
        super().attach(model, optimizer)
        if optimizer is not None:
            join_groups((group["params"] for group in optimizer.param_groups), self.conv)

    def _install(self, model: nn.Module) -> None:
        conv = self._find(model)
        if not isinstance(conv, SpectralConv2d):
            apply_modulation(model, self.layer, self.per_filter, seed=self.seed)
        elif len(conv.log_gain) != (conv.out_channels if self.per_filter else 1):
            there = "shared gains" if self.per_filter else "gains for each filter"
            raise ValueError(
                f"the layer has {there} already, and per_filter={self.per_filter} asks for others; pass "
                f"per_filter={not self.per_filter} to go on with them, or fold them by bake_modulation first"
            )
        conv.sigma, conv.keep_power = self.sigma, self.keep_power
        conv.seed = conv.seed if self.seed is None else self.seed

    def penalty(self) -> float:
        """None; but what the first step of the optimizer is to change is noted."""
        if self._before is not None:
            self._before = self._values()
        return 0.0

    def step(self) -> None:
        """Check at the first step that the optimizer has the gains, in case it existed before them.

        Raises:
            ValueError: If the step has changed the weight, but not gains that have a gradient.
        """
        if self._before:
            weight, gain = (not torch.equal(old, new) for old, new in zip(self._before, self._values(), strict=True))
            gradient = self.conv.log_gain.grad
            if weight and not gain and gradient is not None and whole(gradient).any():
                raise ValueError(
                    "the optimizer has no gains of SpectralModulation; make it after the method is attached, or pass "
                    "it as optimizer="
                )
            self._before = None if gain else ()

    def _values(self) -> tuple[Tensor, ...]:
        return tuple(whole(each.detach()).clone() for each in (self.conv.weight, self.conv.log_gain))

    def _uninstall(self, model: nn.Module) -> None:
        with suppress(ValueError):  # of another model, which has no such layer
            if isinstance(conv := self._find(model), SpectralConv2d):  # else somebody has folded the gains
                conv.sigma = 0.0

    def start(self) -> None:
        """Have all ranks use the noise of the first."""
        if distributed.is_available() and distributed.is_initialized():
            shared = [self.state_dict()]
            distributed.broadcast_object_list(shared, device=self.conv.weight.device)
            self.load_state_dict(shared[0])

    def state_dict(self) -> dict[str, Any]:
        """What the layer's noise depends on: its seed and the number of draws so far."""
        return {"seed": self.conv.seed, "draws": self.conv.draws}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the noise of `state_dict`."""
        self.conv.seed, self.conv.draws = state["seed"], state["draws"]


def join_groups(groups: Iterable[list[nn.Parameter]], conv: SpectralConv2d) -> bool:
    """Add a layer's gains to the groups of an optimizer, after the layer's other parameters; whether that was needed.

    They join the group of its weight: a group of their own would break schedules that were made for the existing
    groups. Optimizers save their state by position, and one that is made later has the gains in the same place.
    """
    gain, weight = conv.log_gain, conv.weight
    for group in groups:
        positions = {id(other): i for i, other in enumerate(group)}
        if id(weight) in positions and id(gain) not in positions:
            group.insert(1 + max(positions.get(id(own), -1) for own in conv.parameters(recurse=False)), gain)
            gain.requires_grad_(weight.requires_grad)  # the group may have been frozen without it
            return True
    return False
