"""Keep strides from folding high frequencies onto low ones."""

from collections.abc import Sequence

from fastai.learner import Learner

from freqfast.callbacks.installing import InstallingCallback
from freqfast.spectral.antialiasing import antialiased_layers, apply_antialiasing

__all__ = ["Antialiasing"]


class Antialiasing(InstallingCallback):
    """Low-passes the input of every strided convolution but the first convolution.

    Adding it to a Learner, in any way, puts a `freqfast.spectral.antialiasing.low_pass` before each; it has no
    parameters. It is part of the network from then on: removing the callback leaves it there
    (`freqfast.remove_antialiasing` takes it out). A model that has any of them already keeps those,
    whatever `layers` says.

    Args:
        layers: Names of the convolutions; by default all with a stride but for the first spatial one of the model.

    Raises:
        ValueError: When added to a Learner: if a layer is no convolution with a stride, or there is none.
    """

    def __init__(self, layers: Sequence[str] | None = None) -> None:
        self.layers = layers

    def _install(self, learn: Learner) -> None:
        if not antialiased_layers(learn.model):  # the model of another Learner, or a loaded one, has them
            apply_antialiasing(learn.model, self.layers)
