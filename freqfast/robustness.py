"""Accuracy under corruption: model and corrupted images in, a report out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from freqfast.corruptions import CORRUPTIONS, EXTRA, FAMILIES, MAIN, SEVERITIES, corrupt
from freqfast.corruptions.manifest import read_manifest
from freqfast.models import channels_last
from freqfast.modulation import bake_modulation
from freqfast.precision import resolve_device, resolve_precision

__all__ = [
    "Cell",
    "Classifier",
    "CorruptionReport",
    "corrupted_cells",
    "evaluate_cells",
    "evaluate_images",
    "stored_cells",
]

Progress = Callable[[int, int, str], None]


class Cell(NamedTuple):
    """Images of one corruption at one severity."""

    corruption: str
    severity: int
    images: np.ndarray
    """uint8 ``(N, H, W, 3)``."""
    labels: np.ndarray
    """int64 ``(N,)``."""


@dataclass(frozen=True)
class CorruptionReport:
    """Accuracies of one model; all are fractions.

    Attributes:
        accuracy: Accuracy by corruption and severity.
        images: Number of images in each cell.
        clean: Accuracy on uncorrupted images, where it was measured.
    """

    accuracy: Mapping[str, Mapping[int, float]]
    images: int
    clean: float | None = None

    def mean(self, corruptions: Sequence[str] | None = None) -> float | None:
        """Mean accuracy over corruptions and severities; None unless every one of them was measured in full.

        Args:
            corruptions: Names; by default all that were measured.
        """
        names = tuple(self.accuracy) if corruptions is None else corruptions
        if not names or any(not self.accuracy.get(name) for name in names):
            return None
        if corruptions is not None and any(set(self.accuracy[name]) != set(SEVERITIES) for name in names):
            return None
        return float(np.mean([np.mean(list(self.accuracy[name].values())) for name in names]))

    @property
    def mean15(self) -> float | None:
        """Mean over the 15 main corruptions, the figure that papers call average robustness."""
        return self.mean(MAIN)

    @property
    def mean19(self) -> float | None:
        """Mean over all 19 corruptions of the published archive."""
        return self.mean((*MAIN, *EXTRA))

    @property
    def families(self) -> dict[str, float]:
        """Mean over the main corruptions of each family, for the families that were measured in full."""
        main = {family: [n for n in names if n in MAIN] for family, names in FAMILIES.items()}
        means = {family: self.mean(names) for family, names in main.items() if names}
        return {family: value for family, value in means.items() if value is not None}

    @property
    def missing(self) -> list[str]:
        """Corruptions of the published archive that were not measured."""
        return [name for name in (*MAIN, *EXTRA) if name not in self.accuracy]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values: clean, corrupted, mean15, mean19, families, accuracy, images, missing."""
        return {
            "clean": self.clean,
            "corrupted": self.mean(),
            "mean15": self.mean15,
            "mean19": self.mean19,
            "families": self.families,
            "accuracy": {n: {str(s): a for s, a in by.items()} for n, by in self.accuracy.items()},
            "images": self.images,
            "missing": self.missing,
        }


class Classifier:
    """A model made ready for fast inference: baked, in eval mode, channels last, in the device's best precision.

    Args:
        model: Maps normalised images ``(N, 3, H, W)`` to logits; it is copied, not changed.
        mean: Channel means of the normalisation, in pixels of [0, 1].
        std: Its standard deviations.
        device: Where to run; by default where the model is.
        precision: See `freqfast.precision.resolve_precision`.
        batch_size: Images at a time.

    Raises:
        ValueError: If the device is not here or the precision unknown.
    """

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device | str | None = None,
        precision: str = "auto",
        batch_size: int = 250,
    ) -> None:
        self.device = next(model.parameters()).device if device is None else resolve_device(device)
        self.dtype = getattr(torch, resolve_precision(precision, self.device))
        self.batch_size = batch_size
        copy = bake_modulation(deepcopy(model)).eval().requires_grad_(False)
        self.model = channels_last(copy.to(self.device, self.dtype))
        scale = 255 * torch.tensor(std, dtype=torch.float64)
        shift = torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        self._scale = scale.reciprocal().to(self.device, torch.float32).view(1, 3, 1, 1)
        self._shift = shift.to(self.device, torch.float32).view(1, 3, 1, 1)

    @torch.inference_mode()
    def predict(self, images: np.ndarray, progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Class of each image.

        Args:
            images: uint8 ``(N, H, W, 3)``; a memory map is read batch by batch.
            progress: Called with the number of images done.

        Returns:
            int64 ``(N,)``.
        """
        classes = []
        for start in range(0, len(images), self.batch_size):
            batch = np.array(images[start : start + self.batch_size])
            classes.append(self.model(self._normalise(torch.from_numpy(batch))).argmax(1))
            if progress:
                progress(start + len(batch))
        return torch.cat(classes).cpu().numpy()

    def _normalise(self, batch: Tensor) -> Tensor:
        """uint8 NHWC to normalised NCHW; the permuted view is channels last already."""
        pixels = batch.to(self.device).permute(0, 3, 1, 2).float()
        return pixels.mul_(self._scale).sub_(self._shift).to(self.dtype)


def evaluate_images(
    classifier: Classifier, images: np.ndarray, labels: np.ndarray, progress: Callable[[int], None] | None = None
) -> np.ndarray:
    """Whether each image is classified correctly, ``(N,)`` bool."""
    return classifier.predict(images, progress) == np.asarray(labels)


def evaluate_cells(
    classifier: Classifier,
    cells: Iterable[Cell],
    total: int,
    clean: float | None = None,
    progress: Progress | None = None,
) -> CorruptionReport:
    """Accuracy of a classifier on each cell.

    Args:
        classifier: The model.
        cells: Corrupted images, one cell at a time.
        total: Number of cells, for the progress.
        clean: Accuracy on uncorrupted images, to report beside.
        progress: Called as ``progress(done, total, message)`` after each cell.
    """
    accuracy: dict[str, dict[int, float]] = {}
    images = 0
    for done, cell in enumerate(cells, 1):
        correct = evaluate_images(classifier, cell.images, cell.labels)
        accuracy.setdefault(cell.corruption, {})[cell.severity] = float(correct.mean())
        images = len(correct)
        if progress:
            progress(done, total, f"{cell.corruption} {cell.severity}")
    return CorruptionReport(accuracy, images, clean)


def corrupted_cells(
    images: np.ndarray, labels: np.ndarray, corruptions: Sequence[str], seed: int = 0
) -> Iterator[Cell]:
    """Corrupt images on the fly, at every severity.

    Args:
        images: uint8 ``(N, H, W, 3)``.
        labels: ``(N,)``.
        corruptions: Names, see `freqfast.corruptions`.
        seed: Seed of the corruptions.
    """
    for name in corruptions:
        for severity in SEVERITIES:
            yield Cell(name, severity, corrupt(images, name, severity, seed), labels)


def stored_cells(folder: str | Path, limit: int | None = None) -> tuple[list[str], Iterator[Cell]]:
    """Cells of a folder in the published CIFAR-10-C layout: ``<corruption>.npy`` and ``labels.npy``.

    Each file holds five blocks of equal length, severity 1 first; it is memory-mapped and read once. Where
    ``freqfast corrupt`` has left a manifest, the files hold the severities that it lists, and corruptions of other
    packages count as well.

    Args:
        folder: The folder.
        limit: Images of each block to use, from its start; all by default.

    Returns:
        Names of the corruptions that are there, and their cells. Every file is checked before the first cell comes.

    Raises:
        FileNotFoundError: If the folder, the labels, or all corruptions are missing.
        ValueError: If a file is not what the layout says; the message names it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; name one that holds labels.npy and <corruption>.npy files")
    manifest = read_manifest(folder)
    severities = manifest.severities if manifest else SEVERITIES
    labels = _load(folder / "labels.npy")
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) == 0 or len(labels) % len(severities):
        raise ValueError(
            f"{folder / 'labels.npy'} must hold integers, a multiple of {len(severities)} of them, got {labels.dtype} "
            f"of shape {labels.shape}"
        )
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    names = [
        name
        for name in dict.fromkeys((*CORRUPTIONS, *(manifest.corruptions if manifest else ())))
        if (folder / f"{name}.npy").exists()
    ]
    if not names:
        raise FileNotFoundError(f"{folder} holds no corruption; the first one looked for is {MAIN[0]}.npy")
    files = {name: _load(folder / f"{name}.npy") for name in names}
    for name, images in files.items():
        if (
            images.dtype != np.uint8
            or images.ndim != 4
            or images.shape[3] != 3
            or len(images) != len(labels)
            or not images.size
        ):
            raise ValueError(
                f"{folder / name}.npy must be uint8 of shape ({len(labels)}, H, W, 3) like labels.npy, got "
                f"{images.dtype} of shape {images.shape}"
            )
    block = len(labels) // len(severities)
    use = min(block, limit or block)

    def cells() -> Iterator[Cell]:
        for name, images in files.items():
            for i, severity in enumerate(severities):
                rows = slice(i * block, i * block + use)
                yield Cell(name, severity, images[rows], np.asarray(labels[rows], dtype=np.int64))

    return names, cells()


def _load(path: Path) -> np.ndarray:
    """Memory-map an array without ever unpickling."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        return np.lib.format.open_memmap(path, mode="r")  # unlike numpy.load it takes neither archives nor objects
    except Exception as error:  # a damaged header can make NumPy raise nearly anything
        raise ValueError(f"{path} is not a sound .npy array: {' '.join(str(error).split())}") from None
