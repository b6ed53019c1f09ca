"""Figures of the analyses: Fourier heat map, frequency reliance, band ablation, filter quality."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from freqfast.analysis import Ablation, Analysis, HeatMap, Quality, Reliance
from freqfast.report.colours import band_colour, run_style
from freqfast.report.panels import COLUMN, dress, panels, plane_extent, runs_below, shade_bands, wrap
from freqfast.spectral.bands import Bands
from freqfast.spectral.spectrum import MAX_FREQUENCY

__all__ = ["ablation_dots", "analysis_figure", "heat_maps", "quality_dots", "reliance_curves"]


def heat_maps(found: Mapping[str, HeatMap], bands: Bands | None = None) -> Figure:
    """Fourier heat maps side by side on one scale of colours, with circles at the edges of the bands.

    Args:
        found: Heat maps by label, such as the runs' names.
        bands: The bands whose edges are drawn; two of equal area by default.
    """
    columns = min(2, len(found))
    rows = math.ceil(len(found) / columns)
    figure, grid = panels(rows, columns, COLUMN if columns == 1 else 2 * COLUMN, 2.75 * rows)
    top = max(float(one.error.max()) for one in found.values())
    image = None
    for axes in grid.flat[len(found) :]:
        axes.set_visible(False)
    for axes, (label, one) in zip(grid.flat, found.items(), strict=False):
        style = {"cmap": "inferno", "vmin": 0, "vmax": 100 * top, "interpolation": "nearest"}
        image = axes.imshow(100 * one.error, origin="lower", extent=plane_extent(*one.error.shape), **style)
        for edge in Bands.of(bands).edges[1:-1]:
            axes.add_patch(Circle((0, 0), edge, fill=False, edgecolor="white", linewidth=0.8, linestyle="--"))
        title = f"{label}\nmean {100 * one.error.mean():.1f} %, unperturbed {100 * one.clean_error:.1f} %"
        dress(axes, title, "fx (cycles/pixel)", "fy (cycles/pixel)" if axes in grid[:, 0] else "", grid="")
    if image is not None:
        bar = figure.colorbar(image, ax=grid, shrink=0.85, pad=0.02)
        norms = sorted({one.norm for one in found.values()})
        bar.set_label(f"error (%), L2 norm {', '.join(f'{norm:g}' for norm in norms)}", fontsize=7)
        bar.ax.tick_params(labelsize=7)
    return figure


def reliance_curves(found: Mapping[str, Reliance], bands: Bands | None = None) -> Figure:
    """Accuracy by cut-off under a low-pass, a high-pass and a band-pass, one above the other.

    Args:
        found: What `freqfast.analysis.frequency_reliance` found, by label.
        bands: The bands behind the curves; two of equal area by default.
    """
    figure, grid = panels(3, 1, COLUMN, 5.6, sharex=True, sharey=True)
    views = {
        "low": "Low-pass: frequencies below the cut-off kept",
        "high": "High-pass: frequencies from the cut-off on kept",
        "band": "Band-pass: one step kept, drawn at its middle",
    }
    for axes, (name, title) in zip(grid[:, 0], views.items(), strict=True):
        shade_bands(axes, Bands.of(bands), names=name == "low")
        for i, (label, one) in enumerate(found.items()):
            x = one.cutoffs if name != "band" else (one.cutoffs + np.append(one.cutoffs[1:], MAX_FREQUENCY)) / 2
            style = run_style(i)
            axes.axhline(100 * one.clean, color=style["color"], linewidth=0.6)
            axes.plot(x, 100 * getattr(one, name), **style, markersize=3, linewidth=1.2, label=label)
        dress(axes, title, "", "accuracy (%)")
        axes.set_ylim(0, 100)
    grid[-1, 0].set_xlabel("radial frequency (cycles/pixel)", fontsize=8)
    runs_below(figure, list(found))
    return figure


def ablation_dots(found: Mapping[str, Ablation]) -> Figure:
    """Accuracy without each band: its filters, as many filters at random, its frequencies; one panel a run.

    Args:
        found: What `freqfast.analysis.ablate_bands` found, by label.
    """
    lines = 3 * max(len(one.bands) for one in found.values())
    height = len(found) * (0.17 * lines + 0.55) + 0.5
    figure, grid = panels(len(found), 1, COLUMN, height, sharex=True)
    for axes, (label, one) in zip(grid[:, 0], found.items(), strict=True):
        names: list[str] = []
        for b, band in enumerate(one.bands.names):
            count = f"{one.counts[b]} of {one.counts.sum()}"
            views = [(f"without {band} frequencies", one.response, "s", "full")]
            if one.counts[b]:
                views = [
                    (f"without {band} filters ({count})", one.filters, "o", "full"),
                    (f"{count} at random", one.control, "o", "none"),
                    *views,
                ]
            for text, values, marker, fill in views:
                style = {"color": band_colour(band, b), "marker": marker, "fillstyle": fill}
                axes.plot([100 * values[b], 100 * one.clean], [len(names)] * 2, color=style["color"], linewidth=0.8)
                axes.plot(100 * values[b], len(names), markersize=5, linestyle="none", **style)
                names.append(text)
        axes.axvline(100 * one.clean, linewidth=0.8, color=axes.spines["left"].get_edgecolor())
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        dress(axes, f"{wrap([label])[0]}\nwhole model (line): {100 * one.clean:.1f} %", grid="x")
    grid[-1, 0].set_xlabel("accuracy (%)", fontsize=8)
    return figure


def quality_dots(found: Mapping[str, Quality]) -> Figure:
    """Sparsity, variance entropy and orthogonality of the layers' filters, one panel each.

    Args:
        found: What `freqfast.analysis.filter_quality` found, by label.
    """
    height = 3 * (0.2 * len(found) + 0.25 * max(t.count("\n") for t in wrap(list(found))) + 0.75)
    figure, grid = panels(3, 1, COLUMN, height)
    views = (
        ("Sparsity: kernels near zero", "share of kernels (%)", [100 * one.sparsity for one in found.values()]),
        ("Variance entropy; bar: Gaussian kernels", "entropy (decimal digits)", None),
        (
            "Orthogonality of the filters",
            "1 - mean |cosine| of two filters",
            [one.orthogonality for one in found.values()],
        ),
    )
    for axes, (title, unit, values) in zip(grid[:, 0], views, strict=True):
        shown = values or [one.variance_entropy for one in found.values()]
        for i, value in enumerate(shown):
            style = run_style(i)
            axes.plot(value, i, color=style["color"], marker=style["marker"], markersize=5)
        if values is None:
            for i, one in enumerate(found.values()):
                axes.plot([one.random_entropy] * 2, [i - 0.35, i + 0.35], color=axes.spines["left"].get_edgecolor())
        axes.set_yticks(range(len(found)), wrap(list(found)), parse_math=False)
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_xlim(left=0, right=max(100 if "%" in unit else 1.0, 1.05 * max(shown)))
        dress(axes, title, unit, grid="x")
    return figure


def analysis_figure(found: Mapping[str, Analysis]) -> Figure:
    """The figure of one kind of analysis.

    Args:
        found: What it found, by label; all of one kind.

    Raises:
        ValueError: If there are none or the kinds are mixed.
    """
    kinds = {one.kind for one in found.values()}
    if len(kinds) != 1:
        raise ValueError(f"analyses of one kind make a figure, got {', '.join(sorted(kinds)) or 'none'}")
    return _FIGURES[kinds.pop()](found)  # type: ignore[operator]


_FIGURES = {"heatmap": heat_maps, "reliance": reliance_curves, "ablation": ablation_dots, "quality": quality_dots}
