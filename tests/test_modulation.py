import copy
import io
import math
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from freqfast.bands import Bands, band_shares
from freqfast.modulation import (
    SpectralConv2d,
    apply_modulation,
    assign_effective_weight,
    bake_modulation,
    effective_weight,
    gain_frequencies,
)
from freqfast.proportion import project_filters

KERNEL_SIZES = [(3, 3), (2, 2), (4, 4), (5, 5), (7, 7), (16, 16), (1, 3), (3, 1), (2, 5), (5, 4)]
CONVOLUTIONS = {
    "plain": {},
    "strided": {"stride": 2},
    "padded": {"padding": 1},
    "same": {"padding": "same"},
    "reflect": {"padding": 1, "padding_mode": "reflect"},
    "circular": {"padding": (2, 1), "padding_mode": "circular"},
    "replicate": {"padding": 1, "padding_mode": "replicate"},
    "dilated": {"dilation": 2},
    "grouped": {"groups": 2},
    "depthwise": {"groups": 4},
    "unbiased": {"bias": False},
}


def spectral(*args, gain=1.0, seed=0, **kwargs):
    """A SpectralConv2d with random log gains."""
    torch.manual_seed(seed)
    conv = SpectralConv2d(*args, **kwargs)
    with torch.no_grad():
        conv.log_gain.normal_(0, gain)
    return conv


def images(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def small_model(dtype=torch.float32):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.LazyLinear(5)]
    model = nn.Sequential(*layers)
    model(torch.zeros(1, 3, 8, 8))
    return model.to(dtype).eval()


def numpy_modulated(conv):
    """The definition, by NumPy: Re IDFT(DFT(W) exp(g / 2)) with g looked up by frequency on the kernel's DFT grid."""
    size = conv.kernel_size
    gain_at = {}
    for column, (fy, fx) in enumerate(gain_frequencies(size).tolist()):
        u, v = round(fy * size[0]), round(fx * size[1])
        for sign in (1, -1):
            gain_at[sign * u % size[0], sign * v % size[1]] = column
    columns = np.array([[gain_at[u, v] for v in range(size[1])] for u in range(size[0])])
    g = conv.log_gain.detach().double().numpy()[:, None, columns]
    spectrum = np.fft.fft2(conv.weight.detach().double().numpy()) * np.exp(g / 2)
    modulated = np.fft.ifft2(spectrum)
    assert np.abs(modulated.imag).max() < 1e-12 * np.abs(modulated).max()  # tied gains keep the kernels real
    return modulated.real


# The modulated weight


@pytest.mark.parametrize("per_filter", [True, False])
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_modulated_weight_is_the_definition(kernel_size, per_filter):
    conv = spectral(3, 6, kernel_size, per_filter=per_filter, dtype=torch.float64)
    np.testing.assert_allclose(conv.modulated_weight().detach().numpy(), numpy_modulated(conv), rtol=0, atol=1e-12)
    assert torch.equal(effective_weight(conv), conv.modulated_weight())


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_one_gain_for_each_pair_of_opposite_frequencies(kernel_size):
    kh, kw = kernel_size
    f = gain_frequencies(kernel_size)
    alone = sum((2 * u) % kh == 0 and (2 * v) % kw == 0 for u in range(kh) for v in range(kw))
    assert len(f) == (kh * kw + alone) / 2
    assert (f >= -0.5).all()
    assert (f < 0.5).all()
    bins = {(round(y * kh) % kh, round(x * kw) % kw) for y, x in f.tolist()}
    opposite = {(-u % kh, -v % kw) for u, v in bins}
    assert len(bins) == len(f)
    assert bins | opposite == {(u, v) for u in range(kh) for v in range(kw)}
    assert SpectralConv2d(1, 2, kernel_size).log_gain.shape == (2, len(f))
    assert SpectralConv2d(1, 2, kernel_size, per_filter=False).log_gain.shape == (1, len(f))


@pytest.mark.parametrize("kernel_size", [(3, 3), (4, 4), (2, 5)])
def test_log_gain_grid_is_the_power_ratio_by_increasing_frequency(kernel_size):
    conv = spectral(3, 6, kernel_size, dtype=torch.float64)

    def power(weight):
        return np.fft.fftshift(np.abs(np.fft.fft2(weight.detach().numpy())) ** 2, axes=(-2, -1))

    ratio = np.log(power(effective_weight(conv)) / power(conv.weight))
    grid = conv.log_gain_grid()
    assert not grid.requires_grad
    for channel in range(3):
        np.testing.assert_allclose(ratio[:, channel], grid.numpy(), atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_zero_gain_is_the_weight_bit_for_bit(kernel_size, dtype):
    conv = SpectralConv2d(3, 6, kernel_size, dtype=dtype)
    assert torch.equal(conv.modulated_weight(), conv.weight)
    assert conv.modulated_weight().dtype == dtype


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_zero_gain_equals_the_plain_convolution(options):
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 8, 3, **options)
    x = images(2, 4, 9, 9)
    expected = plain(x)
    apply_modulation(plain, sigma=0.0)
    assert isinstance(plain, SpectralConv2d)
    assert torch.equal(plain.train()(x), expected)
    assert torch.equal(plain.eval()(x), expected)


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_forward_convolves_with_the_modulated_weight(options):
    conv = spectral(4, 8, 3, dtype=torch.float64, **options)
    x = images(2, 4, 9, 9, dtype=torch.float64)
    plain = nn.Conv2d(4, 8, 3, dtype=torch.float64, **options)
    weight = torch.from_numpy(numpy_modulated(conv))
    plain.load_state_dict({"weight": weight} | ({"bias": conv.bias} if conv.bias is not None else {}))
    torch.testing.assert_close(conv(x), plain(x))


def test_channels_last():
    conv, x = spectral(3, 8, 3, padding=1), images(2, 3, 8, 8)
    expected = conv(x)
    conv, x = conv.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(conv(x), expected)
    assert conv(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("per_filter", [True, False])
def test_gradients_of_weight_and_gain(per_filter):
    conv = spectral(2, 3, (3, 2), per_filter=per_filter, dtype=torch.float64)

    def modulated(weight, log_gain):
        return torch.func.functional_call(
            _Modulated(conv), {"conv.weight": weight, "conv.log_gain": log_gain}, strict=False
        )

    inputs = [conv.weight.detach().clone().requires_grad_(), conv.log_gain.detach().clone().requires_grad_()]
    assert torch.autograd.gradcheck(modulated, inputs)


class _Modulated(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self):
        return self.conv.modulated_weight()


def test_gains_train():
    conv = SpectralConv2d(3, 8, 3, sigma=0.5, seed=0)
    optimizer = torch.optim.SGD(conv.parameters(), lr=0.1)
    conv(images(2, 3, 8, 8)).square().mean().backward()
    optimizer.step()
    assert (conv.log_gain != 0).any()
    assert conv.weight.grad.abs().sum() > 0


def test_a_first_call_in_inference_mode_does_not_spoil_training():
    conv = SpectralConv2d(2, 3, (3, 6))  # a kernel size of its own, so that nothing is cached yet
    with torch.inference_mode():
        conv.eval()(images(1, 2, 8, 8))
    conv.train()(images(1, 2, 8, 8)).sum().backward()
    assert conv.log_gain.grad is not None


@pytest.mark.parametrize("training", [True, False])
def test_autocast_modulates_in_float32(training):
    conv = spectral(3, 8, 3, padding=1).train(training)
    x = images(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x)
        weight = conv.modulated_weight()
    assert out.dtype == torch.bfloat16
    assert weight.dtype == torch.float32
    assert torch.equal(weight, conv.modulated_weight())
    torch.testing.assert_close(out.float(), conv(x), atol=0.05, rtol=0.05)
    out.float().sum().backward()
    assert torch.isfinite(conv.log_gain.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_modulate_in_float32(dtype):
    conv = spectral(3, 8, 3).to(dtype)
    expected = torch.from_numpy(numpy_modulated(conv)).to(dtype)
    torch.testing.assert_close(conv.modulated_weight(), expected, atol=1e-3, rtol=1e-2)
    assert conv.modulated_weight().dtype == dtype


# Perturbation


def test_perturbation_is_for_training_only():
    conv, x = SpectralConv2d(3, 8, 3, sigma=1.0, seed=0), images(2, 3, 8, 8)
    plain = F.conv2d(x, conv.weight, conv.bias)
    assert torch.equal(conv.eval()(x), plain)
    assert conv.draws == 0
    assert not torch.allclose(conv.train()(x), plain)
    assert conv.draws == 1
    assert torch.equal(effective_weight(conv), conv.weight)  # also while training


def test_perturbation_is_drawn_afresh_and_reproducible_from_its_seed():
    x = images(2, 3, 8, 8)
    weight = SpectralConv2d(3, 8, 3).state_dict()

    def three_steps(seed):
        torch.manual_seed(seed + 100)  # the global generator has no part in it
        conv = SpectralConv2d(3, 8, 3, sigma=0.5, seed=seed)
        conv.load_state_dict(weight)
        return [conv(x) for _ in range(3)]

    first, again, other = three_steps(0), three_steps(0), three_steps(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[1], first[2])
    assert not torch.equal(first[0], other[0])


def test_perturbation_leaves_the_global_generator_alone_and_draws_its_seed_from_it():
    seeds = []
    for _ in range(2):
        torch.manual_seed(7)
        conv = SpectralConv2d(3, 8, 3, sigma=0.5)
        seeds.append(conv.seed)
        state = torch.get_rng_state()
        conv(images(1, 3, 8, 8))
        assert torch.equal(torch.get_rng_state(), state)
    assert seeds[0] == seeds[1]
    assert SpectralConv2d(3, 8, 3, sigma=0.5).seed != seeds[0]


def test_perturbation_does_not_follow_the_default_device_or_dtype():
    expected = SpectralConv2d(3, 8, 3, sigma=0.5, seed=3)._perturbation()
    conv = SpectralConv2d(3, 8, 3, sigma=0.5, seed=3)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            assert torch.equal(conv._perturbation(), expected)
    finally:
        torch.set_default_dtype(default)


@pytest.mark.parametrize("per_filter", [True, False])
def test_perturbation_is_gaussian_in_the_log_power_gain(per_filter):
    conv = SpectralConv2d(1, 64, 3, per_filter=per_filter, sigma=0.5, seed=0)
    draws = torch.stack([conv._perturbation() for _ in range(400)])
    assert draws.shape == (400, 64 if per_filter else 1, 5)
    count = draws.numel()
    assert draws.mean().abs() < 4 * 0.5 / math.sqrt(count)
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


# The module


@pytest.mark.parametrize("bias", [True, False])
def test_state_dict_keys(bias):
    conv = SpectralConv2d(3, 8, 3, bias=bias)
    assert list(conv.state_dict()) == ["weight", *(["bias"] if bias else []), "log_gain"]
    assert isinstance(conv, nn.Conv2d)


def test_state_dict_restores_the_function():
    conv, other, x = spectral(3, 8, 3).eval(), spectral(3, 8, 3, seed=1).eval(), images(2, 3, 8, 8)
    assert not torch.equal(other(x), conv(x))
    other.load_state_dict(conv.state_dict())
    assert torch.equal(other(x), conv(x))


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_go_on_with_the_same_noise_and_share_nothing(copier):
    conv, x = spectral(3, 8, 3, sigma=0.5), images(2, 3, 8, 8)
    conv(x)
    twin = copier(conv)
    assert torch.equal(twin(x), conv(x))
    with torch.no_grad():
        twin.log_gain.add_(1.0)
    assert not torch.equal(twin.eval()(x), conv.eval()(x))


def test_repr_tells_the_modulation():
    text = repr(SpectralConv2d(3, 8, 3, per_filter=False, sigma=0.25))
    assert text.startswith("SpectralConv2d(3, 8, kernel_size=(3, 3)")
    assert "per_filter=False, sigma=0.25" in text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_perturbation_is_the_same_on_cuda():
    on_cpu, on_cuda = (spectral(3, 8, 3, sigma=0.5, gain=0.5, bias=False) for _ in range(2))
    on_cuda.seed, on_cuda = on_cpu.seed, on_cuda.cuda()
    torch.testing.assert_close(on_cuda.modulated_weight(True).cpu(), on_cpu.modulated_weight(True))


# apply_modulation and bake_modulation


def test_apply_changes_the_model_in_place_and_keeps_identities():
    model = small_model()
    conv, weight, bias = model[0], model[0].weight, model[0].bias
    x = images(2, 3, 8, 8)
    expected = model(x)
    assert apply_modulation(model) is model
    assert model[0] is conv
    assert type(conv) is SpectralConv2d
    assert conv.weight is weight
    assert conv.bias is bias
    assert type(model[2]) is nn.Conv2d
    assert torch.equal(model(x), expected)
    assert not model[0].training  # the mode stays, too


def test_apply_to_a_named_layer_and_options():
    model = apply_modulation(small_model(torch.float64), layer="2", per_filter=False, sigma=0.25, seed=11)
    assert type(model[0]) is nn.Conv2d
    assert (model[2].sigma, model[2].seed, model[2].log_gain.shape) == (0.25, 11, (1, 5))
    assert model[2].log_gain.dtype == torch.float64


def test_apply_to_a_frozen_layer_freezes_the_gains():
    model = small_model()
    model[0].weight.requires_grad_(False)
    assert not apply_modulation(model)[0].log_gain.requires_grad


def test_apply_twice_is_refused():
    model = apply_modulation(small_model())
    with pytest.raises(ValueError, match="layer '0' is modulated already; call bake_modulation first"):
        apply_modulation(model)
    assert torch.equal(model[0].log_gain, torch.zeros(8, 5))


@pytest.mark.parametrize("sigma", [-0.1, math.nan, math.inf])
def test_wrong_sigma_is_refused(sigma):
    with pytest.raises(ValueError, match=f"sigma must be finite and not negative, got {sigma}"):
        SpectralConv2d(3, 8, 3, sigma=sigma)


def test_1x1_kernels_are_refused():
    message = "a 1x1 kernel has one frequency only"
    with pytest.raises(ValueError, match=message):
        SpectralConv2d(3, 8, 1)
    with pytest.raises(ValueError, match=message):
        apply_modulation(nn.Conv2d(3, 8, 1), layer="")


@pytest.mark.parametrize("options", [{"sigma": -1.0}, {"sigma": "big"}, {"seed": "lucky"}])
def test_a_refused_apply_leaves_nothing_behind(options):
    model = small_model()
    keys, attributes = list(model.state_dict()), set(vars(model[0]))
    with pytest.raises((ValueError, TypeError)):
        apply_modulation(model, **options)
    assert type(model[0]) is nn.Conv2d
    assert list(model.state_dict()) == keys
    assert torch.isfinite(model(images(1, 3, 8, 8))).all()
    assert set(vars(model[0])) - attributes <= {"seed", "sigma"}
    apply_modulation(model)


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_baked_outputs_are_the_same(kernel_size, dtype, tolerance):
    conv, x = spectral(3, 8, kernel_size, dtype=dtype).eval(), images(2, 3, 20, 20, dtype=dtype)
    before = conv(x)
    exact = F.conv2d(x.double(), torch.from_numpy(numpy_modulated(conv)), conv.bias.double())
    assert bake_modulation(conv) is conv
    torch.testing.assert_close(conv(x), before, rtol=tolerance, atol=0)
    assert (conv(x).double() - exact).norm() <= tolerance * exact.norm()


def test_baked_model_is_plain():
    plain = small_model()
    model = apply_modulation(copy.deepcopy(plain))
    attributes = set(vars(plain[0]))
    with torch.no_grad():
        model[0].log_gain.normal_()
    weight = model[0].weight
    bake_modulation(model)
    assert [type(m) for m in model.modules()] == [type(m) for m in plain.modules()]
    assert list(model.state_dict()) == list(plain.state_dict())
    assert set(vars(model[0])) == attributes
    assert model[0].weight is weight
    assert repr(model) == repr(plain)
    x = images(2, 3, 8, 8)
    torch.testing.assert_close(model.train()(x), model.eval()(x), rtol=0, atol=0)
    assert "freqfast" not in pickle.dumps(model).decode("latin-1")
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    copy.deepcopy(plain).load_state_dict(torch.load(buffer, weights_only=True))


def test_bake_folds_every_layer_and_then_apply_starts_afresh():
    model = apply_modulation(apply_modulation(small_model()), layer="2")
    bake_modulation(model)
    assert not any(isinstance(m, SpectralConv2d) for m in model.modules())
    assert type(apply_modulation(model)[0]) is SpectralConv2d


def test_bake_without_modulation_changes_nothing():
    model = small_model()
    before = copy.deepcopy(model.state_dict())
    assert bake_modulation(model) is model
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


# effective_weight and assign_effective_weight


def test_effective_weight_is_a_copy_without_history():
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


@pytest.mark.parametrize("per_filter", [True, False])
@pytest.mark.parametrize("largest", [0.0, 1.0, 4.0])
def test_enforced_purity_holds_for_what_a_modulated_layer_applies(largest, per_filter):
    bands = Bands.equal_area(2)
    conv = spectral(3, 64, 3, per_filter=per_filter)
    with torch.no_grad():
        conv.log_gain.uniform_(-largest, largest)
    target = torch.arange(64) % 2
    assign_effective_weight(conv, project_filters(effective_weight(conv), bands, target, 0.9))
    shares = band_shares(effective_weight(conv).double(), bands)[torch.arange(64), target]
    assert shares.min() >= 0.9 - 1e-5


def test_filters_applied_already_keep_their_weight_bit_for_bit():
    conv = spectral(3, 8, 3)
    before = conv.weight.detach().clone()
    target = effective_weight(conv)
    target[3] *= 2
    assign_effective_weight(conv, target)
    changed = (conv.weight != before).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == [3]


def test_assign_to_a_plain_convolution_sets_its_weight():
    conv, target = nn.Conv2d(3, 8, 3), torch.randn(8, 3, 3, 3)
    weight = conv.weight
    assign_effective_weight(conv, target)
    assert torch.equal(conv.weight, target)
    assert conv.weight is weight
    assert conv.weight.requires_grad
