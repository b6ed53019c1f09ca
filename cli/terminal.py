"""Pictures made of characters: with colours where the terminal has them, of different characters elsewhere."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BandBar", "band_mark", "has_colours"]


def has_colours(console: Console) -> bool:
    """Whether pictures for this console may use colours and block characters."""
    return console.color_system is not None and not console.no_color and not console.options.ascii_only


def band_mark(name: str, index: int, cells: int, console: Console) -> Text:
    """Cells in a band's colour, or of its own character where the console has no colours."""
    if has_colours(console):
        from freqfast.report.colours import band_colour

        return Text("█" * cells, style=band_colour(name, index))
    fills = "#+-." if console.options.ascii_only else "█▒░▓"
    return Text(fills[index % len(fills)] * cells)


class BandBar:
    """Shares of the bands side by side, from low to high; shorter where they do not sum to 1.

    Args:
        names: The bands.
        shares: ``(B,)``, a share for each.
        width: Cells of a sum of 1; fewer where the table has no room for them.
    """

    def __init__(self, names: Sequence[str], shares: "np.ndarray", width: int) -> None:
        self.names, self.shares, self.width = names, shares, width

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(4, self.width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(self.width, options.max_width)
        edges = [round(width * share) for share in accumulate(map(float, self.shares), initial=0.0)]
        marks = zip(self.names, pairwise(edges), strict=True)
        yield Text().join(band_mark(name, i, end - start, console) for i, (name, (start, end)) in enumerate(marks))
