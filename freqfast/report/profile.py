"""Mean power of the first layer by radial frequency."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from freqfast.analysis import radial_profile
from freqfast.report.colours import run_style
from freqfast.report.panels import COLUMN, dress, panels, shade_bands
from freqfast.spectra import Spectra
from freqfast.spectral.spectrum import power_spectrum

__all__ = ["decibel_profile", "power_profile", "unmodulated_weight"]

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
        (line,) = axes.plot(*decibel_profile(one.power), linewidth=1.4, markersize=3, markevery=every, **style)
        lines[label] = line
        if one.log_gain is not None:
            before = torch.from_numpy(unmodulated_weight(one.weight, one.log_gain))
            power = power_spectrum(before, one.power.shape[-1]).numpy()
            (line,) = axes.plot(*decibel_profile(power), color=style["color"], linewidth=0.7)
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


def unmodulated_weight(weight: np.ndarray, log_gain: np.ndarray) -> NDArray[np.float64]:
    """The filters without their modulation: the inverse of ``Re IDFT(DFT(W) exp(g / 2))``.

    Args:
        weight: ``(O, I, kH, kW)``, the filters as applied.
        log_gain: ``(O or 1, kH, kW)`` log power gains on the kernel's DFT grid, in increasing frequency.
    """
    gain = np.exp(-np.fft.ifftshift(np.asarray(log_gain, np.float64), axes=(-2, -1)) / 2)
    weight_before: NDArray[np.float64] = np.fft.ifft2(np.fft.fft2(weight) * gain[:, None]).real
    return weight_before


def decibel_profile(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The filters' summed power by radial frequency.

    Args:
        power: ``(O, n, n)``, see `freqfast.power_spectrum`.

    Returns:
        Radial frequencies ``(R,)`` in cycles/pixel, and the power there in dB over its mean over the plane.
    """
    whole = np.asarray(power, np.float64).sum(0)
    rho, mean = radial_profile(whole)
    return rho, 10 * np.log10(np.maximum(mean / (whole.mean() or 1), 1e-12))
