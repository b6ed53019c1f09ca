"""What the analyses find: frozen dataclasses of fractions and frequencies, and their JSON form."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from freqfast.files import write_text
from freqfast.spectral.bands import Bands
from freqfast.spectral.spectrum import MAX_FREQUENCY

__all__ = [
    "ANALYSES",
    "Ablation",
    "Analysis",
    "HeatMap",
    "ImageAnalysis",
    "Quality",
    "Reliance",
    "read_analysis",
    "write_analysis",
]

SCHEMA = 1
MAX_NORM = 1e6
"""The largest L2 norm of a perturbation; pixels lie in [0, 1]."""
Floats = NDArray[np.float64]


class Analysis:
    """What an analysis found. Accuracies, errors and shares are fractions."""

    kind: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values, with the kind of analysis and the number of this form."""
        values = {f.name: _to_json(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]
        return {"schema": SCHEMA, "analysis": self.kind, **values}

    def _fractions(self, **shapes: tuple[int, ...]) -> None:
        """Make fields arrays, or floats for the shape (), and check that they hold fractions."""
        for name, shape in shapes.items():
            self._array(name, shape, 0, 1)

    def _array(self, name: str, shape: tuple[int, ...], low: float, high: float) -> None:
        try:
            array = np.asarray(getattr(self, name), dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must hold numbers, got {getattr(self, name)!r:.80}") from None
        if array.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
        if not ((array >= low) & (array <= high)).all():
            raise ValueError(f"{name} must lie in {low:g}..{high:g}, got {array.min():g} to {array.max():g}")
        object.__setattr__(self, name, array if shape else float(array))

    def _count(self, name: str, low: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value < 2**53:
            raise ValueError(f"{name} must be an integer from {low}, got {value!r:.80}")
        object.__setattr__(self, name, int(value))


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageAnalysis(Analysis):
    """What an analysis found on images.

    Attributes:
        images: Number of images.
        data: What the data is called that they are of; None where that is not known, as in files of older versions.
        data_sha256: SHA-256 of all of that data, as in a run's ``environment.json``.
    """

    images: int
    data: str | None = None
    data_sha256: str | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        self._count("images", 1)
        for name in ("data", "data_sha256"):
            if not isinstance(value := getattr(self, name), str | None):
                raise ValueError(f"{name} must be text, got {value!r:.80}")


@dataclass(frozen=True, eq=False)
class HeatMap(ImageAnalysis):
    """The Fourier heat map.

    Attributes:
        error: Error under the perturbation at each frequency, ``(H, W)``, axes ``(fy, fx)`` in the order of
            `freqfast.frequencies`: the lowest in the middle.
        clean_error: Error without perturbation.
        norm: L2 norm of the perturbation of each channel, pixels in [0, 1].
        seed: Seed of the signs.
    """

    kind = "heatmap"
    error: Floats
    clean_error: float
    norm: float
    seed: int

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        shape = np.shape(self.error)
        if len(shape) != 2 or not all(shape):
            raise ValueError(f"error must have two dimensions, none of them 0, got shape {shape}")
        self._fractions(error=shape, clean_error=())
        self._array("norm", (), 0, MAX_NORM)
        self._count("seed", 0)

    def band_error(self, bands: Bands) -> Floats:
        """Mean error over the frequencies of each band, ``(B,)``; NaN for a band without any."""
        fy, fx = (np.fft.fftshift(np.fft.fftfreq(n)) for n in self.error.shape)
        band = np.digitize(np.hypot(fy[:, None], fx[None, :]), bands.edges[1:-1]).ravel()
        total = np.bincount(band, self.error.ravel(), len(bands))
        count = np.bincount(band, minlength=len(bands))
        means: Floats = np.where(count, total / np.maximum(count, 1), np.nan)
        return means


@dataclass(frozen=True, eq=False)
class Reliance(ImageAnalysis):
    """Accuracy on images that keep a part of their spectrum, and their mean always.

    Attributes:
        cutoffs: Cut-offs c in cycles/pixel, ``(C,)``, increasing.
        low: Accuracy where ``rho < c`` is kept, ``(C,)``.
        high: Accuracy where ``rho >= c`` is kept, ``(C,)``.
        band: Accuracy where ``c <= rho < next c`` is kept, ``(C,)``; from the last cut-off on, all.
        clean: Accuracy on whole images.
    """

    kind = "reliance"
    cutoffs: Floats
    low: Floats
    high: Floats
    band: Floats
    clean: float

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        shape = (np.size(self.cutoffs),)
        self._array("cutoffs", shape, 0, MAX_FREQUENCY)
        if not shape[0] or not (np.diff(self.cutoffs) > 0).all():
            raise ValueError(f"cutoffs must increase, got {self.cutoffs.tolist()}")
        self._fractions(low=shape, high=shape, band=shape, clean=())


@dataclass(frozen=True, eq=False)
class Ablation(ImageAnalysis):
    """Accuracy without a band, by band.

    Attributes:
        bands: The bands.
        layer: Name of the convolution whose filters were removed.
        counts: Filters of each band, ``(B,)``.
        filters: Accuracy without the band's filters, ``(B,)``.
        control: Accuracy without as many filters at random, mean of several draws, ``(B,)``.
        response: Accuracy with the band taken out of every filter's response, ``(B,)``.
        clean: Accuracy of the whole model.
        seed: Seed of the random choices.
    """

    kind = "ablation"
    bands: Bands
    layer: str
    counts: NDArray[np.int64]
    filters: Floats
    control: Floats
    response: Floats
    clean: float
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        object.__setattr__(self, "bands", Bands.of(self.bands))
        shape = (len(self.bands),)
        self._array("counts", shape, 0, 2**31)
        object.__setattr__(self, "counts", self.counts.astype(np.int64))
        self._fractions(filters=shape, control=shape, response=shape, clean=())
        self._count("seed", 0)


@dataclass(frozen=True, eq=False)
class Quality(Analysis):
    """Quality of a layer's filters.

    Attributes:
        layer: The layer's name.
        kernels: Number of kernels, ``O * I``.
        sparsity: Share of the kernels that are near zero.
        variance: Share of the variance along each principal component, ``(kH * kW,)``.
        variance_entropy: Its entropy to base 10.
        random_entropy: That of layers of the same shape with Gaussian weights, on average.
        orthogonality: One minus the mean absolute cosine between two filters.
    """

    kind = "quality"
    layer: str
    kernels: int
    sparsity: float
    variance: Floats
    variance_entropy: float
    random_entropy: float
    orthogonality: float

    def __post_init__(self) -> None:
        """Check the fields."""
        self._count("kernels", 1)
        self._fractions(sparsity=(), variance=(np.size(self.variance),), orthogonality=())
        for name in ("variance_entropy", "random_entropy"):
            self._array(name, (), 0, 10)


ANALYSES: dict[str, type[Analysis]] = {kind.kind: kind for kind in (HeatMap, Reliance, Ablation, Quality)}
"""The classes by the name that commands, files and reports use."""


def write_analysis(path: str | Path, found: Analysis) -> None:
    """Write what an analysis found as JSON, whole or not at all."""
    write_text(path, json.dumps(found.to_dict(), indent=2) + "\n")


def read_analysis(path: str | Path) -> Analysis:
    """Read what `write_analysis` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; `freqfast heatmap RUN`, say, leaves such a file in the run")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("analysis") not in ANALYSES:
            raise ValueError(f"it holds none of the analyses {', '.join(ANALYSES)}")
        if values.pop("schema", None) != SCHEMA:
            raise ValueError("its schema is not the one that this version reads (1); update freqfast")
        return ANALYSES[values.pop("analysis")](**values)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not an analysis by freqfast: {' '.join(str(error).split())}") from None


def _to_json(value: Any) -> Any:
    if isinstance(value, Bands):
        return {"edges": list(value.edges), "names": list(value.names)}
    return value.tolist() if isinstance(value, np.ndarray) else value
