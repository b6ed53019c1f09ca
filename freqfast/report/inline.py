"""Figures as images inside a page, in the colours of the reader's theme."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# No figure has this colour; it stands for the foreground until the page is read.
_FOREGROUND = "#123457"
_LINES = ("axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
_TEXTS = ("text.color", "axes.labelcolor", "axes.titlecolor")
_STYLE: dict[Any, Any] = {
    **dict.fromkeys((*_LINES, *_TEXTS), _FOREGROUND),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none"),
    "legend.frameon": False,
    "svg.hashsalt": "freqfast",  # the same figure gives the same file
}
# As in the page's style.
_THEME = "<style>svg{color:#1b1d21}@media(prefers-color-scheme:dark){svg{color:#e4e6ea}}</style>"


@dataclass(frozen=True)
class InlineImage:
    """An image for ``<img>``: a ``data:`` address and its natural size in CSS pixels."""

    source: str
    width: int
    height: int


def inline_figure(draw: Callable[[], Figure]) -> InlineImage:
    """A figure as a transparent SVG image whose axes and text follow the reader's light or dark theme.

    An ``<img>`` keeps the names inside it separate from the page's, and runs no script. Axes, grid and text follow the
    theme unless `draw` sets their colours.
    """
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = draw()
        width, height = figure.get_size_inches()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue().decode()
    start = svg.index("<svg")
    head, mark, body = svg[start:].partition(">")  # without the XML and doctype declarations
    svg = head + mark + _THEME + body.replace(_FOREGROUND, "currentColor")
    source = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    return InlineImage(source, round(96 * width), round(96 * height))
