"""The manifest of a folder of corrupted images: what they were made from, and the hashes of the files that are done."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from freqfast._version import __version__
from freqfast.corruptions.registry import CORRUPTIONS, SEVERITIES
from freqfast.files import write_text

MANIFEST = "manifest.json"
SCHEMA = "freqfast-corruptions-1"


@dataclass(frozen=True)
class StoredFile:
    """What the manifest says of a file.

    Attributes:
        sha256: Hash of the whole file.
        bytes: Its size.
        shape: Shape of the array in it.
        freqfast: The version that wrote it.
        photographs: Hash of the photographs that it was made with; None but for frost.
    """

    sha256: str
    bytes: int
    shape: tuple[int, ...]
    freqfast: str
    photographs: str | None


@dataclass(frozen=True)
class Manifest:
    """What a folder of corrupted images was made from, and the files that are done.

    Attributes:
        source: Name of the data set.
        images: Number of images, ``N``.
        images_sha256: Hash of their bytes, followed by their labels as little-endian int64.
        limit: How many images were asked for; None for the whole test set.
        seed: Seed of the corruptions.
        severities: The severities that every file holds, ascending.
        files: By file name; ``labels.npy`` is among them.
        classes: Names of the classes, in the order of the labels; None where they are not known.
    """

    source: str
    images: int
    images_sha256: str
    limit: int | None
    seed: int
    severities: tuple[int, ...]
    files: dict[str, StoredFile] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The corruptions that are done, the published ones first and in their order."""
        names = [file.removesuffix(".npy") for file in self.files if file != "labels.npy"]
        return tuple(sorted(names, key=lambda name: (*CORRUPTIONS, name).index(name)))


def read_manifest(folder: str | Path) -> Manifest | None:
    """The manifest of a folder of corrupted images; None where there is none, as in the published archive.

    Raises:
        ValueError: If there is a ``manifest.json`` that `write_archive` did not write.
    """
    path = Path(folder) / MANIFEST
    if not path.exists():
        return None
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} is not a manifest of freqfast corrupt ({type(error).__name__}: {reason}); move it away"
        ) from None


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Write the manifest into its folder, whole or not at all."""
    content = {"schema": SCHEMA, "freqfast": __version__, **asdict(manifest)}
    write_text(Path(folder) / MANIFEST, json.dumps(content, indent=2) + "\n")


def _parse(content: dict[str, Any]) -> Manifest:
    """A manifest from JSON values; raises one of many exceptions if it is none."""
    if content["schema"] != SCHEMA:
        raise ValueError(f"schema {content['schema']!r} is not {SCHEMA!r}")
    severities, images = tuple(content["severities"]), content["images"]
    if not severities or list(severities) != sorted(set(severities) & set(SEVERITIES)):
        raise ValueError(f"severities {severities}")
    if type(images) is not int or images < 1:
        raise ValueError(f"images {images!r}")
    classes = content["classes"]
    if classes is not None:
        if not classes or not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise ValueError(f"classes {classes!r}")
        classes = tuple(classes)
    files = {}
    for name, entry in content["files"].items():
        if not name.endswith(".npy") or Path(name).name != name:
            raise ValueError(f"file name {name!r}")
        entry = StoredFile(**entry)
        files[name] = replace(entry, shape=tuple(entry.shape))
    keys = ("source", "images_sha256", "limit", "seed")
    rest = {key: content[key] for key in keys}
    return Manifest(**rest, images=images, severities=severities, files=files, classes=classes)
