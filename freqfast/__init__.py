"""freqfast: the frequency content of a CNN's first layer, in fastai.

Public names load on first use, so that importing the package costs neither torch nor fastai.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from freqfast._version import __version__

_HOME = {
    "Antialiasing": "callbacks",
    "Bands": "bands",
    "FrequencyProportion": "callbacks",
    "Recipe": "recipe",
    "SpectralConv2d": "modulation",
    "SpectralModulation": "callbacks",
    "SpectrumEqualization": "callbacks",
    "SpectrumEqualizer": "equalization",
    "SpectrumPerturbation": "callbacks",
    "SpectrumRecorder": "callbacks",
    "apply_antialiasing": "antialiasing",
    "apply_equalization": "equalization",
    "apply_modulation": "modulation",
    "bake_modulation": "modulation",
    "band_shares": "bands",
    "effective_weight": "modulation",
    "frequencies": "spectrum",
    "frequency_proportion": "bands",
    "load_run": "run",
    "power_spectrum": "spectrum",
    "project_filters": "proportion",
    "read_spectra": "spectra_h5",
    "write_spectra": "spectra_h5",
}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from freqfast.antialiasing import apply_antialiasing as apply_antialiasing
    from freqfast.bands import Bands as Bands
    from freqfast.bands import band_shares as band_shares
    from freqfast.bands import frequency_proportion as frequency_proportion
    from freqfast.callbacks import Antialiasing as Antialiasing
    from freqfast.callbacks import FrequencyProportion as FrequencyProportion
    from freqfast.callbacks import SpectralModulation as SpectralModulation
    from freqfast.callbacks import SpectrumEqualization as SpectrumEqualization
    from freqfast.callbacks import SpectrumPerturbation as SpectrumPerturbation
    from freqfast.callbacks import SpectrumRecorder as SpectrumRecorder
    from freqfast.equalization import SpectrumEqualizer as SpectrumEqualizer
    from freqfast.equalization import apply_equalization as apply_equalization
    from freqfast.modulation import SpectralConv2d as SpectralConv2d
    from freqfast.modulation import apply_modulation as apply_modulation
    from freqfast.modulation import bake_modulation as bake_modulation
    from freqfast.modulation import effective_weight as effective_weight
    from freqfast.proportion import project_filters as project_filters
    from freqfast.recipe import Recipe as Recipe
    from freqfast.run import load_run as load_run
    from freqfast.spectra_h5 import read_spectra as read_spectra
    from freqfast.spectra_h5 import write_spectra as write_spectra
    from freqfast.spectrum import frequencies as frequencies
    from freqfast.spectrum import power_spectrum as power_spectrum


def __getattr__(name: str) -> object:
    """Import a public name's module when the name is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'freqfast' has no attribute {name!r}")
    value = getattr(import_module(f"freqfast.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
