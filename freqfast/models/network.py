"""A network, with all that is needed to feed it and to name it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from freqfast.models.build import ModelSpec
from freqfast.preprocessing import Preprocessing as Preprocessing


@dataclass(frozen=True)
class Network:
    """A module, and what is needed to feed it, to name it and to store it.

    Attributes:
        name: What it is called in messages and results.
        module: Maps normalised images ``(N, 3, H, W)`` to logits ``(N, classes)``.
        preprocessing: How images are scaled, cropped and normalised for it.
        classes: Names of its classes, in the order of the logits; None where they are not known.
        spec: What the module is built from, apart from its weights, if it can be stored in a model file of freqfast.
        model: What names it to `freqfast.load_network`, apart from its weights; None for a module made in Python.
        weights: The file of its weights, if it was read from one.
        data: Where its images are, if a TOML file says it.

    Examples:
        >>> brightest = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
        >>> network = Network("brightest", brightest, Preprocessing((0.5,) * 3, (0.25,) * 3), ("red", "green", "blue"))
        >>> network.preprocessing.mean, network.spec is None
        ((0.5, 0.5, 0.5), True)
    """

    name: str
    module: nn.Module = field(repr=False)
    preprocessing: Preprocessing
    classes: tuple[str, ...] | None = None
    spec: ModelSpec | None = None
    model: str | None = None
    weights: Path | None = None
    data: str | None = None


_WORDS = {
    "weights": "would have random weights; pass weights, a file of trained ones, or pretrained=True",
    "normalisation": (
        "has a normalisation that is not known; pass mean and std, three numbers each for pixels in [0, 1], or "
        "(0, 0, 0) and (1, 1, 1) if the network normalises by itself"
    ),
}


class IncompleteNetworkError(ValueError):
    """A network lacks what is needed to run it.

    Attributes:
        name: What was named.
        missing: All arguments of `freqfast.load_network` that are missing: "weights", "mean" and "std".

    Examples:
        >>> print(IncompleteNetworkError("torchvision:resnet18", ["weights"]))
        torchvision:resnet18 would have random weights; pass weights, a file of trained ones, or pretrained=True
    """

    def __init__(self, name: str, missing: Sequence[str]) -> None:
        self.name, self.missing = name, tuple(missing)
        kinds = dict.fromkeys("weights" if field == "weights" else "normalisation" for field in missing)
        super().__init__(f"{name} {'. It '.join(_WORDS[kind] for kind in kinds)}")
