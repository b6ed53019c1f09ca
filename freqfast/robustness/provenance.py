"""Which model was evaluated on which images, so that parts of different evaluations are never merged."""

from dataclasses import dataclass

from freqfast.records import differences
from freqfast.robustness.cells import CheckedKey
from freqfast.robustness.outcomes import Count


@dataclass(frozen=True)
class Provenance:
    """Which model was evaluated on which images.

    Attributes:
        model: What the user called the model.
        weights_sha256: Hash of its parameters and buffers, with their names.
        mean: Channel means of the normalisation.
        std: Channel standard deviations of the normalisation.
        precision: "bfloat16" or "float32".
        source: What the user called the images.
        source_sha256: Hash of the published archive; or of a folder's ``manifest.json`` or, without one, of the first
            image of each of its cells, and of how its images are scaled, if they are; or of the uncorrupted images,
            followed by the hash of the frost photographs if they are used. None if it is not known.
        seed: Seed of the corruptions, where known.
        image_range: Positions of the first image of each cell and of the one after the last.
        labels_sha256: Hash of their labels as little-endian int64.
        cells: Corruptions and severities of the whole evaluation, in order; `CLEAN` comes first if it is among them.
        command: The shell command that started the evaluation; None if Python code did.
        imagenet: Whether the images have ImageNet's classes and size, and ImageNet-C's parameters if freqfast corrupted
            them, so that the model can be compared with AlexNet.
        outputs: Which of the model's outputs belong to the images' classes, in the order of the classes; None for all
            of them.

    Examples:
        >>> common = dict(weights_sha256="e3b0", mean=(0.5,) * 3, std=(0.25,) * 3, precision="float32", seed=None)
        >>> common |= dict(source_sha256=None, image_range=(0, 100), labels_sha256="c442", cells=(("fog", 1),))
        >>> one = Provenance(model="runs/a", source="CIFAR-10-C", **common)
        >>> one.differences(Provenance(model="a", source="elsewhere", **(common | {"seed": 3})))
        ['seed (None, 3)']
    """

    model: str
    weights_sha256: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: str
    source: str
    source_sha256: str | None
    seed: int | None
    image_range: tuple[Count, Count]
    labels_sha256: str
    cells: tuple[CheckedKey, ...]
    command: str | None = None
    imagenet: bool = False
    outputs: tuple[Count, ...] | None = None

    def differences(self, other: "Provenance") -> list[str]:
        """What differs in another evaluation; names and paths do not count, since shards may run on many machines."""
        return [
            f"{name} ({_short(name, mine)}, {_short(name, theirs)})"
            for name, mine, theirs in differences(self, other)
            if name not in ("model", "source", "command")
        ]


def _short(name: str, value: object) -> str:
    text = f"{len(value)} {name}" if isinstance(value, list) and len(value) > 3 else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
