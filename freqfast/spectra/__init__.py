"""The spectra of convolutions as plain NumPy arrays: what the exports, figures and reports read."""

from freqfast.spectra.layer import Spectra, SpectraHistory
from freqfast.spectra.measure import measure_layers, measure_spectra, spatial_layers

__all__ = ["Spectra", "SpectraHistory", "measure_layers", "measure_spectra", "spatial_layers"]
