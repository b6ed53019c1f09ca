"""What stands for a weight, a model or proportions: NumPy arrays too, and one clear line for anything else."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from freqfast import (
    FrequencyProportion,
    apply_antialiasing,
    apply_equalization,
    apply_modulation,
    bake_modulation,
    band_shares,
    effective_weight,
    frequency_proportion,
    measure_spectra,
    perturb_spectrum,
    power_spectrum,
    project_filters,
    remove_antialiasing,
    remove_equalization,
    write_spectra,
)

CONV = nn.Conv2d(3, 8, 3)
WEIGHT = CONV.weight.detach()
OF_WEIGHTS = (band_shares, frequency_proportion, power_spectrum, lambda weight: project_filters(weight, {"low": 1.0}))
OF_MODELS = (
    measure_spectra, apply_modulation, bake_modulation, apply_equalization, remove_equalization, apply_antialiasing,
    remove_antialiasing,
)  # fmt: skip


@pytest.mark.parametrize("function", [*OF_WEIGHTS, lambda weight: perturb_spectrum(weight.clip(0, 1), 0, 0, 0, 0, 0)])
def test_arrays_are_taken_as_tensors(function):
    array = WEIGHT.numpy()[::-1]
    array.setflags(write=False)
    assert torch.equal(function(array), function(WEIGHT.flip(0)))


WRONG = {
    "weight": (
        OF_WEIGHTS,
        (CONV, [[1.0]], "low"),
        "^weight must be a tensor or a NumPy array, got {}; of a model, pass",
    ),
    "model": (OF_MODELS, (WEIGHT, "runs/a"), r"^model must be a torch\.nn\.Module, got {}$"),
    "layer": ((effective_weight,), (nn.Sequential(CONV), 3), r"^layer must be a torch\.nn\.Conv2d, got {}; pass"),
    "images": ((perturb_spectrum,), (CONV,), "^images must be a tensor or a NumPy array, got {}$"),
    "spectra": (
        (lambda value: write_spectra("spectra.h5", value),),
        (WEIGHT, 3, [CONV]),
        "^spectra must be Spectra, a list of them, or a model, got ",
    ),
    "proportions": (
        (FrequencyProportion, lambda value: project_filters(WEIGHT, value)),
        ("low", CONV, {"low": "much"}),
        "^(proportions|the proportion of low|target) must be ",
    ),
    "target": (
        (lambda value: measure_spectra(CONV, target=value),),
        ({"low": CONV},),
        "^the proportion of low must be ",
    ),
}


@pytest.mark.parametrize("argument", WRONG)
def test_values_of_another_type_are_refused_in_one_line(argument):
    functions, values, message = WRONG[argument]
    for function, value in itertools.product(functions, values):
        with pytest.raises(TypeError, match=message.format(type(value).__name__)) as caught:
            function(value)
        assert len(str(caught.value)) < 150


def test_images_of_bytes_are_refused():
    with pytest.raises(ValueError, match="floating point of shape"):
        perturb_spectrum(np.zeros((2, 8, 8, 3), np.uint8))
