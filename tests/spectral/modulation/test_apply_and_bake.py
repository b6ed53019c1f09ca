"""`apply_modulation` makes a layer modulated, `bake_modulation` makes it plain again with the same outputs."""

import copy
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from freqfast.spectral.modulation import SpectralConv2d, apply_modulation, bake_modulation
from tests.support.modulated import KERNEL_SIZES, images, numpy_modulated, small_model, spectral


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


def test_apply_twice_is_refused():
    model = apply_modulation(small_model())
    with pytest.raises(ValueError, match="layer '0' is modulated already; call bake_modulation first"):
        apply_modulation(model)
    assert torch.equal(model[0].log_gain, torch.zeros(8, 5))


@pytest.mark.parametrize("sigma", [-0.1, math.nan])
def test_invalid_sigma_is_refused(sigma):
    with pytest.raises(ValueError, match=f"sigma must be finite and not negative, got {sigma}"):
        SpectralConv2d(3, 8, 3, sigma=sigma)


def test_1x1_kernels_are_refused():
    with pytest.raises(ValueError, match="a 1x1 kernel has one frequency only"):
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


def test_a_layer_pickled_before_there_was_keep_power():
    old = SpectralConv2d(3, 8, 3, sigma=0.5, seed=3)
    expected, attributes = old._perturbation(), vars(nn.Conv2d(3, 8, 3)).keys()
    old.draws = 0
    del old.keep_power
    layer = pickle.loads(pickle.dumps(old))
    assert torch.equal(layer._perturbation(), expected)
    assert vars(bake_modulation(layer)).keys() == attributes


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


def test_bake_folds_every_layer_and_apply_works_again():
    model = apply_modulation(apply_modulation(small_model()), layer="2")
    bake_modulation(model)
    assert not any(isinstance(m, SpectralConv2d) for m in model.modules())
    assert type(apply_modulation(model)[0]) is SpectralConv2d


def test_a_shared_weight_is_refused():
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3))
    model[1].weight = model[0].weight
    with pytest.raises(ValueError, match="layer '0' shares its weight with '1', which baking would change; untie them"):
        apply_modulation(model)
    assert type(model[0]) is nn.Conv2d
