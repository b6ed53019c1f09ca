"""Filters beside their power spectra."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from freqfast.analysis.colours import band_colour
from freqfast.analysis.panels import COLUMN, NotebookFigure
from freqfast.spectra import Spectra

# All lengths in inches: laid out by hand, since matplotlib's own layout of a hundred small panels takes seconds.
_MARGIN, _HEAD, _NUMBER, _BAR = 0.06, 0.24, 0.15, 0.44
_PAIR = (COLUMN - 2 * _MARGIN) / 3
_CELL = 0.5 * (_PAIR - 0.13)
_NOTE = (
    "{kernel} (grey is zero) beside its power spectrum: fx to the right and fy downwards, as the kernel's "
    "rows, from -0.5 to 0.5 cycles/pixel. Above them the filter's number and the share of its energy that lies in the "
    "band."
)


def filter_grid(spectra: Spectra, columns: int = 6, rows: int | None = None, title: str | None = None) -> Figure:
    """Filters beside their power spectra, ordered by band.

    Each filter is drawn as a colour image in which grey is zero; to its right is its power spectrum, in dB below its
    peak. Both are framed in the band's colour. Filters are ordered by band, purest first. Three columns are as wide as
    one column of a paper, six are as wide as two.

    Args:
        spectra: What to draw, see `freqfast.spectra.measure_spectra`.
        columns: Filters in a row, at most.
        rows: Rows to draw for each band; all by default.
        title: The title; by default the layer's name and what is drawn. Empty for none.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there is no column or row.

    Examples:
        >>> import torch
        >>> from freqfast import measure_spectra
        >>> figure = filter_grid(measure_spectra(torch.nn.Conv2d(3, 4, 3)))
        >>> len(figure.axes)  # 4 kernels, their 4 spectra and the colour bar
        9
    """
    for name, count in (("columns", columns), ("rows", rows)):
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    bands = np.unique(spectra.band_index).tolist()
    order = {b: np.flatnonzero(spectra.band_index == b) for b in bands}
    order = {b: of[np.argsort(-spectra.shares[of, b], kind="stable")] for b, of in order.items()}
    shown = {b: of[: None if rows is None else rows * columns] for b, of in order.items()}
    if title is None:
        title = f"Filters of {spectra.layer or 'a layer'} beside their power spectra"
    columns = min(columns, max([3, *(len(of) for of in shown.values())]))
    width = columns * _PAIR + 2 * _MARGIN
    note = textwrap.wrap(_NOTE.format(kernel=shown_kernel(spectra)), int(17.5 * width))
    lines = sum(-(-len(of) // columns) for of in shown.values())
    body = len(bands) * _HEAD + lines * (_NUMBER + _CELL + _MARGIN)
    height = 2 * _MARGIN + 0.22 * bool(title) + body + 0.13 * len(note) + _BAR
    figure = NotebookFigure(figsize=(width, height))

    def place(x: float, top: float, w: float, h: float) -> Axes:
        return figure.add_axes((x / width, 1 - (top + h) / height, w / width, h / height), xticks=[], yticks=[])

    def write(top: float, text: str, size: float) -> None:
        figure.text(_MARGIN / width, 1 - top / height, text, va="top", parse_math=False, fontsize=size)

    write(_MARGIN, title, 9)
    top = _MARGIN + 0.22 * bool(title)
    decibels = Normalize(-30, 0)
    for band, members in shown.items():
        name = spectra.bands.names[band]
        colour = band_colour(name, band)
        some = "" if len(members) == len(order[band]) else f", the {len(members)} purest"
        write(top + 0.06, f"{name}: {len(order[band])} of {len(spectra.band_index)} filters{some}", 8)
        top += _HEAD
        for i, number in enumerate(members):
            row, column = divmod(i, columns)
            x, y = _MARGIN + column * _PAIR, top + _NUMBER + row * (_NUMBER + _CELL + _MARGIN)
            kernel, power = place(x, y, _CELL, _CELL), place(x + _CELL + 0.03, y, _CELL, _CELL)
            kernel.imshow(_as_image(spectra.weight[number]), interpolation="nearest")
            power.imshow(_decibel(spectra.power[number]), "viridis", decibels)
            text = f"{number}: {100 * spectra.shares[number, band]:.0f} %"
            kernel.set_title(text, fontsize=7, loc="left", pad=2)
            for axes in (kernel, power):
                for spine in axes.spines.values():
                    spine.set(edgecolor=colour, linewidth=1.5)
        top += -(-len(members) // columns) * (_NUMBER + _CELL + _MARGIN)
    write(top + 0.04, "\n".join(note), 7)
    beneath = place(0.2, height - _BAR, min(2.0, 0.6 * width), 0.08)
    bar = figure.colorbar(ScalarMappable(decibels, "viridis"), cax=beneath, orientation="horizontal")
    bar.set_label("power over the filter's peak (dB)", fontsize=7, labelpad=1)
    bar.set_ticks([-30, -20, -10, 0])
    bar.ax.tick_params(labelsize=7, pad=1)
    return figure


def shown_kernel(spectra: Spectra) -> str:
    """What stands beside a power spectrum, in words."""
    channels = spectra.weight.shape[1]
    return "Each kernel" if channels in (1, 3) else f"The mean of each kernel's {channels} channels"


def _as_image(weight: np.ndarray) -> Any:
    """A kernel ``(I, kH, kW)`` as RGB in [0, 1], with zero as grey; the channels' mean unless there are three."""
    kernel = weight if len(weight) == 3 else np.repeat(weight.mean(0, keepdims=True), 3, axis=0)
    scale = float(np.abs(kernel).max()) or 1.0
    return 0.5 + 0.5 * kernel.transpose(1, 2, 0) / scale


def _decibel(power: np.ndarray) -> Any:
    """A power spectrum in dB below its peak."""
    peak = float(power.max()) or 1.0
    return 10 * np.log10(np.maximum(power / peak, 1e-12))
