"""Learned gains by frequency."""

import numpy as np
from matplotlib.figure import Figure

from freqfast.report.colours import band_colour
from freqfast.report.panels import COLUMN, dress, panels, plane_extent, shade_bands
from freqfast.spectra import Spectra
from freqfast.spectral.modulation import gain_frequencies

__all__ = ["learned_gains"]

DB_PER_NEPER = 10 / np.log(10)
"""Decibels of a log power gain of 1."""


def learned_gains(spectra: Spectra, title: str = "Learned gains") -> Figure:
    """The power gains that a modulation learned: the mean over filters on the frequency plane, and each by frequency.

    Args:
        spectra: Spectra of a modulated layer.
        title: What stands above; empty for nothing.

    Raises:
        ValueError: If the layer is not modulated.
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
        band = int(spectra.classes[row])
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
