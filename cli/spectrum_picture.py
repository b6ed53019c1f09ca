"""A filter's power spectrum, drawn in the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from freqfast.cli.terminal import has_colours
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from freqfast.spectra import Spectra

__all__ = ["spectrum_text"]

_RANGE_DB = 30
_WIDEST = 64
_TICKS_CPP = (-0.5, 0.0, -0.25, 0.25)  # the first ones have precedence where space is short
_RAMP = " .:-=+*#%@"


def spectrum_text(spectra: "Spectra", number: int, console: Console) -> Text:
    """A filter's power spectrum in dB below its peak, fy upwards, with axes in cycles/pixel and the scale.

    A character holds two rows of the spectrum, as a half block of two colours; without colours the density of a
    character shows the mean of both. The picture is as wide as the console allows, at most 64 points.
    """
    from matplotlib import colormaps

    widest = max(4, min(_WIDEST, console.width - 8))
    points = min(len(spectra.frequencies), widest)
    scale = max(1, min(widest, 2 * (console.height - 7)) // points)
    level = np.kron(_level(_pooled(spectra.power[number], points)), np.ones((scale, scale)))[::-1]
    size = len(level)
    level = np.pad(level, ((0, size % 2), (0, 0)), mode="edge")
    pairs = level.reshape(-1, 2, size)
    colours = has_colours(console)
    viridis = colormaps["viridis"]

    def cells(row: np.ndarray) -> Text:
        if not colours:
            return Text("".join(_RAMP[round(9 * value)] for value in row.mean(0)))
        text = Text()
        for top, bottom in zip(*row, strict=True):
            text.append("▀", style=f"{_rgb(viridis(top))} on {_rgb(viridis(bottom))}")
        return text

    places = {tick: int(np.clip(round((tick + 0.5) * size), 0, size - 1)) for tick in _TICKS_CPP}
    labels = {(size - 1 - place) // 2: f"{tick:g}" for tick, place in reversed(places.items())}
    vertical, horizontal, corner = "|-+" if console.options.ascii_only else "│─└"
    lines = [Text("fy (cycles/pixel)")]
    for i, row in enumerate(pairs):
        lines.append(Text(f"{labels.get(i, ''):>5} {vertical}").append_text(cells(row)))
    gradient = np.linspace(0, 1, 20)
    lines += [
        Text(f"{'':6}{corner}{horizontal * size}"),
        Text(f"{'':7}{_axis(places, size)}"),
        Text(f"{'fx (cycles/pixel)':>{max(24, size + 7)}}"),
        Text("\npower below the filter's peak:"),
        Text(f"-{_RANGE_DB} dB [").append_text(cells(np.stack([gradient, gradient]))).append("] 0 dB"),
    ]
    return Text("\n").join(lines)


def _pooled(power: np.ndarray, points: int) -> np.ndarray:
    """Means of the spectrum over blocks, so that it has this many points an axis."""
    starts = np.arange(points) * len(power) // points
    sizes = np.diff([*starts, len(power)])
    blocks = np.add.reduceat(np.add.reduceat(power.astype(np.float64), starts, 0), starts, 1)
    means: np.ndarray = blocks / np.outer(sizes, sizes)
    return means


def _level(power: np.ndarray) -> np.ndarray:
    """Power as a place in the scale, 0 to 1; all 0 for a filter without energy."""
    peak = power.max()
    if peak <= 0:
        return np.zeros_like(power)
    decibel = 10 * np.log10(np.maximum(power / peak, 1e-30))
    return np.clip(1 + decibel / _RANGE_DB, 0, 1)


def _axis(places: dict[float, int], size: int) -> str:
    """Tick labels under their columns; those that would touch another are left out."""
    line = [" "] * (size + 2)
    for tick, place in places.items():
        label = f"{tick:g}"
        start = max(0, place - len(label) // 2)
        around = slice(max(0, start - 1), start + len(label) + 1)
        if "".join(line[around]).isspace() and start + len(label) <= len(line):
            line[start : start + len(label)] = label
    return "".join(line)


def _rgb(colour: Sequence[float]) -> str:
    red, green, blue = (round(255 * part) for part in colour[:3])
    return f"rgb({red},{green},{blue})"
