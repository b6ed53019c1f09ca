"""The noise on the gains while a modulated convolution trains."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from freqfast.spectral.modulation import SpectralConv2d, effective_weight
from tests.support.modulated import images, numpy_modulated, spectral


def test_perturbation_is_for_training_only():
    conv, x = SpectralConv2d(3, 8, 3, sigma=1.0, seed=0), images(2, 3, 8, 8)
    plain = F.conv2d(x, conv.weight, conv.bias)
    assert torch.equal(conv.eval()(x), plain)
    assert conv.draws == 0
    assert not torch.allclose(conv.train()(x), plain)
    assert conv.draws == 1
    assert torch.equal(effective_weight(conv), conv.weight)  # also while training


def test_perturbation_is_reproducible_from_its_seed_alone():
    x = images(2, 3, 8, 8)
    weight = SpectralConv2d(3, 8, 3).state_dict()

    def three_steps(global_seed):
        torch.manual_seed(global_seed)
        conv = SpectralConv2d(3, 8, 3, sigma=0.5, seed=0)
        conv.load_state_dict(weight)
        return torch.stack([conv(x) for _ in range(3)])

    assert torch.equal(three_steps(100), three_steps(101))
    drawn = [torch.manual_seed(each) and SpectralConv2d(3, 8, 3).seed for each in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]  # without a seed, it is drawn from torch's generator


def test_perturbation_ignores_the_default_device_and_dtype():
    expected = SpectralConv2d(3, 8, 3, sigma=0.5, seed=3)._perturbation()
    conv = SpectralConv2d(3, 8, 3, sigma=0.5, seed=3)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            assert torch.equal(conv._perturbation(), expected)
    finally:
        torch.set_default_dtype(default)


@pytest.mark.parametrize(("keep_power", "mean"), [(False, 0.0), (True, -0.125)])  # exp of which is 1 on average
def test_perturbation_is_gaussian_in_the_log_power_gain(keep_power, mean):
    conv = SpectralConv2d(1, 64, 3, sigma=0.5, seed=0, keep_power=keep_power)
    draws = torch.stack([conv._perturbation() for _ in range(400)])
    count = draws.numel()
    assert draws.mean().item() == pytest.approx(mean, abs=4 * 0.5 / math.sqrt(count))
    assert draws.std().item() == pytest.approx(0.5, rel=4 / math.sqrt(2 * count))
    neighbours = torch.corrcoef(torch.stack([draws[:-1].flatten(), draws[1:].flatten()]))[0, 1]
    assert neighbours.abs() < 4 / math.sqrt(count)


def test_perturbation_scales_the_power_by_its_exponential():
    conv = SpectralConv2d(3, 8, 3, sigma=0.7, seed=5, dtype=torch.float64)
    weight = conv.modulated_weight(perturbed=True)
    twin = SpectralConv2d(3, 8, 3, sigma=0.7, seed=5, dtype=torch.float64)
    twin.load_state_dict(conv.state_dict())
    with torch.no_grad():
        twin.log_gain += twin._perturbation()
    np.testing.assert_allclose(weight.detach().numpy(), numpy_modulated(twin), atol=1e-12)


def replica_of(conv):
    """As `nn.DataParallel` makes one for each device in each forward pass."""
    replica = conv._replicate_for_data_parallel()
    for name, parameter in conv.named_parameters():
        setattr(replica, name, parameter.clone())
    return replica


def test_data_parallel_replicas_are_refused_where_they_would_draw():
    conv, x = spectral(3, 8, 3, sigma=0.5), images(2, 3, 8, 8)
    with pytest.raises(RuntimeError, match=r"replicas would draw the same .* use DistributedDataParallel"):
        replica_of(conv)(x)
    for harmless in (conv.eval(), spectral(3, 8, 3, sigma=0.0).train()):
        assert torch.equal(replica_of(harmless)(x), harmless(x))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_perturbation_is_the_same_on_cuda():
    on_cpu, on_cuda = (spectral(3, 8, 3, sigma=0.5, gain=0.5, bias=False) for _ in range(2))
    on_cuda.seed, on_cuda = on_cpu.seed, on_cuda.cuda()
    torch.testing.assert_close(on_cuda.modulated_weight(True).cpu(), on_cpu.modulated_weight(True))


def test_draws_are_new_each_step_and_for_neighbouring_seeds():
    """Runs of a study have seeds 0, 1, 2, ...: the noise of one must not come again in another, some steps later."""
    convs = [SpectralConv2d(3, 8, 3, sigma=0.5, seed=seed) for seed in range(4)]
    draws = torch.stack([conv._perturbation() for conv in convs for _ in range(6)]).flatten(1)
    assert len(torch.unique(draws, dim=0)) == 24
    for seed in (2**62, -(2**62), -1):
        assert SpectralConv2d(3, 8, 3, sigma=0.5, seed=seed)._perturbation().isfinite().all()
