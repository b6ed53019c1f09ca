"""Figures of filters, runs and analyses: each function returns a matplotlib `Figure`, for a notebook or a file.

`load_entries` reads finished runs: their ``spectra``, their ``result`` and their ``analyses``, of which the figures are
made. `write_page` puts all of them on one page. Names load on first use: a colour should not cost torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

_HOME = {
    "Entry": "entries",
    "ablation_dots": "analysis",
    "accuracy_by_severity": "runs",
    "analysis_figure": "analysis",
    "band_colour": "colours",
    "clean_against_mean15": "runs",
    "clean_against_robust": "study",
    "contact_sheet": "sheet",
    "filter_grid": "filters",
    "heat_maps": "analysis",
    "learned_gains": "gains",
    "load_entries": "entries",
    "most_colourful": "sheet",
    "power_profile": "profile",
    "proportion_history": "training",
    "quality_dots": "analysis",
    "reliance_curves": "analysis",
    "write_page": "page",
}

__all__ = [*_HOME]

if TYPE_CHECKING:
    from freqfast.report.analysis import ablation_dots as ablation_dots
    from freqfast.report.analysis import analysis_figure as analysis_figure
    from freqfast.report.analysis import heat_maps as heat_maps
    from freqfast.report.analysis import quality_dots as quality_dots
    from freqfast.report.analysis import reliance_curves as reliance_curves
    from freqfast.report.colours import band_colour as band_colour
    from freqfast.report.entries import Entry as Entry
    from freqfast.report.entries import load_entries as load_entries
    from freqfast.report.filters import filter_grid as filter_grid
    from freqfast.report.gains import learned_gains as learned_gains
    from freqfast.report.page import write_page as write_page
    from freqfast.report.profile import power_profile as power_profile
    from freqfast.report.runs import accuracy_by_severity as accuracy_by_severity
    from freqfast.report.runs import clean_against_mean15 as clean_against_mean15
    from freqfast.report.sheet import contact_sheet as contact_sheet
    from freqfast.report.sheet import most_colourful as most_colourful
    from freqfast.report.study import clean_against_robust as clean_against_robust
    from freqfast.report.training import proportion_history as proportion_history


def __getattr__(name: str) -> object:
    """Import a public name's module when the name is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'freqfast.report' has no attribute {name!r}")
    value = getattr(import_module(f"freqfast.report.{_HOME[name]}"), name)
    globals()[name] = value
    return value
