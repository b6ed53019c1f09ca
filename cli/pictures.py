"""Pictures made of characters: with colours where the terminal has them, of different characters elsewhere."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

if TYPE_CHECKING:
    from freqfast.spectra import Spectra

_RANGE_DB = 30
_WIDEST = 64
_TICKS_CPP = (-0.5, 0.0, -0.25, 0.25)  # the first ones have precedence where space is short
_RAMP = " .:-=+*#%@"


def _has_colours(console: Console) -> bool:
    """Whether pictures for this console may use colours and block characters."""
    return console.color_system is not None and not console.no_color and not console.options.ascii_only


def band_mark(name: str, index: int, cells: int, console: Console) -> Text:
    """Cells in a band's colour, or of its own character where the console has no colours."""
    if _has_colours(console):
        from freqfast.analysis.colours import band_colour

        return Text("█" * cells, style=band_colour(name, index))
    fills = "#+-." if console.options.ascii_only else "█▒░▓"
    return Text(fills[index % len(fills)] * cells)


class BandBar:
    """Shares of the bands side by side, from low to high; shorter where they do not sum to 1.

    Args:
        names: The bands.
        shares: ``(B,)``, a share for each.
        width: Cells of a sum of 1; fewer where the table has no room for them.
    """

    def __init__(self, names: Sequence[str], shares: np.ndarray, width: int) -> None:
        self.names, self.shares, self.width = names, shares, width

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(4, self.width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(self.width, options.max_width)
        edges = [round(width * share) for share in accumulate(map(float, self.shares), initial=0.0)]
        cells = [end - start for start, end in pairwise(edges)]
        marks = [band_mark(name, i, cells[i], console) for i, name in enumerate(self.names)]
        yield Text().join(marks)


def spectrum_text(spectra: "Spectra", number: int, console: Console) -> Text:
    """A filter's power spectrum in dB below its peak, fy upwards, with axes in cycles/pixel and the scale.

    A character holds two rows of the spectrum, as a half block of two colours; without colours the density of a
    character shows the mean of both. The picture is as wide as the console allows, at most 64 points.
    """
    widest = max(4, min(_WIDEST, console.width - 8))
    points = min(len(spectra.frequencies), widest)
    scale = max(1, min(widest, 2 * (console.height - 7)) // points)
    level = np.kron(_level(_pooled(spectra.power[number], points)), np.ones((scale, scale)))[::-1]
    size = len(level)
    level = np.pad(level, ((0, size % 2), (0, 0)), mode="edge")
    cells = _coloured if _has_colours(console) else _dense

    places = {tick: int(np.clip(round((tick + 0.5) * size), 0, size - 1)) for tick in _TICKS_CPP}
    labels = {(size - 1 - place) // 2: f"{tick:g}" for tick, place in reversed(places.items())}
    vertical, horizontal, corner = "|-+" if console.options.ascii_only else "│─└"
    lines = [Text("fy (cycles/pixel)")]
    for i, pair in enumerate(level.reshape(-1, 2, size)):
        lines.append(Text(f"{labels.get(i, ''):>5} {vertical}").append_text(cells(pair)))
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


def _dense(pair: np.ndarray) -> Text:
    """Two rows as characters of their density."""
    return Text("".join(_RAMP[round(9 * value)] for value in pair.mean(0)))


def _coloured(pair: np.ndarray) -> Text:
    """Two rows as half blocks."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    text = Text()
    for top, bottom in colormaps["viridis"](pair.T):
        text.append("▀", style=f"{to_hex(top)} on {to_hex(bottom)}")
    return text


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
