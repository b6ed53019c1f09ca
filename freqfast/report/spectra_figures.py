"""Figures of a first layer's spectra: power by radial frequency, proportion by epoch, and learned gains."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from freqfast.analysis.colours import band_colour, run_style
from freqfast.analysis.panels import COLUMN, dress, panels, plane_extent, runs_below, shade_bands, wrap
from freqfast.spectra import Spectra
from freqfast.spectral.modulation import gain_frequencies
from freqfast.spectral.spectrum import power_spectrum, radial_frequencies

_LOWEST_DB = -40  # where the axis of power ends
DB_PER_NEPER = 10 / np.log(10)
"""Decibels of a log power gain of 1."""


def power_profile(spectra: Mapping[str, Spectra]) -> Figure:
    """The layers' power by radial frequency, in dB relative to a white layer of the same energy.

    A layer with modulation is drawn twice: as it is applied, and as a thin line without its learned gains.

    Args:
        spectra: Spectra by label, such as the runs' names; the bands shown are the first one's.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If there are none.

    Examples:
        >>> from freqfast import measure_spectra
        >>> power_profile({"untrained": measure_spectra(torch.nn.Conv2d(3, 4, 3))}).axes[0].get_xlabel()
        'radial frequency (cycles/pixel)'
    """
    if not spectra:
        raise ValueError("there are no spectra, so there is nothing to draw")
    figure, ((axes,),) = panels(1, 1, COLUMN, 2.7)
    for i, one in enumerate(spectra.values()):
        style = run_style(i)
        every = (i % 3, 3)  # shifted, so that markers of equal curves do not hide each other
        axes.plot(*decibel_profile(one.power), linewidth=1.4, markersize=3, markevery=every, **style)
        if one.log_gain is not None:
            before = torch.from_numpy(unmodulated_weight(one.weight, one.log_gain))
            power = power_spectrum(before, one.power.shape[-1]).numpy()
            axes.plot(*decibel_profile(power), color=style["color"], linewidth=0.7)
    shade_bands(axes, next(iter(spectra.values())).bands)
    axes.axhline(0, linewidth=0.6, color=axes.spines["left"].get_edgecolor())
    dress(axes, "Power of the layer's filters", "radial frequency (cycles/pixel)", "mean power (dB; white = 0)")
    low, high = axes.get_ylim()
    low = max(low, _LOWEST_DB)
    axes.set_ylim(low, high + 0.12 * (high - low))  # room for the bands' names
    runs_below(figure, list(spectra))
    return figure


def unmodulated_weight(weight: np.ndarray, log_gain: np.ndarray) -> np.ndarray:
    """The filters ``(O, I, kH, kW)`` without their modulation: the inverse of ``Re IDFT(DFT(W) exp(g / 2))``.

    The log power gains ``(O or 1, kH, kW)`` are on the kernel's DFT grid, in increasing frequency.
    """
    gain = np.exp(-np.fft.ifftshift(np.asarray(log_gain, np.float64), axes=(-2, -1)) / 2)
    return np.fft.ifft2(np.fft.fft2(weight) * gain[:, None]).real


def decibel_profile(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radial frequencies in cycles/pixel, a grid step apart, and the power there, summed over filters.

    The power is averaged over rings, and in dB relative to its mean over the plane.
    """
    whole = np.asarray(power, np.float64).sum(0)
    n = len(whole)
    ring = np.rint(np.fft.fftshift(radial_frequencies(n, n)) * n).astype(int).ravel()
    mean = np.bincount(ring, whole.ravel()) / np.bincount(ring)
    frequencies = np.minimum(np.arange(len(mean)) / n, math.sqrt(0.5))  # of the last ring, the plane's corners
    return frequencies, 10 * np.log10(np.maximum(mean / (whole.mean() or 1), 1e-12))


def proportion_history(spectra: Mapping[str, Spectra]) -> Figure:
    """Share of the filters in each band by epoch, one panel per run; dashed is the share of the layer's energy.

    If training enforced a target, it is drawn as a dotted line.

    Args:
        spectra: Spectra by label, such as the runs' names; those without a history are left out.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If none has a history.

    Examples:
        >>> from freqfast import measure_spectra
        >>> proportion_history({"untrained": measure_spectra(torch.nn.Conv2d(3, 4, 3))})
        Traceback (most recent call last):
        ValueError: no spectra by epoch; train with a SpectrumRecorder and pass its history to measure_spectra
    """
    recorded = {label: one.history for label, one in spectra.items() if one.history is not None}
    if not recorded:
        raise ValueError("no spectra by epoch; train with a SpectrumRecorder and pass its history to measure_spectra")
    columns = min(2, len(recorded))
    rows = math.ceil(len(recorded) / columns)
    figure, grid = panels(rows, columns, columns * COLUMN, 1.9 * rows + 0.55, sharey=True)
    for axes in grid.flat[len(recorded) :]:
        axes.set_visible(False)
    for axes, (label, history) in zip(grid.flat, recorded.items(), strict=False):
        one, by_energy = spectra[label], history.energy_proportion
        for b, name in enumerate(one.bands.names):
            colour = band_colour(name, b)
            axes.plot(history.epochs, 100 * by_energy[:, b], "--", color=colour, linewidth=1)
            axes.plot(history.epochs, 100 * history.proportion[:, b], "-o", color=colour, linewidth=1.6, markersize=3)
            if one.target is not None:
                axes.axhline(100 * one.target[name], color=colour, linestyle=":", linewidth=1.2)
        dress(axes, wrap(label, 42), "epoch", "share (%)" if axes in grid[:, 0] else "")
        axes.set_ylim(-4, 104)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    shown = [spectra[label] for label in recorded]
    colours = {name: band_colour(name, b) for one in shown for b, name in enumerate(one.bands.names)}
    keys = [Line2D([], [], color=colour, linewidth=3, label=name) for name, colour in colours.items()]
    grey: dict[str, Any] = {"color": "#808080"}
    keys += [Line2D([], [], marker="o", markersize=3, label="of filters", **grey)]
    keys += [Line2D([], [], linestyle="--", label="of energy", **grey)]
    if any(one.target is not None for one in shown):
        keys += [Line2D([], [], linestyle=":", label="target", **grey)]
    per_row = len(keys) if columns > 1 else 3
    figure.legend(handles=keys, loc="outside lower center", ncols=per_row, fontsize=7, frameon=False)
    return figure


def learned_gains(spectra: Spectra, title: str = "Learned gains") -> Figure:
    """The power gains that a modulation learned: the mean on the frequency plane, and each filter's by frequency.

    Args:
        spectra: Spectra of a modulated layer.
        title: The title; empty for none.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If the layer is not modulated.

    Examples:
        >>> from freqfast import apply_modulation, measure_spectra
        >>> model = apply_modulation(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)))
        >>> [axes.get_title(loc="left") for axes in learned_gains(measure_spectra(model)).axes][:2]
        ['Mean over filters', "Each filter, in its band's colour"]
    """
    if spectra.log_gain is None:
        raise ValueError(f"layer {spectra.layer} has no learned gains; train with SpectralModulation")
    gain = DB_PER_NEPER * spectra.log_gain.astype(np.float64)
    rows, height, width = gain.shape
    figure, ((plane, axes),) = panels(1, 2, 2 * COLUMN, 2.6, width_ratios=(1, 1.5))

    mean = gain.mean(0)
    limit = max(float(np.abs(mean).max()), 1e-6)
    image = plane.imshow(mean, cmap="PuOr", vmin=-limit, vmax=limit, origin="lower", extent=plane_extent(height, width))
    dress(plane, "Mean over filters", "fx (cycles/pixel)", "fy (cycles/pixel)", grid="")
    figure.colorbar(image, ax=plane, shrink=0.8).set_label("power gain (dB)", fontsize=7)
    figure.axes[-1].tick_params(labelsize=7)

    pairs = gain_frequencies((height, width)).numpy()
    rho = np.hypot(*pairs.T)
    at_y, at_x = np.rint(pairs * (height, width)).astype(int).T
    free = gain[:, at_y + height // 2, at_x + width // 2]
    shade_bands(axes, spectra.bands)
    jitter = np.linspace(-0.012, 0.012, rows) if rows > 1 else np.zeros(1)
    for row in range(rows):
        band = int(spectra.band_index[row])
        colour = band_colour(spectra.bands.names[band], band) if rows > 1 else "#808080"
        axes.plot(rho + jitter[row], free[row], "o", color=colour, markersize=3, alpha=0.7, mew=0)
    shown, ring = np.unique(np.round(rho, 6), return_inverse=True)
    means = np.bincount(ring, free.mean(0)) / np.bincount(ring)
    line = axes.spines["left"].get_edgecolor()
    axes.plot(shown, means, "_-", color=line, linewidth=1, markersize=14, label="mean")
    axes.axhline(0, linewidth=0.6, color=line)
    caption = "Each filter, in its band's colour" if rows > 1 else "Shared by all filters"
    dress(axes, caption, "radial frequency (cycles/pixel)", "power gain (dB)")
    axes.set_xlim(-0.03, axes.get_xlim()[1])
    axes.margins(y=0.2)
    if title:
        figure.suptitle(title, fontsize=9, parse_math=False)
    figure.set_layout_engine("constrained", w_pad=0.1)
    return figure
