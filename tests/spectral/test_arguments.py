"""What the methods take: NumPy arrays too, and one clear line for values that do not fit."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from freqfast import (
    Bands,
    FrequencyProportion,
    SpectrumEqualizer,
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
from freqfast.spectral.antialiasing import ideal_low_pass, low_pass
from freqfast.spectral.bands import assign_bands, band_counts
from freqfast.spectral.decay import energy_outside
from freqfast.spectral.proportion import project_onto_subspace
from freqfast.spectral.recombination import gaussian_low_pass, recombine_amplitude_phase
from freqfast.spectral.spectrum import frequencies
from freqfast.spectral.waves import add_planar_waves
from tests.support.projected import THREE, TWO

CONV = nn.Conv2d(3, 8, 3)
WEIGHT = CONV.weight.detach()
OF_WEIGHTS = (band_shares, frequency_proportion, power_spectrum, lambda weight: project_filters(weight, {"low": 1.0}))
OF_MODELS = (
    measure_spectra, apply_modulation, bake_modulation, apply_equalization, remove_equalization, apply_antialiasing,
    remove_antialiasing,
)  # fmt: skip


@pytest.mark.parametrize("function", [*OF_WEIGHTS, lambda weight: perturb_spectrum(weight.clip(0, 1), 0, 0, 0, 0, 0)])
@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
def test_arrays_are_taken_as_tensors(function):
    for weight, array in ((WEIGHT, WEIGHT.numpy()), (WEIGHT.flip(0), WEIGHT.numpy()[::-1])):
        array.setflags(write=False)
        assert torch.equal(function(array), function(weight))


OF_IMAGES = (
    perturb_spectrum, add_planar_waves, gaussian_low_pass, recombine_amplitude_phase, low_pass, ideal_low_pass,
    SpectrumEqualizer(),
)  # fmt: skip
MORE = {gaussian_low_pass: (0.5,), low_pass: ((2, 2),), ideal_low_pass: ((2, 2),)}


@pytest.mark.parametrize("function", OF_IMAGES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_levels_of_whole_numbers_are_refused(function, dtype):
    """A result in their type would be rounded to zeros and ones."""
    images = torch.full((2, 3, 16, 16), 1, dtype=dtype)
    more = (images,) if function is recombine_amplitude_phase else MORE.get(function, ())
    with pytest.raises(ValueError, match=f"images must be floating point.*, got {dtype}"):
        function(images, *more)


OF_SPECTRA = (lambda value: write_spectra("spectra.h5", value),)
OF_PROPORTIONS = (FrequencyProportion, lambda value: project_filters(WEIGHT, value))
OF_TARGETS = (lambda value: measure_spectra(CONV, target=value),)
WRONG = {
    "weight": (
        OF_WEIGHTS,
        (CONV, [[1.0]], "low"),
        "weight must be a tensor or a NumPy array, got {}; of a model, pass",
    ),
    "model": (OF_MODELS, (WEIGHT, "runs/a"), r"model must be a torch\.nn\.Module, got {}$"),
    "layer": ((effective_weight,), (nn.Sequential(CONV), 3), r"layer must be a torch\.nn\.Conv2d, got {}; pass"),
    "images": ((perturb_spectrum,), (CONV,), "images must be a tensor or a NumPy array, got {}$"),
    "spectra": (OF_SPECTRA, (WEIGHT, 3, [CONV]), "spectra must be Spectra, a list of them, or a model, got "),
    "proportions": (
        OF_PROPORTIONS,
        ("low", CONV, {"low": "much"}),
        r"(proportions(\.low)?|the proportion of low|target) must ",
    ),
    "target": (OF_TARGETS, ({"low": CONV},), "the proportion of low must be "),
}


@pytest.mark.parametrize("argument", WRONG)
def test_values_of_another_type_are_refused_in_one_line(argument):
    functions, values, message = WRONG[argument]
    for function, value in itertools.product(functions, values):
        with pytest.raises((TypeError, ValueError), match="^" + message.format(type(value).__name__)) as caught:
            function(value)
        assert len(str(caught.value)) < 150


GOOD = torch.ones(4, 3, 3, 3)
STRIDED = nn.Sequential(nn.Conv2d(3, 2, 3, stride=2), nn.Conv2d(2, 2, 3))
REFUSED = [
    (lambda: power_spectrum(GOOD[0]), r"weight must have shape \(O, I, kH, kW\), none of them 0, got \(3, 3, 3\)"),
    (lambda: frequency_proportion(GOOD[:0]), r"none of them 0, got \(0, 3, 3, 3\)"),
    (lambda: band_shares(GOOD[:, :0]), r"none of them 0, got \(4, 0, 3, 3\)"),
    (lambda: power_spectrum(GOOD.long()), "real floating point, got torch.int64"),
    (lambda: power_spectrum(GOOD[..., :1, :1]), "a 1x1 kernel has a flat spectrum"),
    (lambda: power_spectrum(GOOD * torch.tensor([1, math.inf, math.nan, 1])[:, None, None, None]), "values in 2 of 4"),
    (lambda: power_spectrum(torch.zeros(1, 1, 5, 3), n=4), "n must be at least the kernel's size 5, got 4"),
    (lambda: power_spectrum(torch.zeros(1, 1, 3, 5), n=4), "n must be at least the kernel's size 5, got 4"),
    (lambda: Bands((0, 0.3, 0.8), ("a",)), "one more than names, got 3 edges for 1 names"),
    (lambda: Bands((0,), ()), "one more than names, got 1 edges for 0 names"),
    (lambda: Bands((0.1, 0.3, 0.8), ("a", "b")), r"from 0 to sqrt\(0.5\) = 0.7071 .* got \(0.1, 0.3, 0.8\)"),
    (lambda: Bands((0, 0.3, 0.7), ("a", "b")), "got .0.0, 0.3, 0.7"),
    (lambda: Bands((0, 0.3, 0.3, 0.8), ("a", "b", "c")), "increase strictly .* got .0.0, 0.3, 0.3"),
    (lambda: Bands((0, math.nan, 0.8), ("a", "b")), "got .0.0, nan"),
    (lambda: Bands((0, 0.72, 0.8), ("a", "b")), "no band above it, got .0.0, 0.72"),
    (lambda: Bands((0, 0.3, 0.8), ("a", "a")), "different non-empty strings, got"),
    (lambda: Bands((0, 0.3, 0.8), ("a", 3)), "different non-empty strings, got"),
    (lambda: Bands((0, 0.3, 0.8), ("a", "")), "different non-empty strings, got"),
    (lambda: Bands.equal_area(True), "positive integer, got True"),
    (lambda: Bands.of(0), "positive integer, got 0"),
    (lambda: Bands.of("low"), "bands must be a Bands, a number of bands, .* got 'low'"),
    (lambda: Bands.of({"edges": [0, 1], "names": ["a"], "purity": 0.9}), "edges and names, got"),
    (lambda: band_counts({"low": 0.8, "high": 0.4}, TWO, 8), r"must sum to 1, got 1.2 \(low=0.8, high=0.4\)"),
    (lambda: band_counts({"low": 0.75, "high": 0.249}, TWO, 8), "must sum to 1, got 0.999"),
    (lambda: band_counts({"low": 1.5, "high": -0.5}, TWO, 8), "finite and not negative, got low=1.5, high=-0.5"),
    (lambda: band_counts({"low": math.nan, "high": 0.5}, TWO, 8), "finite and not negative, got low=nan"),
    (lambda: assign_bands(torch.rand(4, 2), [2, 3]), "counts must sum to the 4 filters, got 2, 3"),
    (lambda: project_filters(GOOD, {"low": 1.0}, purity=0.5), "between 0.5 and 0.99.* 3x3 .* band 'low'.*got 0.5;"),
    (lambda: project_filters(GOOD, {"low": 1.0}, purity=math.nan), "got nan"),
    (lambda: project_filters(GOOD, {"mid": 1.0}, THREE), "between 0.5 and 0.54.* band 'mid'.*got 0.9"),
    (lambda: project_filters(GOOD, {"band2": 1.0}, 4), "^a 3x3 kernel can have only 0.4.* 'band2', .* use fewer"),
    (lambda: project_onto_subspace(GOOD, {"band2": 1.0}, 4, 1), "^no rank fits a 3x3 kernel in band band2; use fewer"),
    (lambda: project_filters(GOOD, torch.tensor([0, 1, 0])), r"each of the 4 filters, got shape \(3,\)"),
    (lambda: project_filters(GOOD, torch.tensor([0.0, 1, 0, 1])), "one integer band index .* of torch.float32"),
    (lambda: project_filters(GOOD, torch.tensor([True, False] * 2)), "one integer band index .* of torch.bool"),
    (lambda: project_filters(GOOD, torch.tensor([0, 1, 2, 1])), r"must lie in 0..1, got \[0, 1, 2\]"),
    (lambda: project_onto_subspace(GOOD, {"low": 1}, rank=0), r"one of 1, 3, 4 \(.* a 3x3 kernel .* band low\), got 0"),
    (lambda: project_onto_subspace(GOOD, {"low": 0.5, "high": 0.5}, rank=2), "one of 1, 3, 4 .* low and high.* got 2"),
    (lambda: project_onto_subspace(GOOD, {"low": 0.5, "mid": 0.5}, THREE, 2), "one of 1, 3 .* low and mid.* got 2"),
    (lambda: energy_outside(GOOD, "mid"), "unknown band 'mid'; the bands are low, high"),
    (lambda: SpectrumEqualizer(bins=0), "bins must be an integer from 1 to 1024, got 0"),
    (lambda: apply_equalization(nn.Sequential(CONV), bins=10**9), "bins must be an integer .* got 1000000000"),
    (lambda: SpectrumEqualizer(bins=2.5), "bins must be an integer .* got 2.5"),
    (lambda: band_shares(GOOD.to_sparse()), "weight must be a dense tensor with values, but is torch.sparse_coo"),
    (lambda: power_spectrum(GOOD.to("meta")), "weight must be a dense tensor with values, but is on the meta device"),
    (lambda: perturb_spectrum(GOOD.to_sparse()), "images must be a dense tensor with values, but is torch.sparse_coo"),
    (lambda: frequencies(0), "n must be a positive integer, got 0"),
    (lambda: frequencies(2.5), "n must be a positive integer, got 2.5"),
    (lambda: SpectrumEqualizer(exponent=1.5), r"exponent must lie in \[0, 1\], got 1.5"),
    (lambda: SpectrumEqualizer(exponent=math.nan), "got nan"),
    (lambda: apply_antialiasing(STRIDED), "Sequential has no strided Conv2d beyond its first convolution"),
    (lambda: apply_antialiasing(STRIDED, kind="box"), "kind must be one of triangle, flc, got 'box'"),
    (lambda: perturb_spectrum(np.zeros((2, 8, 8, 3), np.uint8)), "floating point, got torch.uint8; divide"),
    (lambda: perturb_spectrum(torch.rand(3, 16, 16)), r"shape \(N, C, H, W\), got \(3, 16, 16\)"),
    (lambda: SpectrumEqualizer()(GOOD[..., None]), r"shape \(N, C, H, W\), got \(4, 3, 3, 3, 1\)"),
    (lambda: add_planar_waves(GOOD[0]), r"shape \(N, C, H, W\), got \(3, 3, 3\)"),
    (lambda: recombine_amplitude_phase(GOOD, GOOD[0]), r"shape \(N, C, H, W\), got \(3, 3, 3\)"),
    (lambda: gaussian_low_pass(GOOD[0], 0.5), r"shape \(N, C, H, W\), got \(3, 3, 3\)"),
    (lambda: gaussian_low_pass(GOOD, 0.0), "sigma must be greater than 0 pixels, got 0"),
    (lambda: gaussian_low_pass(GOOD, torch.tensor([0.5, 0.5, -0.5, 0.5])), "sigma must be .* got -0.5"),
    (lambda: gaussian_low_pass(GOOD, math.nan), "sigma must be .* got nan"),
    (lambda: perturb_spectrum(GOOD, gain=-0.1), "gain must be finite and not negative, got -0.1"),
    (lambda: perturb_spectrum(GOOD, tilt=math.nan), "tilt must be finite and not negative, got nan"),
    (lambda: perturb_spectrum(GOOD, noise=math.inf), "noise must be finite and not negative, got inf"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_values_that_do_not_fit_are_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
