"""The method, in pure torch: functions of weights and images, and layers; no fastai.

- `spectrum` makes frequency grids and power spectra; `bands` divides energy among bands and assigns filters to them.
- `proportion` projects filters onto bands, `decay` penalises energy outside one; `modulation` learns gains.
- `perturbation`, `equalization`, `recombination` and `waves` change images; `antialiasing` low-passes before strides.
- `batch_norm` estimates statistics anew that perturbed layers left behind.
- `surgery` finds the first convolution and changes models in place; `tensors` has what the others share.
"""

from freqfast.spectral import (
    antialiasing,
    bands,
    batch_norm,
    decay,
    equalization,
    modulation,
    perturbation,
    proportion,
    recombination,
    spectrum,
    surgery,
    waves,
)

__all__ = [
    "antialiasing",
    "bands",
    "batch_norm",
    "decay",
    "equalization",
    "modulation",
    "perturbation",
    "proportion",
    "recombination",
    "spectrum",
    "surgery",
    "waves",
]
