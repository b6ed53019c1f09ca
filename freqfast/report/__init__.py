"""Figures of filters, runs and analyses: each function returns a matplotlib `Figure`, for a notebook or a file.

`load_entries` reads finished runs: their ``spectra``, their ``result`` and their ``analyses``, by which the figures are
made. `freqfast.report.page.write_page` puts all of them on one page.
"""

from freqfast.report.analysis import ablation_dots, analysis_figure, heat_maps, quality_dots, reliance_curves
from freqfast.report.colours import band_colour
from freqfast.report.contact_sheet import contact_sheet, most_colourful
from freqfast.report.entries import Entry, load_entries
from freqfast.report.filters import filter_grid
from freqfast.report.gains import learned_gains
from freqfast.report.profile import power_profile
from freqfast.report.robustness import robustness_figure
from freqfast.report.runs import accuracy_by_severity, clean_against_mean15
from freqfast.report.training import proportion_history

__all__ = [
    "Entry",
    "ablation_dots",
    "accuracy_by_severity",
    "analysis_figure",
    "band_colour",
    "clean_against_mean15",
    "contact_sheet",
    "filter_grid",
    "heat_maps",
    "learned_gains",
    "load_entries",
    "most_colourful",
    "power_profile",
    "proportion_history",
    "quality_dots",
    "reliance_curves",
    "robustness_figure",
]
