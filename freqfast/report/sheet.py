"""The contact sheet of corruptions by severities."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from freqfast.analysis.colours import FAMILY_COLOURS
from freqfast.analysis.panels import NotebookFigure
from freqfast.corruptions import MAIN, SEVERITIES, corrupt
from freqfast.corruptions.tables import TableChoice
from freqfast.report.measures import corruption_families

_DPI = 160
_CELL, _GAP, _MARGIN = 128, 6, 24  # pixels; an image's longer side comes near to the cell's
_LABEL, _HEAD, _TITLE, _APART = 150, 56, 44, 48


def contact_sheet(
    image: np.ndarray,
    corruptions: Sequence[str],
    severities: Iterable[int] = SEVERITIES,
    seed: int = 0,
    *,
    index: int = 0,
    frost_dir: str | Path | None = None,
    table: TableChoice = "auto",
) -> Figure:
    """One image under corruptions (rows, by family) at severities (columns), the clean image first in every row.

    In a PNG file of the figure's own resolution, every pixel of the image is a square of whole pixels.

    Args:
        image: uint8 ``(H, W, 3)``.
        corruptions: Names, see `freqfast.corruptions.corrupt`.
        severities: Which severities, of 1 to 5.
        seed: Seed of the corruptions.
        index: Position of the image in its data set, so that the sheet shows what the corrupted data set holds.
        frost_dir: Folder of the frost photographs.
        table: Whose parameters to use, see `freqfast.corruptions.find_table`.

    Returns:
        A matplotlib figure.

    Raises:
        TypeError: If the image is not a uint8 array.
        ValueError: If a name or severity is unknown, or the image has another shape.
        FileNotFoundError: If ``frost`` is asked for and its photographs are missing.

    Examples:
        >>> figure = contact_sheet(np.full((32, 32, 3), 128, np.uint8), ["fog", "contrast"])
        >>> len(figure.axes[0].images)  # in each row the clean image and five severities
        12
    """
    severities = sorted(set(severities))
    blocks = list(corruption_families(corruptions).items())
    cells = {
        (name, severity): corrupt(image[None], name, severity, seed, index=[index], frost_dir=frost_dir, table=table)[0]
        for _, names in blocks
        for name in names
        for severity in severities
    }
    # All lengths are in pixels of the figure, so that a pixel of the image becomes a square of whole pixels.
    scale = max(1, round(_CELL / max(image.shape[:2])))
    height, width = scale * image.shape[0], scale * image.shape[1]
    column = _LABEL + (1 + len(severities)) * (width + _GAP) + 2 * _GAP
    halves = [blocks[:2], blocks[2:]] if len(cells) > 9 * len(severities) and len(blocks) > 2 else [blocks]
    tallest = max(sum(_HEAD + len(names) * (height + _GAP) for _, names in half) for half in halves)
    size = (len(halves) * (column + _APART) - _APART + 2 * _MARGIN, tallest + 2 * _MARGIN + _TITLE)
    figure = NotebookFigure(figsize=(size[0] / _DPI, size[1] / _DPI), dpi=_DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    title = f"Corruptions by severity, seed {seed}"
    axes.text(_MARGIN, _MARGIN, title, fontsize=10, va="top")
    if not set(corruptions) <= set(MAIN):
        axes.text(_MARGIN, _MARGIN + 26, "in italics: not in mean15", fontsize=8, va="top", style="italic")

    for half, members in enumerate(halves):
        left, top = _MARGIN + half * (column + _APART), _MARGIN + _TITLE
        first, others = left + _LABEL, left + _LABEL + width + 3 * _GAP
        for family, names in members:
            base = top + _HEAD - 8
            colour = FAMILY_COLOURS.get(family, "black")
            axes.text(left, base, family, color=colour, fontsize=11, weight="bold", va="bottom")
            axes.text(first + width / 2, base, "clean", fontsize=9, ha="center", va="bottom")
            for j, severity in enumerate(severities):
                middle = others + j * (width + _GAP) + width / 2
                axes.text(middle, base, str(severity), fontsize=9, ha="center", va="bottom")
            end = others + len(severities) * (width + _GAP) - _GAP
            axes.plot([left, end], [base + 3] * 2, color=colour, linewidth=1.5, solid_capstyle="butt")
            top += _HEAD
            for name in names:
                style = "normal" if name in MAIN else "italic"
                axes.text(left, top + height / 2, name.replace("_", "\n"), fontsize=9, va="center", style=style)
                _place(axes, image, first, top, scale)
                for j, severity in enumerate(severities):
                    _place(axes, cells[name, severity], others + j * (width + _GAP), top, scale)
                top += height + _GAP
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    return figure


def most_colourful(images: np.ndarray) -> int:
    """Index of the most colourful of the first hundred images, by the measure of Hasler and Süsstrunk (2003).

    Examples:
        >>> images = np.full((3, 8, 8, 3), 90, np.uint8)
        >>> images[2, :4, :, 0] = 250
        >>> most_colourful(images)
        2
    """
    red, green, blue = np.moveaxis(images[:100].astype(np.float32), 3, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    spread, mean = np.hypot(*opponents.std((2, 3))), np.hypot(*opponents.mean((2, 3)))
    return int(np.argmax(spread + 0.3 * mean))


def _place(axes: Axes, image: np.ndarray, left: float, top: float, scale: int) -> None:
    height, width = scale * image.shape[0], scale * image.shape[1]
    axes.imshow(image, extent=(left, left + width, top + height, top), interpolation="nearest", aspect="auto")
