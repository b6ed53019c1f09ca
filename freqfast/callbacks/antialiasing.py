"""Low-pass the input of strided convolutions."""

from fastai.learner import Learner

from freqfast.callbacks.arguments import AntialiasingArguments
from freqfast.callbacks.installing import InstallingCallback
from freqfast.spectral.antialiasing import antialiased_layers, apply_antialiasing, strided_layers


class Antialiasing(AntialiasingArguments, InstallingCallback):
    """Low-passes the input of every strided convolution but the first convolution.

    Adding the callback to a Learner puts a low-pass before each of these that has none yet. The low-pass has no
    parameters and is part of the network from then on; `freqfast.remove_antialiasing` removes it. The kinds are

    - "triangle", a `freqfast.spectral.antialiasing.low_pass` of a few taps (Zhang, 2019, arXiv:1904.11486);
    - "flc", a `freqfast.spectral.antialiasing.ideal_low_pass` of the whole spectrum (FLC pooling, Grabinski et al.,
      2022, arXiv:2204.00491, where the convolution acts on the smaller map; here it keeps its stride).

    Args:
        layers: Names of the convolutions; by default every strided one except the model's first spatial convolution.
        kind: "triangle" or "flc".

    Raises:
        ValueError: If the kind is unknown or `layers` is empty; when added to a Learner, if a layer is not a strided
            convolution or has a low-pass of another kind, or if the model has no such convolution; in fit, if a layer
            no longer has its low-pass.

    Examples:
        >>> Antialiasing(["layer2.0.conv1"], kind="flc").layers
        ['layer2.0.conv1']
    """

    def _install(self, learn: Learner) -> None:
        apply_antialiasing(learn.model, self._lacking(learn), self.kind)

    def _lacking(self, learn: Learner) -> list[str]:
        """The convolutions without it; the model of another Learner, or a loaded one, has it already."""
        named = [self.layers] if isinstance(self.layers, str) else self.layers
        layers = strided_layers(learn.model) if named is None else named
        there = antialiased_layers(learn.model, self.kind)
        return [layer for layer in layers if layer not in there]

    def before_train(self) -> None:
        """Refuse to train if the low-pass was removed or the Learner was given another model."""
        if lacking := self._lacking(self.learn):
            raise ValueError(
                f"layer {lacking[0]!r} has no low-pass any more; remove this Antialiasing, and add it again"
            )
