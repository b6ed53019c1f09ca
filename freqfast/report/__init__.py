"""Figures of filters and runs: each function returns a matplotlib `Figure`, for a notebook or a file."""

from freqfast.report.colours import band_colour
from freqfast.report.contact_sheet import contact_sheet, most_colourful
from freqfast.report.filters import filter_grid

__all__ = ["band_colour", "contact_sheet", "filter_grid", "most_colourful"]
