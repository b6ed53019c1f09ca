"""Train towards the outputs that another network, or the network itself before, gives for the unchanged images."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from freqfast.methods.base import Method
from freqfast.spectral.surgery import copy_model, unwrap
from freqfast.spectral.tensors import at_least_float32


def distillation_loss(outputs: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    """The divergence of a network's softened predictions from a teacher's, as a scalar.

    It is the mean over images of ``T^2 KL(softmax(teacher / T) || softmax(outputs / T))``; the square keeps the size
    of gradients independent of the temperature T (Hinton, Vinyals and Dean, 2015, arXiv:1503.02531).

    Args:
        outputs: Logits ``(N, classes, ...)``.
        teacher: The teacher's, of the same shape.
        temperature: T; a higher one gives more weight to what the teacher holds for unlikely.

    Examples:
        >>> float(distillation_loss(torch.tensor([[0.0, 3.0]]), torch.tensor([[5.0, 8.0]])))
        0.0
    """
    wrong, right = (log_softmax(at_least_float32(x) / temperature, 1) for x in (outputs, teacher))
    return (right.exp() * (right - wrong)).sum(1).mean() * temperature**2


class Distillation(Method):
    """Trains towards a teacher's outputs for the unchanged images, so that no labels are needed.

    Beside a method that perturbs images, as `SpectrumPerturbation` does, the network learns to say of a perturbed image
    what the teacher says of the image itself. By default the teacher is the network as it is before the first step; it
    stays in eval mode, shares nothing with the network, and costs a forward pass of each batch without gradients.

    Args:
        teacher: The teacher, for the same inputs and classes; None for a copy of the network.
        temperature: That of `distillation_loss`, above 0.
        weight: Share of the divergence in the loss, in (0, 1]; the rest is the criterion of the labels.

    Raises:
        ValueError: If temperature or weight is out of range; in training, if the teacher's outputs are not of the
            network's shape.

    Examples:
        >>> from freqfast.methods import Methods, SpectrumPerturbation
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> methods = Methods(model, [SpectrumPerturbation(share=0.5), Distillation()])
        >>> methods.start()
        >>> images = torch.rand(4, 3, 2, 2)
        >>> loss = methods.loss(nn.functional.cross_entropy, model(methods.images(images)), labels=None)
    """

    teacher: Any = None
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0
    weight: Annotated[float, Field(gt=0, le=1)] = 1.0

    is_only = True
    place = -1  # before the images are changed

    def __post_init__(self) -> None:
        super().__post_init__()
        self._copy: nn.Module | None = None  # the network as it was
        self._copied: nn.Module | None = None  # which network that was
        self._outputs: Tensor | None = None

    @property
    def source(self) -> Any:
        """The teacher in use."""
        return self._copy if self.teacher is None else _frozen(self.teacher)

    def start(self) -> None:
        """Take a copy of the network, unless there is a teacher, or a copy from an earlier start."""
        if self.teacher is None and self._copied is not (network := unwrap(self.network)):
            self._copy, self._copied = _frozen(copy_model(network)), network

    def images(self, images: Tensor, mean: Any = 0.0, std: Any = 1.0) -> Tensor:
        """The same images, of which the teacher has given its outputs."""
        self.teach(images)
        return images

    def teach(self, *inputs: Any) -> None:
        """Have the teacher give its outputs for a batch."""
        with torch.no_grad():
            outputs = self.source.to(next(x.device for x in inputs if isinstance(x, Tensor)))(*inputs)
        self._outputs = getattr(outputs, "logits", outputs)

    def criterion(self, criterion: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The criterion with its share replaced by the divergence from the teacher's outputs for the last batch."""

        def distilled(outputs: Tensor, *labels: Any) -> Tensor:
            if self._outputs is None or outputs.shape != self._outputs.shape:
                there = None if self._outputs is None else tuple(self._outputs.shape)
                raise ValueError(f"the network's outputs have the shape {tuple(outputs.shape)}, the teacher's {there}")
            loss = distillation_loss(outputs, self._outputs, self.temperature)
            return loss if self.weight == 1 else self.weight * loss + (1 - self.weight) * criterion(outputs, *labels)

        return distilled

    def state_dict(self) -> dict[str, Any]:
        """The weights of the network as it was, if it is its own teacher."""
        return {"teacher": None if self._copy is None else dict(self._copy.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the teacher of `state_dict`."""
        self._copy = self._copied = None
        if state["teacher"] is not None:
            self._copied = unwrap(self.network)
            self._copy = _frozen(copy_model(self._copied))
            self._copy.load_state_dict(state["teacher"])


def _frozen(teacher: nn.Module) -> nn.Module:
    return teacher.eval().requires_grad_(False)
