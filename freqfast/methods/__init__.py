"""The methods for any training loop, in torch alone: one class a method, and `Methods`, which runs several.

A method is attached to a network before the optimizer and wrappers such as DistributedDataParallel are made. In
training it changes images, may add to the loss, and acts after each step of the optimizer:

>>> import torch
>>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(8 * 36, 2))
>>> methods = Methods(model, [FrequencyProportion({"low": 0.75, "high": 0.25}), SpectrumPerturbation()])
>>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
>>> methods.start()
>>> for images, labels in [(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 1, 0]))]:
...     loss = methods.loss(torch.nn.functional.cross_entropy, model(methods.images(images)), labels)
...     optimizer.zero_grad()
...     loss.backward()
...     _ = optimizer.step()
...     methods.step()

`freqfast.callbacks` has the same methods for fastai.
"""

from freqfast.methods.antialiasing import Antialiasing as Antialiasing
from freqfast.methods.base import Method as Method
from freqfast.methods.decay import SpectralDecay as SpectralDecay
from freqfast.methods.distillation import Distillation as Distillation
from freqfast.methods.equalization import SpectrumEqualization as SpectrumEqualization
from freqfast.methods.modulation import SpectralModulation as SpectralModulation
from freqfast.methods.perturbation import SpectrumPerturbation as SpectrumPerturbation
from freqfast.methods.pixels import PixelMethod as PixelMethod
from freqfast.methods.pixels import ViewsMethod as ViewsMethod
from freqfast.methods.proportion import FrequencyProportion as FrequencyProportion
from freqfast.methods.recombination import AmplitudePhaseRecombination as AmplitudePhaseRecombination
from freqfast.methods.recombination import HybridAugment as HybridAugment
from freqfast.methods.references import AugMix as AugMix
from freqfast.methods.references import FourierBasisAugmentation as FourierBasisAugmentation
from freqfast.methods.references import GaussianNoise as GaussianNoise
from freqfast.methods.several import Methods as Methods
