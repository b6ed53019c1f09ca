"""The method, in pure torch: functions of weights and images, and layers; no fastai.

- `spectrum` makes frequency grids and power spectra; `bands` divides energy among bands and assigns filters to them.
- `proportion` projects filters onto bands, `decay` penalises energy outside one; `modulation` learns gains.
- `perturbation`, `equalization`, `recombination` and `waves` change images; `antialiasing` puts low-passes before
  strides.
- `batch_norm` estimates BatchNorm's running statistics anew after training with perturbation.
- `surgery` finds the first convolution and changes models in place; `tensors` has what the others share.
"""

from freqfast.spectral import antialiasing as antialiasing
from freqfast.spectral import bands as bands
from freqfast.spectral import batch_norm as batch_norm
from freqfast.spectral import decay as decay
from freqfast.spectral import equalization as equalization
from freqfast.spectral import modulation as modulation
from freqfast.spectral import perturbation as perturbation
from freqfast.spectral import proportion as proportion
from freqfast.spectral import recombination as recombination
from freqfast.spectral import spectrum as spectrum
from freqfast.spectral import surgery as surgery
from freqfast.spectral import waves as waves
