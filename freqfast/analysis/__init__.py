"""Analyses that tell what a model's spectra mean: pure functions that return dataclasses of NumPy arrays."""

from freqfast.analysis.ablation import ablate_bands
from freqfast.analysis.heat_map import fourier_heat_map
from freqfast.analysis.quality import filter_quality
from freqfast.analysis.reliance import frequency_reliance
from freqfast.analysis.results import (
    ANALYSES,
    Ablation,
    Analysis,
    HeatMap,
    ImageAnalysis,
    Quality,
    Reliance,
    read_analysis,
    write_analysis,
)
from freqfast.spectra.profile import radial_profile

__all__ = [
    "ANALYSES",
    "Ablation",
    "Analysis",
    "HeatMap",
    "ImageAnalysis",
    "Quality",
    "Reliance",
    "ablate_bands",
    "filter_quality",
    "fourier_heat_map",
    "frequency_reliance",
    "radial_profile",
    "read_analysis",
    "write_analysis",
]
