"""Trained networks that come with the package: a model file in half precision and a card each.

To add one is to add its two files, ``NAME.safetensors`` and ``NAME.toml``, as ``python -m tests.models.add_network``
makes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from freqfast.files import file_sha256
from freqfast.records import Fraction, read_record

PREFIX = "zoo:"
"""What the name of a network of the zoo begins with, wherever a model is named."""

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Accuracy:
    """An accuracy, as a fraction.

    Attributes:
        value: Over all test images.
        low: Lower end of its 95 % interval, which counts the chance of the test images.
        high: Upper end.
    """

    value: Fraction
    low: Fraction
    high: Fraction


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of a network of the zoo, as ``NAME.toml`` holds it.

    Attributes:
        description: What it is, in one line.
        recipe: The recipe that trained it.
        width: Channels of its first layer.
        epochs: Epochs of its training.
        seed: The seed of its training: one training, whose chance the intervals do not count.
        commit: The commit of freqfast that trained it.
        training: The images that it was trained on.
        test: The images that it was judged on, those of the file as it is here.
        precision: In which precision it was judged, "bfloat16" or "float32".
        accuracy: ``clean``, ``mean15``, ``mean7`` and ``mean_bar``, see `freqfast.corruptions.MEANS`.
        licence: Of the weights.
        sha256: Hash of the model file.
    """

    schema: Literal["freqfast-card-1"] = "freqfast-card-1"
    description: str
    recipe: str
    width: int
    epochs: int
    seed: int
    commit: str
    training: str
    test: str
    precision: str
    accuracy: Mapping[str, Accuracy]
    licence: str = "Apache-2.0"
    sha256: str


def read_cards() -> dict[str, Card]:
    """The cards of all networks of the zoo, by name.

    Examples:
        >>> all(card.licence == "Apache-2.0" for card in read_cards().values())
        True
    """
    return {path.stem: read_record(path, Card) for path in sorted(_FOLDER.glob("*.toml"))}


def network_path(name: str) -> Path:
    """The model file of a network, by its name without `PREFIX`.

    Raises:
        ValueError: If there is no such network, or its file has another hash than its card says.

    Examples:
        >>> all(network_path(name).suffix == ".safetensors" for name in read_cards())
        True
    """
    cards = read_cards()
    if name not in cards:
        raise ValueError(f"the zoo has no network {name!r}; it has {', '.join(cards) or 'none'}")
    path = _FOLDER / f"{name}.safetensors"
    if not path.is_file() or file_sha256(path) != cards[name].sha256:
        raise ValueError(f"{path} is missing or damaged; install freqfast anew")
    return path
