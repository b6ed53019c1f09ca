"""Thin fastai callbacks over freqfast's pure functions, one concern per file.

``docs/methods`` says what each does, when it helps and what it costs.

- On the first convolution: `FrequencyProportion`, `SpectralModulation`, `SpectralDecay`.
- On the inputs of convolutions, in training and in use: `SpectrumEqualization`, `Antialiasing`.
- On training images: `SpectrumPerturbation`; and augmentations by other authors: `AmplitudePhaseRecombination`,
  `HybridAugment`, `FourierBasisAugmentation`, `AugMix` and `GaussianNoise`.
- On the loss: `Distillation`, towards a teacher's outputs for the unchanged images.
- On a fit: `AutoPrecision`, `BatchNormEstimation`, `BatchNormFreeze`, `SpectrumRecorder`, `EpochLog`, `FitProgress`.

Names load on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
