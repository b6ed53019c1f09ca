"""Thin fastai callbacks over freqfast's pure functions, one concern a file.

When each helps, and what it costs:

- `FrequencyProportion` enforces which share of the first convolution's filters is low- or high-frequency. One small
  projection after each optimizer step.
- `SpectralModulation` learns a gain for each frequency of the filters, under random perturbation. Two small matrix
  products per forward pass; baked away for inference.
- `SpectrumEqualization` gives every sample the training set's radial power spectrum. One FFT of each batch (none
  with one bin), also in inference; no parameters.
- `Antialiasing` low-passes what strided convolutions meet beyond the first layer. A few per cent of a step, also in
  inference; no parameters.
- `SpectrumPerturbation` perturbs the spectrum that a share of each training batch meets. One FFT of that share.
- `SpectralDecay` penalises what filters pass outside a band, the soft form of `FrequencyProportion`.
- `AmplitudePhaseRecombination`, `HybridAugment` and `FourierBasisAugmentation` are the frequency augmentations of
  others. As published each image passes twice.
- `BatchNormEstimation` estimates BatchNorm's running statistics anew at the end. A hundred forward passes.
- `GaussianNoise` and `AugMix` are references to compare the others with; see `freqfast.callbacks.references`.
- `SpectrumRecorder` keeps the filters' spectra of every epoch. Once per epoch.
- `AutoPrecision` runs the forward pass in bfloat16 where the device has it natively.
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
