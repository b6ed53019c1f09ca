"""Modulation put into a layer and folded out of it, and the filters that the layer applies meanwhile."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, prune

from freqfast.spectral.modulation import (
    SpectralConv2d,
    apply_modulation,
    assign_effective_weight,
    bake_modulation,
    effective_weight,
)
from tests.support.modulated import KERNEL_SIZES, images, numpy_modulated, small_model, spectral


def test_apply_to_a_named_layer_and_options():
    options = {"per_filter": False, "sigma": 0.25, "seed": 11, "keep_power": True}
    model = apply_modulation(small_model(torch.float64), layer="2", **options)
    assert type(model[0]) is nn.Conv2d
    assert (model[2].sigma, model[2].seed, model[2].log_gain.shape) == (0.25, 11, (1, 5))
    assert repr(model[2]).endswith("per_filter=False, sigma=0.25, keep_power=True)")
    assert model[2].log_gain.dtype == torch.float64


def test_apply_to_a_frozen_layer_freezes_the_gains():
    model = small_model()
    model[0].weight.requires_grad_(False)
    assert not apply_modulation(model)[0].log_gain.requires_grad


def tied():
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3))
    model[1].weight = model[0].weight
    return model


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (small_model, {"sigma": -0.1}, "sigma must be finite and not negative, got -0.1"),
        (small_model, {"sigma": math.nan}, "sigma must be finite and not negative, got nan"),
        (small_model, {"seed": "lucky"}, "lucky"),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 1)), {"layer": "0"}, "a 1x1 kernel has one frequency only"),
        (tied, {}, "layer '0' shares its weight with '1', which baking would change; untie them"),
    ],
)
def test_a_refused_apply_changes_nothing(make, options, message):
    model = make()
    attributes = set(vars(model[0]))
    with pytest.raises(ValueError, match=message):
        apply_modulation(model, **options)
    assert type(model[0]) is nn.Conv2d
    assert vars(model[0]).keys() == attributes
    assert "log_gain" not in dict(model[0].named_parameters())


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_baked_outputs_are_the_same(kernel_size, dtype, tolerance):
    conv, x = spectral(3, 8, kernel_size, sigma=0.5, dtype=dtype).eval(), images(2, 3, 20, 20, dtype=dtype)
    before = conv(x)
    exact = F.conv2d(x.double(), torch.from_numpy(numpy_modulated(conv)), conv.bias.double())
    assert bake_modulation(conv.train()) is conv
    assert vars(conv).keys() == vars(nn.Conv2d(3, 8, 3)).keys()
    torch.testing.assert_close(conv(x), before, rtol=tolerance, atol=0)
    assert (conv(x).double() - exact).norm() <= tolerance * exact.norm()


@pytest.mark.parametrize(
    "compute", [parametrizations.weight_norm, partial(prune.l1_unstructured, name="weight", amount=0.5)]
)
def test_gains_are_not_folded_into_a_weight_that_is_computed(compute):
    model, x = apply_modulation(nn.Sequential(nn.Conv2d(3, 8, 3))).eval(), images(2, 3, 9, 9)
    model[0].log_gain.data.normal_()
    compute(model[0])
    before = model(x)
    with pytest.raises(ValueError, match=r"the weight of layer '0' is reparametrised, .* torch.nn.utils.prune.remove"):
        bake_modulation(model)
    assert torch.equal(model(x), before)


# The filters that are applied


def test_effective_weight_is_a_copy_without_gradient():
    for conv in (nn.Conv2d(3, 8, 3), SpectralConv2d(3, 8, 3)):
        weight = effective_weight(conv)
        assert not weight.requires_grad
        weight.zero_()
        assert conv.weight.abs().sum() > 0


@given(
    kernel=st.sampled_from([(3, 3), (5, 5), (2, 5), (4, 4)]),
    per_filter=st.booleans(),
    largest=st.floats(0, 4),
    seed=st.integers(0, 2**31),
)
def test_assigned_effective_weight_is_applied(kernel, per_filter, largest, seed):
    conv = spectral(3, 8, kernel, seed=seed, per_filter=per_filter)
    with torch.no_grad():
        conv.log_gain.uniform_(-largest, largest)
    gains = conv.log_gain.detach().clone()
    target = torch.randn(8, 3, *kernel)
    assign_effective_weight(conv, target)
    error = (effective_weight(conv) - target).flatten(1).norm(dim=1) / target.flatten(1).norm(dim=1)
    assert error.max() < 2e-7 * math.exp(largest)  # rounding of the weight, seen through the ratio of gains
    assert torch.equal(conv.log_gain, gains)


def test_filters_that_are_applied_already_keep_their_weight_bit_for_bit():
    conv = spectral(3, 8, 3)
    before = conv.weight.detach().clone()
    target = effective_weight(conv)
    target[3, 0, 1, 1] *= 2
    assign_effective_weight(conv, target)
    assign_effective_weight(plain := nn.Conv2d(3, 8, 3), target)
    assert torch.equal(plain.weight, target)
    changed = (conv.weight != before).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == [3]
