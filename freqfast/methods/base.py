"""What a training loop needs of a method."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from freqfast.methods.options import Options
from freqfast.spectral.surgery import check_unwrapped, find_conv


class Part:
    """Works in a network, and may be the only one of its class there."""

    is_only = False  # whether no other of the class may work on the same network, or layer
    network: Any = None

    def _install(self, model: nn.Module) -> None:
        """Change what training with it needs changed, once: by default nothing."""

    def _uninstall(self, model: nn.Module) -> None:
        """Take back what the trained network does not need: by default nothing."""

    def _find(self, model: nn.Module) -> Any:
        """What it works on in a network."""
        return model

    def _repeats(self, other: object, model: nn.Module) -> bool:
        return self.is_only and type(other) is type(self) and other._find(model) is self._find(model)


class OnLayer(Part):
    """Works on one convolution, alone of its class: the one that `layer` names, the first spatial one by default."""

    is_only = True
    layer: str | None = None
    uses_weight = True

    @property
    def conv(self) -> Any:
        """The convolution."""
        return self._find(self.network)

    def _find(self, model: nn.Module) -> Any:
        return find_conv(model, self.layer, plain=self.uses_weight)[1]


class Method(Options, Part):
    """A method as a training loop uses it, by itself or with others in `Methods`.

    Methods with more state than the network's have `state_dict` and `load_state_dict`.

    Attributes:
        network: The model that it is attached to.
        views: Number of changed copies of each batch that pass through the network beside the batch.

    Examples:
        >>> from freqfast.methods import SpectralDecay
        >>> decay = SpectralDecay(0.1)
        >>> decay.attach(nn.Conv2d(3, 8, 3))
        >>> decay.penalty() > 0
        tensor(True)
    """

    views = 0
    place = 3  # among those that change images: mixed views first, then single images

    def attach(self, model: nn.Module, optimizer: Optimizer | None = None) -> None:
        """Put into a network what the method needs there; a second time changes nothing.

        New parameters join the group of an `optimizer` that exists already.

        Raises:
            ValueError: If the method does not fit the model, or the model is wrapped for several processes already.
        """
        check_unwrapped(model)
        self._install(model)
        self.network = model

    def start(self) -> None:
        """Prepare for the first step, once weights and states are loaded."""

    def images(self, images: Tensor, mean: Any = 0.0, std: Any = 1.0) -> Tensor:
        """What the network gets in training for a batch ``(N, C, H, W)``: as many for the batch, and for each view.

        Mean and standard deviation by channel are those that the images are normalised by.
        """
        return images

    def criterion(self, criterion: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """What takes the place of the criterion of outputs and labels."""
        return criterion

    def penalty(self) -> Tensor | float:
        """What is added to the loss."""
        return 0.0

    def step(self) -> None:
        """Follow a step of the optimizer."""

    def detach(self) -> None:
        """End what belongs to training alone; layers, gains and low-passes stay in the network."""
        if self.network is not None:
            self._uninstall(self.network)
        self.network = None
