"""Several methods in one training loop."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from freqfast.methods.base import Method
from freqfast.spectral.tensors import at_least_float32


class Methods:
    """Attaches methods to a model and runs them in a training loop, in the order in which they act on images.

    Make it before the optimizer, averages of weights (EMA), and wrappers such as DistributedDataParallel; `start` it
    once weights and states are loaded. With the model in eval mode, images pass unchanged and `loss` is the criterion.

    Args:
        model: The network that is trained.
        methods: The methods; their order is that of attaching.
        mean: Channel means that images are normalised by; None for pixels in [0, 1].
        std: Channel standard deviations.
        optimizer: One that exists already, which new parameters are to join.

    Raises:
        ValueError: If a method does not fit the model, or two do not go together.

    Examples:
        >>> from freqfast.methods import SpectralModulation, SpectrumPerturbation
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3))
        >>> methods = Methods(model, [SpectralModulation(seed=0), SpectrumPerturbation()], mean=[0.5], std=[0.2])
        >>> methods.state_dict()
        {'0.SpectralModulation': {'seed': 0, 'draws': 0}}
    """

    def __init__(
        self,
        model: nn.Module,
        methods: Sequence[Method],
        *,
        mean: Any = None,
        std: Any = None,
        optimizer: Optimizer | None = None,
    ) -> None:
        if (mean is None) != (std is None):
            raise ValueError("mean and std go together; pass both or neither")
        check_together(methods)
        for a, b in combinations(methods, 2):
            if a is b or a._repeats(b, model):
                raise ValueError(f"two methods are {type(a).__name__}; leave one out")
        for method in methods:
            method.attach(model, optimizer)
        self.model, self.methods = model, list(methods)
        self._by_place = sorted(methods, key=lambda method: method.place)
        self._normalisation = (0.0, 1.0) if mean is None else (mean, std)

    @property
    def passes_per_image(self) -> int:
        """Number of forward passes per image in training."""
        return 1 + sum(method.views for method in self.methods)

    def start(self) -> None:
        """Prepare for the first step, once weights and states are loaded."""
        for method in self.methods:
            method.start()

    def images(self, images: Tensor) -> Tensor:
        """What the network gets for normalised images ``(N, C, H, W)``: several times N where a method adds views."""
        for method in self._by_place if self.model.training else ():
            images = method.images(images, *self._normalisation)
        return images

    def loss(self, criterion: Callable[[Tensor, Any], Tensor], outputs: Tensor, labels: Any) -> Tensor:
        """The loss that is to be minimised, of the network's outputs for `images` and the labels ``(N, ...)``."""
        if not self.model.training:
            return criterion(outputs, labels)
        for method in self.methods:
            criterion = method.criterion(criterion)
        views: Any = next((method for method in self.methods if method.views), None)
        own, *others = outputs.chunk(self.passes_per_image) if views else [outputs]
        loss = criterion(own, labels)
        if views:
            loss = views.combine(criterion, loss, [own, *map(at_least_float32, others)], labels)
        for method in self.methods:
            loss = loss + method.penalty()
        return loss

    def step(self) -> None:
        """Follow a step of the optimizer."""
        for method in self.methods:
            method.step()

    def detach(self) -> None:
        """End what belongs to training alone; layers, gains and low-passes stay in the network."""
        for method in self.methods:
            method.detach()

    def state_dict(self) -> dict[str, Any]:
        """What training goes on from beside the network's state: assignments of filters, and counts of draws."""
        return {name: method.state_dict() for name, method in self._with_state().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`; a ValueError if it is of other methods."""
        if state.keys() != (own := self._with_state()).keys():
            raise ValueError(f"the state is of {', '.join(state) or 'no method'}; here are {', '.join(own) or 'none'}")
        for name, method in own.items():
            method.load_state_dict(state[name])

    def _with_state(self) -> dict[str, Any]:
        return {f"{i}.{type(m).__name__}": m for i, m in enumerate(self.methods) if hasattr(m, "state_dict")}


def check_together(methods: Sequence[Any]) -> None:
    """Raise a ValueError if two add views, since each would split off its own."""
    adding = [method for method in methods if method.views]
    for a, b in pairwise(adding):
        raise ValueError(
            f"{type(a).__name__} and {type(b).__name__} both add views of each batch; leave one out, or have one "
            "change the batch"
        )
