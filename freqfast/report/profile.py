"""Mean power of the first layer by radial frequency."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from freqfast.analysis import radial_profile, unmodulated_weight
from freqfast.report.colours import run_style
from freqfast.report.panels import COLUMN, dress, panels, shade_bands
from freqfast.spectra import Spectra

__all__ = ["power_profile"]

FLOOR_DB = -40


def power_profile(spectra: Mapping[str, Spectra]) -> Figure:
    """The layers' power by radial frequency, in dB over a white layer of the same energy.

    A layer with modulation is drawn twice: as it is applied, and thin without its learned gains.

    Args:
        spectra: Spectra by label, such as the runs' names; the bands shown are the first one's.
    """
    figure, ((axes,),) = panels(1, 1, COLUMN, 2.7)
    lines: dict[str, Line2D] = {}
    for i, (label, one) in enumerate(spectra.items()):
        style = run_style(i)
        every = (i % 3, 3)  # shifted, so that markers of equal curves do not hide each other
        (line,) = axes.plot(*_decibel_profile(one.power), linewidth=1.4, markersize=3, markevery=every, **style)
        lines[label] = line
        if one.log_gain is not None:
            before = unmodulated_weight(one.weight, one.log_gain)
            n = one.power.shape[-1]
            power = np.square(np.abs(np.fft.fftshift(np.fft.fft2(before, s=(n, n)), axes=(-2, -1)))).sum(1)
            (line,) = axes.plot(*_decibel_profile(power), color=style["color"], linewidth=0.7)
            lines[f"{label}, without its gains"] = line
    shade_bands(axes, next(iter(spectra.values())).bands)
    axes.axhline(0, linewidth=0.6, color=axes.spines["left"].get_edgecolor())
    dress(axes, "Power of the layer's filters", "radial frequency (cycles/pixel)", "mean power (dB; white = 0)")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, FLOOR_DB), high + 0.12 * (high - max(low, FLOOR_DB)))  # room for the bands' names
    legend = axes.legend(
        list(lines.values()), list(lines), fontsize=6.5, loc="lower left", frameon=False, handlelength=3
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _decibel_profile(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radial frequencies, and the filters' summed power there in dB over its mean over the plane."""
    whole = np.asarray(power, np.float64).sum(0)
    rho, mean = radial_profile(whole)
    return rho, 10 * np.log10(np.maximum(mean / (whole.mean() or 1), 1e-12))
