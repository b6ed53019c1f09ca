"""Parts that all figures share: panels, titles and labels, legends, and the bands behind a frequency axis."""

import io
import re
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from freqfast.analysis.colours import band_colour, run_style
from freqfast.spectral.bands import Bands
from freqfast.spectral.spectrum import MAX_FREQUENCY

COLUMN = 3.5
"""Width of a figure in one column of a paper, in inches."""

_CHARACTER = 0.062  # inches, of text of 7 points, on average


class NotebookFigure(Figure):
    """A figure that a notebook shows as the last value of a cell, without ``%matplotlib inline`` or pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def panels(rows: int, columns: int, width: float, height: float, **options: object) -> tuple[Figure, np.ndarray]:
    """A figure of this size in inches, and its panels' axes ``(rows, columns)``; options go to `Figure.subplots`."""
    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)  # type: ignore[call-overload]


def dress(axes: Axes, title: str = "", x: str = "", y: str = "", grid: str = "both") -> None:
    """Set the title and the axis labels, with small text, a light grid and no frame at the top and right."""
    axes.set_title(title, fontsize=8, loc="left", parse_math=False)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if grid:
        axes.grid(axis=grid, alpha=0.25, linewidth=0.6)  # type: ignore[arg-type]
        axes.set_axisbelow(True)


def plane_extent(height: int, width: int) -> tuple[float, float, float, float]:
    """Edges in cycles/pixel of a picture of the frequency plane, for ``imshow(extent=..., origin="lower")``."""
    bottom, left = -(height // 2) - 0.5, -(width // 2) - 0.5
    return left / width, (left + width) / width, bottom / height, (bottom + height) / height


def shade_bands(axes: Axes, bands: Bands, names: bool = True) -> None:
    """Shade each band's part of a radial frequency axis in its colour, with its name at the top."""
    for i, (name, low, high) in enumerate(zip(bands.names, bands.edges, bands.edges[1:], strict=False)):
        high = min(high, MAX_FREQUENCY)
        axes.axvspan(low, high, color=band_colour(name, i), alpha=0.12, linewidth=0)
        if names:
            middle = (low + high) / 2
            axes.text(middle, 0.98, name, transform=axes.get_xaxis_transform(), fontsize=7, ha="center", va="top")
    axes.set_xlim(0, MAX_FREQUENCY)


def runs_below(figure: Figure, labels: Sequence[str], **style: object) -> None:
    """Add a legend of the runs below the panels and enlarge the figure for it; a single run needs none.

    It has as many columns as fit, and breaks names that are longer than the figure is wide. `style` replaces parts of
    the runs' own styles.
    """
    if len(labels) < 2:
        return
    handles = [Line2D([], [], **({"markersize": 3} | run_style(i) | style)) for i in range(len(labels))]  # type: ignore[arg-type]
    width, height = figure.get_size_inches()
    names = [wrap(label, int((width - 0.7) / _CHARACTER)) for label in labels]
    longest = max(len(line) for name in names for line in name.split("\n"))
    columns = max(1, int(width / (_CHARACTER * longest + 0.6)))
    figure.set_figheight(height + 0.13 * (1 + sum(1 + name.count("\n") for name in names) / min(columns, len(names))))
    legend = figure.legend(
        handles, names, loc="outside lower center", ncols=columns, fontsize=7, frameon=False, handlelength=3
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def wrap(label: str, width: int = 22) -> str:
    """A label in lines of at most `width` characters, broken after one of ``_./ -`` where possible."""
    lines = [""]
    for word in re.findall(rf"[^_./ -]{{0,{width - 1}}}[_./ -]|[^_./ -]{{1,{width}}}", label):
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(lines)
