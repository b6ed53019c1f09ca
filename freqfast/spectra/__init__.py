"""The spectra of convolutions as NumPy arrays, which exports, figures and reports read.

- `layer` defines them and what is computed from them.
- `measure` computes them from a model; `h5` writes them to HDF5 and reads them.
"""

from freqfast.spectra.layer import Spectra, SpectraHistory
from freqfast.spectra.measure import are_spectra_of, measure_layers, measure_spectra, spatial_layers

__all__ = ["Spectra", "SpectraHistory", "are_spectra_of", "measure_layers", "measure_spectra", "spatial_layers"]
