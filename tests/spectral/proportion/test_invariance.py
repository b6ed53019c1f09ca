"""What a projection does not change, and what it does not depend on."""

import pytest
import torch
from torch import nn

from freqfast.spectral.bands import frequency_proportion
from freqfast.spectral.proportion import project_filters
from tests.support.projected import THREE, TWO, purity_of, random_weight


def test_filters_inside_and_filters_without_energy_come_back_bit_for_bit():
    weight = random_weight(2, 16, 3, 3, 3, dtype=torch.float32)
    inside = project_filters(weight, torch.arange(16) % 2, TWO, 0.95)
    weight[:8] = inside[:8]
    weight[8] = 0
    projected = project_filters(weight, torch.arange(16) % 2, TWO, 0.9)
    assert torch.equal(projected[:9], weight[:9])
    assert (projected[9:] != weight[9:]).flatten(1).any(1).sum() > 4


def test_the_input_stays_and_the_result_has_no_gradient():
    weight = nn.Parameter(random_weight(3, 8, 3, 3, 3))
    before = weight.detach().clone()
    projected = project_filters(weight, {"high": 1.0}, TWO)
    assert torch.equal(weight, before)
    assert not projected.requires_grad
    untouched = project_filters(projected, {"high": 1.0}, TWO)
    assert untouched.data_ptr() != projected.data_ptr()


@pytest.mark.parametrize(("scale", "dtype"), [(1e-30, torch.float32), (1e30, torch.float32), (1e30, torch.float64)])
def test_tiny_and_huge_filters_are_projected_beside_ordinary_ones(scale, dtype):
    weight, target = random_weight(10, 16, 3, 3, 3, dtype=dtype), torch.arange(16) // 2 % 2
    mixed = weight.clone()
    mixed[::2] *= scale
    projected = project_filters(mixed, target, TWO)
    assert torch.isfinite(projected).all()
    assert (purity_of(projected, TWO, target) >= 0.9 - 1e-9).all()
    assert torch.equal(projected[1::2], project_filters(weight, target, TWO)[1::2])


def test_order_of_filters_and_channels_does_not_matter():
    weight, target = random_weight(12, 16, 3, 3, 3), torch.arange(16) % 2
    projected = project_filters(weight, target, TWO)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(project_filters(weight[order], target[order], TWO), projected[order])
    torch.testing.assert_close(project_filters(weight.flip(1), target, TWO), projected.flip(1))


def test_a_band_without_filters_does_not_limit_the_purity():
    weight = random_weight(16, 8, 3, 3, 3)
    projected = project_filters(weight, {"low": 1.0}, THREE, 0.9)  # the middle band could reach 0.54 only
    assert frequency_proportion(projected, THREE).tolist() == [1, 0, 0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_cpus_result():
    weight = random_weight(17, 64, 3, 7, 7, dtype=torch.float32)
    on_cuda = project_filters(weight.cuda(), {"low": 0.5, "high": 0.5}, TWO)
    assert on_cuda.is_cuda
    torch.testing.assert_close(on_cuda.cpu(), project_filters(weight, {"low": 0.5, "high": 0.5}, TWO))
