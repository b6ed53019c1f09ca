"""What stands for a weight, a model or proportions: NumPy arrays too, and one clear line for anything else."""

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


@pytest.mark.parametrize("function", OF_WEIGHTS)
@pytest.mark.parametrize("value", [CONV, nn.Sequential(CONV), 3, [[1.0]], None, "low"])
def test_what_is_no_weight(function, value):
    name = type(value).__name__
    with pytest.raises(TypeError, match=f"^weight must be a tensor or a NumPy array, got {name}; of a model, pass"):
        function(value)


@pytest.mark.parametrize("function", OF_MODELS)
@pytest.mark.parametrize("value", [WEIGHT, WEIGHT.numpy(), 3, "runs/a"])
def test_what_is_no_model(function, value):
    with pytest.raises(TypeError, match=rf"^model must be a torch\.nn\.Module, got {type(value).__name__}$"):
        function(value)


@pytest.mark.parametrize(
    "function",
    [
        FrequencyProportion,
        lambda value: project_filters(WEIGHT, value),
        lambda value: measure_spectra(CONV, target=value),
    ],
)
@pytest.mark.parametrize("value", ["low", CONV, {"low": "much"}, {"low": CONV}])
def test_what_are_no_proportions(function, value):
    with pytest.raises(TypeError, match=r"^(proportions|the proportion of low|target) must be ") as caught:
        function(value)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("value", [nn.Sequential(CONV), WEIGHT, 3])
def test_what_is_no_convolution(value):
    with pytest.raises(TypeError, match=f"^layer must be a torch.nn.Conv2d, got {type(value).__name__}; pass"):
        effective_weight(value)


@pytest.mark.parametrize("value", [WEIGHT, 3, [CONV]])
def test_what_are_no_spectra(tmp_path, value):
    with pytest.raises(TypeError, match=r"^spectra must be Spectra, a list of them, or a model, got "):
        write_spectra(tmp_path / "spectra.h5", value)


def test_what_are_no_images():
    with pytest.raises(TypeError, match=r"^images must be a tensor or a NumPy array, got Conv2d$"):
        perturb_spectrum(CONV)
    with pytest.raises(ValueError, match="floating point of shape"):
        perturb_spectrum(np.zeros((2, 8, 8, 3), np.uint8))
