"""Figures of filters and runs: each function returns a matplotlib `Figure`, for a notebook or a file."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from freqfast.corruptions import CORRUPTIONS, EXTRA, FAMILIES, SEVERITIES, corrupt
from freqfast.spectra import Spectra

__all__ = ["band_colour", "contact_sheet", "filter_grid", "most_colourful"]

# Okabe and Ito's colour-blind-safe set; the usual bands have the same colour in every figure.
_NAMED_COLOURS = {"low": "#0072b2", "mid": "#009e73", "high": "#d55e00"}
_OTHER_COLOURS = ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7")


def band_colour(name: str, index: int) -> str:
    """Colour of a band: by name for low, mid and high, else by its position."""
    return _NAMED_COLOURS.get(name, _OTHER_COLOURS[index % len(_OTHER_COLOURS)])


def filter_grid(spectra: Spectra, columns: int = 8) -> Figure:
    """Filters beside their power spectra, ordered by band.

    Each filter is drawn as a colour image around grey; below it stands its power spectrum, in dB below its peak, with
    its frame in the band's colour. Filters stand in the order of their bands, purest first, `columns` of each band.

    Args:
        spectra: What to draw, see `freqfast.spectra.measure_spectra`.
        columns: Filters of each band to draw.
    """
    bands = [b for b in range(len(spectra.bands)) if (spectra.classes == b).any()]
    figure = Figure(figsize=(0.8 * columns + 0.9, 2.15 * len(bands) + 0.6), layout="constrained")
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
        grid[2 * row, 0].set_ylabel(label, color=colour, fontsize=9)
        grid[2 * row + 1, 0].set_ylabel("fy", fontsize=7)
        grid[2 * row + 1, 0].set_xlabel("fx", fontsize=7)
    if image is not None:
        bar = figure.colorbar(image, ax=grid, shrink=0.6, pad=0.01)
        bar.set_label("power below the filter's peak (dB); fy, fx from -0.5 to 0.5 cycles/pixel", fontsize=7)
        bar.ax.tick_params(labelsize=7)
    figure.suptitle(f"Filters of {spectra.layer}, share of energy in their band, and power spectra", fontsize=9)
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


def contact_sheet(
    image: np.ndarray,
    corruptions: Sequence[str] = CORRUPTIONS,
    severities: Iterable[int] = SEVERITIES,
    seed: int = 0,
    *,
    index: int = 0,
    frost_dir: str | Path | None = None,
) -> Figure:
    """One image under corruptions (rows, by family) at severities (columns), the clean image first in every row.

    Saved as PNG at the figure's own resolution, every pixel of the image is a square of whole pixels.

    Args:
        image: uint8 ``(H, W, 3)``.
        corruptions: Names, see `freqfast.corruptions.corrupt`.
        severities: Which severities, of 1 to 5.
        seed: Seed of the corruptions.
        index: Position of the image in its data set, so that the sheet shows what the corrupted data set holds.
        frost_dir: Folder of the frost photographs.

    Raises:
        ValueError: If a name or severity is unknown, or the image no such array.
        FileNotFoundError: If ``frost`` is wanted and its photographs are not here.
    """
    severities = sorted(set(severities))
    blocks = _by_family(corruptions)
    cells = {
        (name, severity): corrupt(image[None], name, severity, seed, index=[index], frost_dir=frost_dir)[0]
        for _, names in blocks
        for name in names
        for severity in severities
    }
    # All lengths are in pixels of the figure: only so does an image's pixel become a square of whole ones.
    scale = max(1, round(_CELL / max(image.shape[:2])))
    height, width = scale * image.shape[0], scale * image.shape[1]
    column = _LABEL + (1 + len(severities)) * (width + _GAP) + 2 * _GAP
    halves = [blocks[:2], blocks[2:]] if len(cells) > 9 * len(severities) and len(blocks) > 2 else [blocks]
    tallest = max(sum(_HEAD + len(names) * (height + _GAP) for _, names in half) for half in halves)
    size = (len(halves) * (column + _APART) - _APART + 2 * _MARGIN, tallest + 2 * _MARGIN + _TITLE)
    figure = Figure(figsize=(size[0] / _DPI, size[1] / _DPI), dpi=_DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(size[1], 0))
    axes.set_axis_off()
    title = f"Corruptions by severity, seed {seed}"
    axes.text(_MARGIN, _MARGIN, title, fontsize=10, va="top")
    if set(EXTRA) & set(corruptions):
        axes.text(_MARGIN, _MARGIN + 26, "in italics: not in mean15", fontsize=8, va="top", style="italic")

    for half, members in enumerate(halves):
        left, top = _MARGIN + half * (column + _APART), _MARGIN + _TITLE
        first, others = left + _LABEL, left + _LABEL + width + 3 * _GAP
        for family, names in members:
            base = top + _HEAD - 8
            colour = _FAMILY_COLOURS.get(family, "black")
            axes.text(left, base, family, color=colour, fontsize=11, weight="bold", va="bottom")
            axes.text(first + width / 2, base, "clean", fontsize=9, ha="center", va="bottom")
            for j, severity in enumerate(severities):
                middle = others + j * (width + _GAP) + width / 2
                axes.text(middle, base, str(severity), fontsize=9, ha="center", va="bottom")
            end = others + len(severities) * (width + _GAP) - _GAP
            axes.plot([left, end], [base + 3] * 2, color=colour, linewidth=1.5, solid_capstyle="butt")
            top += _HEAD
            for name in names:
                style = "italic" if name in EXTRA else "normal"
                axes.text(left, top + height / 2, name.replace("_", "\n", 1), fontsize=9, va="center", style=style)
                _place(axes, image, first, top, scale)
                for j, severity in enumerate(severities):
                    _place(axes, cells[name, severity], others + j * (width + _GAP), top, scale)
                top += height + _GAP
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    return figure


def most_colourful(images: np.ndarray, count: int = 100) -> int:
    """Index of the most colourful of the first images, by the measure of Hasler and Süsstrunk (2003).

    Args:
        images: uint8 ``(N, H, W, 3)``.
        count: How many to look at.
    """
    red, green, blue = np.moveaxis(images[:count].astype(np.float32), 3, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    spread, mean = np.hypot(*opponents.std((2, 3))), np.hypot(*opponents.mean((2, 3)))
    return int(np.argmax(spread + 0.3 * mean))


_DPI = 160
_CELL, _GAP, _MARGIN = 128, 6, 24  # pixels; an image's longer side comes near to the cell's
_LABEL, _HEAD, _TITLE, _APART = 150, 56, 44, 48

# Okabe and Ito's again, their purple darkened to be read as text.
_FAMILY_COLOURS = {"noise": "#0072b2", "blur": "#d55e00", "weather": "#009e73", "digital": "#aa4499"}


def _by_family(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The corruptions of each family, those of other packages last."""
    known = {family: [name for name in members if name in names] for family, members in FAMILIES.items()}
    own = list(dict.fromkeys(name for name in names if name not in CORRUPTIONS))
    return [(family, members) for family, members in (*known.items(), ("own", own)) if members]


def _place(axes: Axes, image: np.ndarray, left: float, top: float, scale: int) -> None:
    height, width = scale * image.shape[0], scale * image.shape[1]
    axes.imshow(image, extent=(left, left + width, top + height, top), interpolation="nearest", aspect="auto")
