"""The report page that compares runs, and the figures of filters, runs and studies.

Each figure is a function that returns a matplotlib `Figure`, for a notebook or a file. `load_entries` reads finished
runs: their ``spectra``, their ``result`` and their ``analyses``, from which the figures are made. The figures of the
analyses are in `freqfast.analysis`. `write_page` puts all of them on one page. Names load on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
