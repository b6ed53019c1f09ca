"""Filters beside their power spectra."""

import numpy as np
from matplotlib.figure import Figure

from freqfast.report.colours import band_colour
from freqfast.spectra import Spectra

__all__ = ["filter_grid"]


def filter_grid(spectra: Spectra, columns: int = 8, title: str | None = None) -> Figure:
    """Filters beside their power spectra, ordered by band.

    Each filter is drawn as a colour image around grey; below it stands its power spectrum, in dB below its peak, with
    its frame in the band's colour. Filters stand in the order of their bands, purest first, `columns` of each band.

    Args:
        spectra: What to draw, see `freqfast.spectra.measure_spectra`.
        columns: Filters of each band to draw.
        title: What stands above; by default the layer's name and what is drawn. Empty for nothing.
    """
    bands = [b for b in range(len(spectra.bands)) if (spectra.classes == b).any()]
    figure = Figure(figsize=(0.8 * columns + 0.9, 1.85 * len(bands) + 0.3 + 0.2 * (title != "")), layout="constrained")
    grid = figure.subplots(2 * len(bands), columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.set_visible(False)
    image = None
    for row, band in enumerate(bands):
        members = np.flatnonzero(spectra.classes == band)
        members = members[np.argsort(-spectra.shares[members, band], kind="stable")]
        colour = band_colour(spectra.bands.names[band], band)
        shown = members[:columns]
        for column, filter_ in enumerate(shown):
            kernel, power = grid[2 * row, column], grid[2 * row + 1, column]
            kernel.imshow(_as_image(spectra.weight[filter_]), interpolation="nearest")
            image = power.imshow(_decibel(spectra.power[filter_]), **_POWER_STYLE)
            kernel.set_title(f"{filter_}: {100 * spectra.shares[filter_, band]:.0f} %", fontsize=7)
            for axes in (kernel, power):
                axes.set_visible(True)
                for spine in axes.spines.values():
                    spine.set(edgecolor=colour, linewidth=1.5)
        label = f"{spectra.bands.names[band]}\n{len(members)} of {len(spectra.classes)}"
        grid[2 * row, 0].set_ylabel(label, fontsize=9)
        grid[2 * row + 1, 0].set_ylabel("fy", fontsize=7)
        grid[2 * row + 1, 0].set_xlabel("fx", fontsize=7)
        if band == bands[-1]:
            text = "fy, fx: -0.5 to 0.5 cycles/pixel"
            note = grid[2 * row + 1, 0].annotate(text, (1.2, -0.09), xycoords="axes fraction", fontsize=7, va="top")
            note.set_in_layout(False)  # it may run on below its neighbours
    if image is not None:
        bar = figure.colorbar(image, ax=grid, shrink=0.6, pad=0.01)
        bar.set_label("power over the filter's peak (dB)", fontsize=7)
        bar.ax.tick_params(labelsize=7)
    if title is None:
        title = f"Filters of {spectra.layer}, share of energy in their band, and power spectra"
    if title:
        figure.suptitle(title, fontsize=9, parse_math=False)
    return figure


_POWER_STYLE = {"cmap": "viridis", "vmin": -30, "vmax": 0, "origin": "lower", "extent": (-0.5, 0.5, -0.5, 0.5)}


def _as_image(weight: np.ndarray) -> np.ndarray:
    """A kernel ``(I, kH, kW)`` as RGB in [0, 1] around grey; the channels' mean where it has not three."""
    kernel = weight if len(weight) == 3 else np.repeat(weight.mean(0, keepdims=True), 3, axis=0)
    scale = float(np.abs(kernel).max()) or 1.0
    picture: np.ndarray = 0.5 + 0.5 * kernel.transpose(1, 2, 0) / scale
    return picture


def _decibel(power: np.ndarray) -> np.ndarray:
    """A power spectrum in dB below its peak."""
    peak = float(power.max()) or 1.0
    level: np.ndarray = 10 * np.log10(np.maximum(power / peak, 1e-12))
    return level
