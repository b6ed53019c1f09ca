"""freqfast's parts of a network: find those in a network or a state dict, install and remove them.

A part is a modulation's gains, an equalizer or a low-pass. Each is a parameter or buffers of its convolution, so that a
state dict shows all of them, and a strict load into a network that lacks one fails.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from freqfast.spectral.antialiasing import LOW_PASS_BUFFERS, antialiased_layers, apply_antialiasing, remove_antialiasing
from freqfast.spectral.equalization import (
    EQUALIZER_BUFFERS,
    apply_equalization,
    equalized_layers,
    remove_equalization,
)
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation, bake_modulation
from freqfast.spectral.surgery import unwrap

_REFERENCE, _, _EXPONENT = EQUALIZER_BUFFERS

PART_NAMES = {"log_gain", *EQUALIZER_BUFFERS, *LOW_PASS_BUFFERS.values()}
"""Last parts of the names that parts have in a state dict."""


@dataclass(frozen=True)
class Modulation:
    """Arguments of `apply_modulation`; older files have no `keep_power`."""

    layer: str
    per_filter: bool
    sigma: float
    seed: int
    keep_power: bool = False


@dataclass(frozen=True)
class Equalization:
    """Arguments of `apply_equalization`."""

    layer: str
    bins: int
    exponent: float


@dataclass(frozen=True)
class Parts:
    """Parts of a network.

    Attributes:
        modulation: The modulated convolutions.
        equalization: The convolutions with an equalizer.
        low_passes: The kind of low-pass, "triangle" or "flc", by the name of the convolution that has it.

    Examples:
        >>> print(Parts(low_passes={"layer2.0.conv1": "flc"}))
        low-pass (flc) before layer2.0.conv1
        >>> print(Parts())
        no parts
    """

    modulation: tuple[Modulation, ...] = ()
    equalization: tuple[Equalization, ...] = ()
    low_passes: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there are any parts."""
        return bool(self.modulation or self.equalization or self.low_passes)

    def __str__(self) -> str:
        """The parts in one line."""
        texts = [f"modulation of {each.layer}" for each in self.modulation]
        for each in self.equalization:
            bins = f"{each.bins} bin{'' if each.bins == 1 else 's'}"
            texts.append(f"equalizer ({bins}, exponent {each.exponent:g}) before {each.layer}")
        for kind in LOW_PASS_BUFFERS:
            if layers := self.layers(kind):
                texts.append(f"low-pass ({kind}) before {', '.join(layers)}")
        return "; ".join(texts) or "no parts"

    def layers(self, kind: str) -> tuple[str, ...]:
        """Names of the layers that have this kind of low-pass."""
        return tuple(layer for layer, each in self.low_passes.items() if each == kind)


def find_parts(model: nn.Module) -> Parts:
    """The parts that a model has; wrappers are looked through.

    Examples:
        >>> find_parts(apply_equalization(nn.Sequential(nn.Conv2d(3, 8, 3)))).equalization
        (Equalization(layer='0', bins=12, exponent=1.0),)
    """
    network = unwrap(model)
    modulation = tuple(
        Modulation(name, len(conv.log_gain) == conv.out_channels, conv.sigma, conv.seed, conv.keep_power)
        for name, conv in network.named_modules()
        if isinstance(conv, SpectralConv2d)
    )
    equalization = []
    for name in equalized_layers(network):
        conv: Any = network.get_submodule(name)
        equalization.append(Equalization(name, len(conv.equalizer_reference), float(conv.equalizer_exponent)))
    low_passes = {name: kind for kind in LOW_PASS_BUFFERS for name in antialiased_layers(network, kind)}
    return Parts(modulation, tuple(equalization), low_passes)


def parts_in(state: Mapping[str, Tensor], network: nn.Module) -> Parts:
    """The parts that a state dict contains and a network does not have yet.

    A state dict does not hold what matters only in training: a modulation's sigma, which is set to
    0 here, and its seed. It is an error if a layer of the network has another kind of low-pass.
    """
    modules = dict(network.named_modules())
    modulation, equalization, low_passes = [], [], {}
    kinds = {buffer: kind for kind, buffer in LOW_PASS_BUFFERS.items()}
    there = network.state_dict().keys()
    for name, tensor in state.items():
        layer, _, kept = name.rpartition(".")
        module = modules.get(layer)
        if name in there:
            continue
        exponent = state.get(f"{layer}.{_EXPONENT}".removeprefix("."))  # a network may be the convolution itself
        if kept in kinds and isinstance(module, nn.Conv2d | nn.MaxPool2d):
            if layer in antialiased_layers(network):
                raise ValueError(
                    f"layer {layer!r} has a low-pass of another kind than {kinds[kept]!r}; call remove_antialiasing "
                    "first"
                )
            low_passes[layer] = kinds[kept]
        elif not isinstance(module, nn.Conv2d):
            continue
        elif kept == "log_gain" and tensor.ndim == 2:
            modulation.append(Modulation(layer, per_filter=len(tensor) == module.out_channels, sigma=0.0, seed=0))
        elif kept == _REFERENCE and exponent is not None and exponent.ndim == 0:
            equalization.append(Equalization(layer, tensor.numel(), float(exponent)))
    return Parts(tuple(modulation), tuple(equalization), low_passes)


def install_parts(network: nn.Module, parts: Parts) -> None:
    """Put parts into a network, in place."""
    for modulation in parts.modulation:
        apply_modulation(network, **asdict(modulation))
    for equalization in parts.equalization:
        apply_equalization(network, **asdict(equalization))
    for layer, kind in parts.low_passes.items():
        apply_antialiasing(network, [layer], kind)


def remove_parts(network: nn.Module, parts: Parts) -> None:
    """Remove parts from a network, in place; gains of zero leave the weights unchanged bit for bit."""
    for modulation in parts.modulation:
        bake_modulation(network.get_submodule(modulation.layer))
    for equalization in parts.equalization:
        remove_equalization(network.get_submodule(equalization.layer))
    for layer in parts.low_passes:
        remove_antialiasing(network.get_submodule(layer))
