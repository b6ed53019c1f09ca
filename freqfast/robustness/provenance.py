"""What an evaluation was of, so that parts of different ones are never taken together."""

from dataclasses import asdict, dataclass

from freqfast.robustness.keys import Key

__all__ = ["Provenance"]


@dataclass(frozen=True)
class Provenance:
    """Which model was evaluated on which images.

    Attributes:
        model: What the user called the model.
        weights_sha256: Hash of its parameters and buffers, with their names.
        mean: Channel means of the normalisation.
        std: Its standard deviations.
        precision: "bfloat16" or "float32".
        source: What the user called the images.
        source_sha256: Hash of the published archive, of a folder's ``manifest.json``, without one of the first image of
            each of its cells; or of the uncorrupted images, followed by that of the frost photographs where they are
            used. None where it is not known.
        seed: Seed of the corruptions, where known.
        image_range: The first image of each cell, and the one after the last.
        labels_sha256: Hash of their labels as little-endian int64.
        cells: Corruptions and severities of the whole evaluation, in order; `CLEAN` comes first if it is among them.
    """

    model: str
    weights_sha256: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: str
    source: str
    source_sha256: str | None
    seed: int | None
    image_range: tuple[int, int]
    labels_sha256: str
    cells: tuple[Key, ...]

    def differences(self, other: "Provenance") -> list[str]:
        """In what another evaluation differs; names and paths do not count, since shards may run on many machines."""
        mine, theirs = asdict(self), asdict(other)
        return [
            f"{name} ({_short(mine[name])}, {_short(theirs[name])})"
            for name in mine
            if name not in ("model", "source") and mine[name] != theirs[name]
        ]


def _short(value: object) -> str:
    text = f"{len(value)} cells" if isinstance(value, tuple) and len(value) > 3 else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
