"""Figures of filters, runs and analyses: each function returns a matplotlib `Figure`, for a notebook or a file.

`load_entries` reads finished runs: their ``spectra``, their ``result`` and their ``analyses``, of which the figures are
made. `write_page` puts all of them on one page. Names load on first use: a colour should not cost torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
