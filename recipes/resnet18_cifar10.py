"""ResNet-18 on CIFAR-10, one idea at a time and several together against one baseline: same budget, augmentation, seed.

The budget (8 epochs of one-cycle SGD, peak 0.4) is short, so that every arm fits on a CPU with
``--set model.width=16``; the network is the standard one of width 64. The proportions bracket the claim of Jia, Bao and
Ma (2019, arXiv:1911.12044): all filters low, half and half, all high.
"""

from dataclasses import replace

from freqfast import Recipe

_PERTURBATION = {"share": 0.25, "gain": 1.6, "tilt": 0.7, "shaping": 0.0, "noise": 0.1}

baseline = Recipe(description="ResNet-18 on CIFAR-10 without any callback of ours")


def _arm(description: str, base: Recipe = baseline, /, **callbacks: dict) -> Recipe:
    return replace(base, description=description, callbacks={**base.callbacks, **callbacks})


proportion_low = _arm("all filters low-frequency", frequency_proportion={"proportions": {"low": 1.0}})
proportion_balanced = _arm(
    "half of the filters low-frequency, half high-frequency",
    frequency_proportion={"proportions": {"low": 0.5, "high": 0.5}},
)
proportion_high = _arm("all filters high-frequency", frequency_proportion={"proportions": {"high": 1.0}})
modulation = _arm(
    "learned gains per filter, perturbed in training", spectral_modulation={"per_filter": True, "sigma": 0.5}
)
perturbation = _arm("a quarter of each batch with a perturbed spectrum", spectrum_perturbation=_PERTURBATION)
proportion_perturbation = _arm(
    "all filters low-frequency, a quarter of each batch perturbed", proportion_low, spectrum_perturbation=_PERTURBATION
)
equalization = _arm("every image equalized to the training set's spectrum", spectrum_equalization={})
equalization_perturbation = _arm(
    "every image equalized to the training set's spectrum, a quarter of each batch with mild tilt and noise",
    equalization,
    spectrum_perturbation={"share": 0.25, "gain": 0.0, "tilt": 0.3, "shaping": 0.0, "noise": 0.06},
)
equalization_tilt = _arm(
    "every image equalized to the training set's spectrum, a quarter of each batch with more tilt and mild noise",
    equalization,
    spectrum_perturbation={"share": 0.25, "gain": 0.0, "tilt": 1.0, "shaping": 0.0, "noise": 0.06},
)
antialiasing = _arm("a low-pass before every stride", antialiasing={})
antialiasing_equalization_shaping = _arm(
    "a low-pass before every stride, every image equalized, a quarter of each batch with tilt, shaping and noise",
    antialiasing,
    spectrum_equalization={},
    spectrum_perturbation={"share": 0.25, "gain": 0.0, "tilt": 2.0, "shaping": 1.0, "noise": 0.08},
)
modulation_perturbation = _arm(
    "learned gains per filter, a quarter of each batch perturbed", modulation, spectrum_perturbation=_PERTURBATION
)
best = _arm(
    "a low-pass before every stride, contrast equalized, a quarter of each batch perturbed",
    antialiasing_equalization_shaping,
    spectrum_equalization={"bins": 1},
)
best_hybrid = _arm(
    "best, and a quarter of each batch with the high frequencies of other images",
    best,
    hybrid_augment={"pair": True, "single": False, "clean_too": False, "sigma": 0.5, "share": 0.25},
)
