"""`effective_weight` and `assign_effective_weight`, of plain and of modulated layers."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from freqfast.spectral.modulation import SpectralConv2d, assign_effective_weight, effective_weight
from tests.support.modulated import spectral


def test_effective_weight_is_a_copy_without_gradient():
    for conv in (nn.Conv2d(3, 8, 3), SpectralConv2d(3, 8, 3)):
        weight = effective_weight(conv)
        assert not weight.requires_grad
        weight.zero_()
        assert conv.weight.abs().sum() > 0


@settings(max_examples=60)
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
    target[3] *= 2
    assign_effective_weight(conv, target)
    assign_effective_weight(plain := nn.Conv2d(3, 8, 3), target)
    assert torch.equal(plain.weight, target)
    changed = (conv.weight != before).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == [3]
