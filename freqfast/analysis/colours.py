"""Colours of bands, runs and families of corruptions, which readers with colour-blindness can tell apart."""

from typing import Any

# Okabe and Ito's colour-blind-safe set; the usual bands have the same colour in every figure.
_NAMED_COLOURS = {"low": "#0072b2", "mid": "#009e73", "high": "#d55e00"}
_OTHER_COLOURS = ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7")

# The same set, its purple darkened to be read as text.
FAMILY_COLOURS = {"noise": "#0072b2", "blur": "#d55e00", "weather": "#009e73", "digital": "#aa4499"}


def band_colour(name: str, index: int) -> str:
    """Colour of a band as matplotlib and browsers write it: by name for low, mid and high, else by its position.

    Examples:
        >>> band_colour("high", 1), band_colour("band3", 3)
        ('#d55e00', '#e69f00')
    """
    return _NAMED_COLOURS.get(name, _OTHER_COLOURS[index % len(_OTHER_COLOURS)])


# The first run is the grey reference. Each further colour is the one farthest from those before it for the kind of
# colour-blindness that separates them least; all can be seen on white and on black, and none is a band's.
_RUN_COLOURS = ("#808080", "#e43cfc", "#48a830", "#78603c", "#b4309c", "#b484b4", "#849c78", "#3c6c60")
_MARKERS = "os^DvPX*"
_LINES = ("-", "--", "-.", ":")


def run_style(index: int) -> dict[str, Any]:
    """Colour, marker and line of a run by its position, the same in every figure, as matplotlib's `plot` takes them."""
    i = index % len(_RUN_COLOURS)
    return {"color": _RUN_COLOURS[i], "marker": _MARKERS[i], "linestyle": _LINES[index % len(_LINES)]}
