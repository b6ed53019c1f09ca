"""Feature spectra: the spatial frequencies of what passes through a network, stage by stage, and its variance."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import h5py
import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from freqfast.analysis.definition import Analysis, Count, ImageResult, Table
from freqfast.analysis.stages import as_maps, find_stages
from freqfast.models.classifier import Classifier
from freqfast.progress import Progress, notebook_progress
from freqfast.records import Floats, check_fields
from freqfast.spectral.bands import Bands
from freqfast.spectral.surgery import copy_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FLOOR = 1e-6  # added to amplitudes before the logarithm: maps after a ReLU may be 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Stage:
    """The feature maps of one stage of a network.

    Attributes:
        name: Name of the module whose output they are.
        channels: Number of maps of an image.
        height: Rows of a map.
        width: Columns of a map.
        left_out: Tokens that are no part of a map, such as a class token.
        frequency: Frequencies along the diagonal, in cycles/pixel of the map, ``(F,)``, from 0 to 0.5 at most.
        log_amplitude: Natural logarithm of the amplitude there, relative to that of frequency 0, ``(F,)``.
        variance: Variance of the values of a map.

    Raises:
        ValueError: If a value has the wrong type or is out of range, or the arrays differ in shape.
    """

    name: str
    channels: Count
    height: Count
    width: Count
    left_out: Annotated[int, Field(ge=0)] = 0
    frequency: Floats
    log_amplitude: Floats
    variance: Annotated[float, Field(ge=0)]

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)
        if self.frequency.ndim != 1 or self.frequency.shape != self.log_amplitude.shape:
            raise ValueError(f"{self.name} must have one log amplitude for each frequency")


@dataclass(frozen=True, eq=False, kw_only=True)
class Features(ImageResult):
    """The spectra and variances of feature maps, by depth.

    Attributes:
        stages: The stages, in the order in which they run.

    Raises:
        ValueError: If there is no stage.
    """

    analysis: Literal["features"] = "features"
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if not self.stages:
            raise ValueError("stages must not be empty")

    def to_hdf5(self) -> bytes:
        """The record as an HDF5 file: a group NXdata for each stage, in their order, and one of the variances by depth.

        Examples:
            >>> ramp = {"frequency": [0, 0.5], "log_amplitude": [0, -3]}
            >>> stage = Stage(name="conv1", channels=8, height=2, width=2, variance=1.0, **ramp)
            >>> with h5py.File(io.BytesIO(Features(stages=(stage,), images=1).to_hdf5())) as file:
            ...     list(file["entry"])
            ['variance', 'stage conv1']
        """
        image = io.BytesIO()
        with h5py.File(image, "w") as file:
            file.attrs.update(NX_class="NXroot", default="entry", creator="freqfast")
            entry = file.create_group("entry", track_order=True)
            entry.attrs.update(NX_class="NXentry", default="variance", command=self.command or "", images=self.images)
            depth = entry.create_group("variance")
            depth.attrs.update(NX_class="NXdata", signal="variance", axes=["stage"])
            depth["stage"] = np.array([stage.name for stage in self.stages], h5py.string_dtype())
            depth["variance"] = np.array([stage.variance for stage in self.stages])
            for stage in self.stages:
                group = entry.create_group(f"stage {stage.name}".replace("/", "_"))
                group.attrs.update(NX_class="NXdata", signal="log_amplitude", axes=["frequency"], layer=stage.name)
                group.attrs.update(channels=stage.channels, height=stage.height, width=stage.width)
                group["frequency"], group["log_amplitude"] = stage.frequency, stage.log_amplitude
                group["frequency"].attrs["units"] = "1/pixel"
        return image.getvalue()


def diagonal_spectrum(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Frequencies along the diagonal of the spectrum of maps, and the logarithm of each map's amplitude there.

    After Park and Kim (2022, arXiv:2202.06709), whose figure shows the half of the diagonal from frequency 0 on.

    Args:
        maps: float ``(..., H, W)``.

    Returns:
        Frequencies in cycles/pixel, ``(F,)`` with ``F = min(H, W) // 2 + 1``, and ``(..., F)``.

    Examples:
        >>> frequency, log_amplitude = diagonal_spectrum(torch.eye(4))  # a diagonal line has waves across it alone
        >>> frequency.tolist(), [round(value, 2) for value in log_amplitude.exp().tolist()]
        ([0.0, 0.25, 0.5], [4.0, 0.0, 4.0])
    """
    height, width = maps.shape[-2:]
    frequency = torch.arange(min(height, width) // 2 + 1) / min(height, width)
    rows, columns = (frequency * height).round().long(), (frequency * width).round().long()
    spectrum = torch.fft.fft2(maps)[..., rows, columns]
    return frequency, (spectrum.abs() + _FLOOR).log()


def feature_spectra(
    classifier: Classifier, images: np.ndarray, labels: np.ndarray | None = None, progress: Progress | None = None
) -> Features:
    """The relative log amplitude of a network's feature maps against frequency, and their variance, stage by stage.

    What a stage is, and how tokens become maps: `freqfast.analysis.stages.find_stages`.

    Args:
        classifier: The network, in its precision.
        images: uint8 ``(N, H, W, 3)``.
        labels: Not used; every analysis of images gets them.
        progress: Called as ``progress(done, total, message)``; by default a bar in a notebook.

    Returns:
        Means over images and channels.

    Raises:
        ValueError: If no module's output is a map.

    Examples:
        >>> from freqfast.models import Network, Preprocessing
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 10, 3), nn.AdaptiveAvgPool2d(1))
        >>> classifier = Classifier(Network("mine", model, Preprocessing((0.5,) * 3, (0.25,) * 3)))
        >>> found = feature_spectra(classifier, np.zeros((2, 8, 8, 3), np.uint8))
        >>> [(stage.name, stage.channels, stage.height) for stage in found.stages]
        [('0', 4, 6), ('2', 10, 4)]
    """
    progress = progress or notebook_progress()
    size = classifier.images_at_once(*images.shape[1:3])
    model = copy_model(classifier.model).to(classifier.device).float()  # a copy, so that hooks need not be removed
    if classifier.dtype == torch.bfloat16:
        model.bfloat16()
    sums: dict[str, list[Any]] = {}

    def add(name: str, maps: Tensor) -> None:
        frequency, log_amplitude = diagonal_spectrum(maps)
        relative = (log_amplitude - log_amplitude[..., :1]).mean(1).sum(0).double().cpu()
        variance = maps.var((2, 3), correction=0).mean(1).sum().double().cpu()
        total = sums.setdefault(name, [frequency, tuple(maps.shape[1:]), 0, 0, 0])
        total[2:] = total[2] + relative, total[3] + variance, total[4] + len(maps)  # a stage may run more than once

    def levels(start: int, stop: int) -> Tensor:
        return classifier.normalise(torch.from_numpy(np.array(images[start:stop], order="C"))).to(classifier.dtype)

    with torch.inference_mode():
        found = find_stages(model, levels(0, 2))
        for name, (grid, _) in found.items():
            model.get_submodule(name).register_forward_hook(
                lambda _module, _inputs, output, name=name, grid=grid: add(name, as_maps(output, grid))
            )
        for start in range(0, len(images), size):
            model(levels(start, start + size))
            if progress:
                progress(min(start + size, len(images)), len(images), "feature spectra")
    stages = [
        Stage(
            name=name,
            channels=shape[0],
            height=shape[1],
            width=shape[2],
            left_out=found[name][1],
            frequency=frequency.double().numpy(),
            log_amplitude=(amplitude / count).numpy(),
            variance=float(variance / count),
        )
        for name, (frequency, shape, amplitude, variance, count) in sums.items()
    ]
    return Features(stages=tuple(stages), images=len(images))


def draw_features(found: Mapping[str, Features], bands: Bands | None = None) -> "Figure":
    """Log amplitude against frequency, a panel for each network and a curve for each stage; below, their variance."""
    from matplotlib import colormaps

    from freqfast.analysis.colours import run_style
    from freqfast.analysis.panels import COLUMN, dress, panels, runs_below, wrap

    figure, grid = panels(len(found) + 1, 1, COLUMN, 2.1 * (len(found) + 1))
    for axes, (label, one) in zip(grid[:, 0], found.items(), strict=False):
        shades = colormaps["viridis"](np.linspace(0, 0.9, len(one.stages)))
        for shade, stage in zip(shades, one.stages, strict=True):
            axes.plot(stage.frequency, stage.log_amplitude, color=shade, linewidth=1)
        dress(axes, wrap(label, 40), "frequency (cycles/pixel of the map)", "log amplitude - at 0")
    for i, one in enumerate(found.values()):
        depth = np.linspace(0, 1, len(one.stages) + 1)[1:]
        grid[-1, 0].plot(depth, [stage.variance for stage in one.stages], **run_style(i), markersize=3, linewidth=1.2)
    grid[-1, 0].set_yscale("log")
    dress(grid[-1, 0], "Variance of the maps", "depth", "variance")
    runs_below(figure, list(found))
    return figure


def _describe(label: str, found: Features) -> str:
    first, last = found.stages[0], found.stages[-1]
    return (
        f"{label}: at the highest frequency {first.log_amplitude[-1]:+.2f} in {first.name} and "
        f"{last.log_amplitude[-1]:+.2f} in {last.name}; variance {first.variance:.3g} and {last.variance:.3g}"
    )


def _summarise(found: Features) -> list[str | Table]:
    rows = [
        (
            stage.name,
            f"{stage.channels}x{stage.height}x{stage.width}",
            f"{stage.log_amplitude[len(stage.frequency) // 2]:+.2f}",
            f"{stage.log_amplitude[-1]:+.2f}",
            f"{stage.variance:.4g}",
        )
        for stage in found.stages
    ]
    header = ("stage", "maps", "log amplitude, middle", "highest frequency", "variance")
    table = Table("log amplitude relative to frequency 0, by stage", header, rows)
    left_out = max(stage.left_out for stage in found.stages)
    told = [f"left out: {left_out} token(s) in front of the grid, such as a class token"]
    return [table, *(told if left_out else [])]


FEATURES = Analysis(
    run=feature_spectra,
    result=Features,
    figure=draw_features,
    title="Feature spectra",
    caption="Log amplitude of the feature maps' Fourier transform along its diagonal, relative to frequency 0 "
    "(dark: first stage, light: last), and their variance, after Park and Kim (2022, arXiv:2202.06709).",
    describe=_describe,
    summarise=_summarise,
    precision="float32",
)
