"""What holds of every part that is put into a model: gains, an equalizer, low-passes."""

import copy
import pickle

import pytest
import torch
from torch import nn

from freqfast.models.file import read_model, write_model
from freqfast.models.parts import find_parts
from freqfast.spectral.antialiasing import antialiased_layers, apply_antialiasing, remove_antialiasing
from freqfast.spectral.equalization import apply_equalization, equalized_layers, remove_equalization
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation, bake_modulation
from tests.support.sound_model import stored_network

FIRST, SECOND = "conv1", "conv2"
# How it is put in, how it is taken out, and what a convolution's state dict has then.
PARTS = {
    "modulation": (apply_modulation, bake_modulation, {"log_gain"}),
    "equalization": (
        lambda model, layer: apply_equalization(model, layer, bins=5, exponent=0.5),
        remove_equalization,
        {"equalizer_reference", "equalizer_batches", "equalizer_exponent"},
    ),
    "triangle": (apply_antialiasing, remove_antialiasing, {"low_pass_triangle"}),
    "flc": (lambda model, layer: apply_antialiasing(model, layer, "flc"), remove_antialiasing, {"low_pass_flc"}),
}
IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=PARTS)
def part(request):
    return PARTS[request.param]


@pytest.fixture
def stored():
    torch.manual_seed(0)
    return stored_network("abc")


def trained(model):
    """The model in eval mode after a batch, with gains."""
    for module in model.modules():
        if isinstance(module, SpectralConv2d):
            nn.init.normal_(module.log_gain)
    model.train()(IMAGES)
    return model.eval()


def test_put_in_in_place_and_taken_out_again(part, stored):
    apply, remove, names = part
    model = stored.module.eval()
    conv, parameters = model.get_submodule(SECOND), dict(model.named_parameters())
    before, keys = model(IMAGES), model.state_dict().keys()
    wrapped = torch.compile(nn.DataParallel(model), backend="eager")
    assert apply(wrapped, SECOND) is wrapped
    assert model.get_submodule(SECOND) is conv
    assert all(parameters[name] is dict(model.named_parameters())[name] for name in parameters)
    assert model.state_dict().keys() - keys == {f"{SECOND}.{name}" for name in names}
    assert not conv.training
    assert remove(wrapped) is wrapped
    assert torch.equal(model(IMAGES), before)
    assert model.state_dict().keys() == keys
    assert type(conv) is nn.Conv2d
    assert not any(module._forward_pre_hooks for module in model.modules())
    apply(model, SECOND)  # it can be put in again


def test_it_lies_where_the_layer_lies(part, stored):
    apply, *_ = part
    model = apply(stored.module.to("meta"), SECOND)
    assert all(value.is_meta for value in model.state_dict().values())


def test_copies_share_nothing_and_files_keep_it(part, stored, tmp_path):
    apply, remove, _ = part
    model = trained(apply(stored.module, SECOND))
    write_model(tmp_path / "m.safetensors", stored)
    expected, parts = model(IMAGES), str(find_parts(model))
    others = copy.deepcopy(model), pickle.loads(pickle.dumps(model)), read_model(tmp_path / "m.safetensors").module
    for other in others:
        torch.testing.assert_close(other(IMAGES), expected)
        assert str(find_parts(other)) == parts
        remove(trained(other))
        assert str(find_parts(other)) == "no parts"
    assert torch.equal(model(IMAGES), expected)


def test_a_second_one_of_the_same_layer_is_refused(part, stored):
    apply, _, _ = part
    model = apply(stored.module, SECOND)
    before = model.state_dict().keys()
    with pytest.raises(ValueError, match=r"layer 'conv2' (is|has).* already.* call (bake|remove)_") as caught:
        apply(model, SECOND)
    assert "\n" not in str(caught.value)
    assert model.state_dict().keys() == before


def test_the_default_layers(stored):
    model = apply_antialiasing(apply_equalization(nn.DataParallel(stored.module)))
    assert (equalized_layers(model), antialiased_layers(model)) == ([FIRST], [SECOND, "shortcut"])


def test_an_equalizer_comes_before_a_low_pass_whichever_was_first(stored):
    other = copy.deepcopy(stored.module)
    one = trained(apply_antialiasing(apply_equalization(stored.module, SECOND), SECOND))
    two = trained(apply_equalization(apply_antialiasing(other, SECOND), SECOND))
    assert torch.equal(one(IMAGES), two(IMAGES))
    names = ["freqfast._equalize_input", "freqfast._low_pass_input"]
    assert list(one.get_submodule(SECOND)._forward_pre_hooks) == names
