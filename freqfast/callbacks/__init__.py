"""Thin fastai callbacks over freqfast's pure functions, one concern a file.

What each does, when it helps and what it costs: ``docs/methods``.

- Of the first convolution: `FrequencyProportion`, `SpectralModulation`, `SpectralDecay`.
- Of what convolutions meet, also in use: `SpectrumEqualization`, `Antialiasing`.
- Of training images: `SpectrumPerturbation`; the augmentations of others `AmplitudePhaseRecombination`,
  `HybridAugment`, `FourierBasisAugmentation`, `AugMix` and `GaussianNoise`.
- Of a fit: `AutoPrecision`, `BatchNormEstimation`, `BatchNormFreeze`, `SpectrumRecorder`, `EpochLog`, `FitProgress`.

Names load on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
