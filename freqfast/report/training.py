"""The frequency proportion over the epochs of training."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from freqfast.report.colours import band_colour
from freqfast.report.panels import COLUMN, dress, panels
from freqfast.spectra import Spectra

__all__ = ["proportion_history"]


def proportion_history(spectra: Mapping[str, Spectra]) -> Figure:
    """Share of the filters in each band by epoch, one panel a run; dashed the share of the layer's energy.

    Where training enforced a target it is drawn as a dotted line.

    Args:
        spectra: Spectra by label, such as the runs' names; those without a history are left out.

    Raises:
        ValueError: If none has a history.
    """
    recorded = {label: one for label, one in spectra.items() if one.history is not None}
    if not recorded:
        raise ValueError("no spectra by epoch; train with a SpectrumRecorder and pass its history to measure_spectra")
    columns = min(2, len(recorded))
    rows = math.ceil(len(recorded) / columns)
    width = COLUMN if columns == 1 else 2 * COLUMN
    figure, grid = panels(rows, columns, width, 1.9 * rows + 0.55, sharey=True)
    for axes in grid.flat[len(recorded) :]:
        axes.set_visible(False)
    for axes, (label, one) in zip(grid.flat, recorded.items(), strict=False):
        history = one.history
        if history is None:
            continue
        by_energy = history.energy_proportion
        for b, name in enumerate(one.bands.names):
            colour = band_colour(name, b)
            axes.plot(history.epochs, 100 * by_energy[:, b], "--", color=colour, linewidth=1)
            axes.plot(history.epochs, 100 * history.proportion[:, b], "-o", color=colour, linewidth=1.6, markersize=3)
            if one.target is not None:
                axes.axhline(100 * one.target[name], color=colour, linestyle=":", linewidth=1.2)
        dress(axes, label, "epoch", "share (%)" if axes in grid[:, 0] else "")
        axes.set_ylim(-4, 104)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    names = dict.fromkeys(name for one in recorded.values() for name in one.bands.names)
    keys = [Line2D([], [], color=band_colour(name, i), linewidth=3, label=name) for i, name in enumerate(names)]
    grey: dict[str, Any] = {"color": "#808080"}
    keys += [Line2D([], [], marker="o", markersize=3, label="of filters", **grey)]
    keys += [Line2D([], [], linestyle="--", label="of energy", **grey)]
    if any(one.target is not None for one in recorded.values()):
        keys += [Line2D([], [], linestyle=":", label="target", **grey)]
    per_row = len(keys) if columns > 1 else 3
    figure.legend(handles=keys, loc="outside lower center", ncols=per_row, fontsize=7, frameon=False)
    return figure
