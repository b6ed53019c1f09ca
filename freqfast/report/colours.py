"""The colours of all figures: the same for the same thing everywhere, and safe for the colour-blind."""

__all__ = ["FAMILY_COLOURS", "band_colour"]

# Okabe and Ito's colour-blind-safe set; the usual bands have the same colour in every figure.
_NAMED_COLOURS = {"low": "#0072b2", "mid": "#009e73", "high": "#d55e00"}
_OTHER_COLOURS = ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7")

# The same set, its purple darkened to be read as text.
FAMILY_COLOURS = {"noise": "#0072b2", "blur": "#d55e00", "weather": "#009e73", "digital": "#aa4499"}


def band_colour(name: str, index: int) -> str:
    """Colour of a band: by name for low, mid and high, else by its position."""
    return _NAMED_COLOURS.get(name, _OTHER_COLOURS[index % len(_OTHER_COLOURS)])
