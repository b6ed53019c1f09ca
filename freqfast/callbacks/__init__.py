"""Thin fastai callbacks over freqfast's pure functions, one concern a file.

What each does, when it helps and what it costs: ``docs/methods``.

- Of the first convolution: `FrequencyProportion`, `SpectralModulation`, `SpectralDecay`.
- Of what convolutions meet, also in use: `SpectrumEqualization`, `Antialiasing`.
- Of training images: `SpectrumPerturbation`; the augmentations of others `AmplitudePhaseRecombination`,
  `HybridAugment`, `FourierBasisAugmentation`, `AugMix` and `GaussianNoise`.
- Of a fit: `AutoPrecision`, `BatchNormEstimation`, `SpectrumRecorder`, `EpochLog`, `FitProgress`.
"""

from freqfast.callbacks.antialiasing import Antialiasing
from freqfast.callbacks.batch_norm import BatchNormEstimation
from freqfast.callbacks.decay import SpectralDecay
from freqfast.callbacks.equalization import SpectrumEqualization
from freqfast.callbacks.modulation import SpectralModulation
from freqfast.callbacks.perturbation import SpectrumPerturbation
from freqfast.callbacks.precision import AutoPrecision
from freqfast.callbacks.progress import EpochLog, FitProgress
from freqfast.callbacks.proportion import FrequencyProportion
from freqfast.callbacks.recombination import AmplitudePhaseRecombination, HybridAugment
from freqfast.callbacks.recorder import SpectrumRecorder
from freqfast.callbacks.references import AugMix, GaussianNoise
from freqfast.callbacks.waves import FourierBasisAugmentation

__all__ = [
    "AmplitudePhaseRecombination",
    "Antialiasing",
    "AugMix",
    "AutoPrecision",
    "BatchNormEstimation",
    "EpochLog",
    "FitProgress",
    "FourierBasisAugmentation",
    "FrequencyProportion",
    "GaussianNoise",
    "HybridAugment",
    "SpectralDecay",
    "SpectralModulation",
    "SpectrumEqualization",
    "SpectrumPerturbation",
    "SpectrumRecorder",
]
