import random
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from fastai.torch_core import set_seed
from timm.layers import Conv2dSame

from freqfast.callbacks import Distillation
from freqfast.data import Images
from freqfast.models.parts import find_parts
from freqfast.models.state_dicts import save_state
from freqfast.runs.recipe import Recipe
from freqfast.runs.registry import find_recipe
from freqfast.spectral.bands import band_shares
from freqfast.training import average_weights, fine_tune, own_labels
from tests.support.networks import network_of, small_network

teach = Distillation.teach
PLAIN = Recipe("no callbacks", epochs=2, batch_size=8, lr=0.01, precision="float32")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def source():
    return network_of(small_network().eval(), MEAN, STD, "theirs")


def test_the_share_that_is_kept(source, small):
    before = deepcopy(source.module.state_dict())
    whole, mixed = (fine_tune(source, PLAIN, small, keep, "cpu") for keep in (0, 0.25))
    for name, value in whole.module.state_dict().items():
        if value.is_floating_point():
            assert not torch.equal(value, before[name])
            value = 0.75 * value + 0.25 * before[name]
        torch.testing.assert_close(mixed.module.state_dict()[name], value)
        assert torch.equal(source.module.state_dict()[name], before[name])
    assert (mixed.name, mixed.preprocessing) == ("theirs", source.preprocessing)
    assert not mixed.module.training


def test_filters_that_are_enforced_keep_their_purity_in_the_average(source, small):
    recipe = replace(PLAIN, callbacks={"frequency_proportion": {"proportions": {"low": 1.0}, "purity": 0.9}})
    tuned = fine_tune(source, recipe, small, 0.6, "cpu")
    assert float(band_shares(tuned.module[0].weight.detach())[:, 0].min()) > 0.9 - 1e-5


def test_what_does_not_change_stays_also_if_infinite(source, small):
    source.module.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    tuned = fine_tune(source, replace(PLAIN, epochs=1), small, 0.5, "cpu")
    assert torch.equal(tuned.module.mask, source.module.mask)


def test_complex_weights_are_averaged_too():
    new, old = torch.tensor([1 + 2j, 3j]), torch.tensor([2 + 0j, 1j])
    torch.testing.assert_close(average_weights({"w": new}, {"w": old}, 0.25)["w"], 0.75 * new + 0.25 * old)


def test_images_are_normalised_as_the_network_was_trained(source, small):
    seen = []
    source.module.register_forward_pre_hook(lambda module, args: seen.append(args[0].amax((0, 2, 3))))
    grey = Images(np.full_like(small.train.pixels, 51), small.train.labels)
    fine_tune(source, PLAIN, replace(small, train=grey, test=grey), 0, "cpu")
    wanted = torch.tensor([(0.2 - mean) / std for mean, std in zip(MEAN, STD, strict=True)])
    for values in seen:
        torch.testing.assert_close(torch.Tensor(values), wanted)


def test_the_callers_random_numbers_stay(source, small):
    def draws():
        return random.random(), np.random.random(), float(torch.rand(()))  # noqa: NPY002

    set_seed(7)
    fine_tune(source, replace(PLAIN, epochs=1), small, 0, "cpu")
    found = draws()
    with pytest.raises(ValueError, match="the training diverged"):
        fine_tune(source, replace(PLAIN, lr=1e30), small, 0, "cpu")
    found += draws()
    set_seed(7)
    assert found == draws() + draws()


def test_parts_that_callbacks_put_in_stay(source, small):
    source.module[0].stride = (2, 2)
    callbacks = {"spectrum_equalization": {"bins": 1}, "antialiasing": {"layers": ["0"]}, "spectrum_perturbation": {}}
    found = fine_tune(source, replace(PLAIN, callbacks=callbacks), small, 0.5, "cpu").module
    assert str(find_parts(found)) == "equalizer (1 bin, exponent 1) before 0; low-pass (triangle) before 0"
    assert not find_parts(source.module)


def test_the_recipe_for_it_puts_nothing_into_the_network(source, small):
    recipe = replace(find_recipe("robust"), batch_size=8)
    steps = []
    found = fine_tune(source, recipe, small, device="cpu", progress=lambda *step: steps.append(step[:2])).module
    assert found.state_dict().keys() == source.module.state_dict().keys()
    assert steps[-1] == (2 * recipe.epochs, 2 * recipe.epochs)


def test_labels_play_no_part_and_the_network_before_is_the_teacher(source, small, monkeypatch):
    seen = []
    monkeypatch.setattr(Distillation, "teach", lambda self, *xs: seen.append(self.teacher) or teach(self, *xs))
    robust = find_recipe("robust")
    callbacks = {**robust.callbacks, "antialiasing": {"layers": ["0"]}}
    recipe = replace(robust, batch_size=8, precision="float32", callbacks=callbacks)
    source.module[0].stride = (2, 2)
    other = replace(small.train, labels=(small.train.labels + 1) % len(small.classes))
    first, second = (fine_tune(source, recipe, replace(small, train=each), 0, "cpu") for each in (small.train, other))
    for name, value in first.module.state_dict().items():
        assert torch.equal(value, second.module.state_dict()[name])
    for name, value in seen[-1].state_dict().items():
        assert torch.equal(value, source.module.state_dict()[name])
    assert find_parts(first.module)
    assert not find_parts(seen[-1])


def test_images_labelled_by_a_network(source, small):
    found = own_labels(source, small.test)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    pixels = torch.from_numpy(small.test.pixels).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        expected = source.module((pixels - mean) / std).argmax(1)
    assert found.labels.tolist() == expected.tolist()
    assert found.classes == tuple("0123456789")


def test_a_network_whose_first_layer_pads_by_itself(small):
    network = small_network()
    network[0] = Conv2dSame(3, network[0].out_channels, 3)
    found = fine_tune(network_of(network, MEAN, STD, "theirs"), replace(PLAIN, epochs=1), small, device="cpu")
    assert not torch.equal(found.module[0].weight, network[0].weight)


def test_a_network_without_filters(small):
    layers = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 10)
    source = network_of(torch.nn.Sequential(*layers), MEAN, STD, "theirs")
    found = fine_tune(source, replace(PLAIN, epochs=1), small, device="cpu")
    assert not torch.equal(found.module[2].weight, layers[2].weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_network_in_another_precision_is_trained_in_float32(source, small, dtype):
    source.module.to(dtype)
    found = fine_tune(source, replace(PLAIN, epochs=1), small, device="cpu").module
    assert {parameter.dtype for parameter in found.parameters()} == {torch.float32}


def test_a_network_that_keeps_more_than_tensors_is_refused_before_the_training(source, small, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.Conv2d, "get_extra_state", dict)
    refused = pytest.raises(ValueError, match=r"^0\._extra_state is a dict, a file of weights holds tensors$")
    with refused:
        fine_tune(source, PLAIN, small, 0, "cpu", progress=lambda *step: pytest.fail("trained"))
    with refused:
        save_state(tmp_path / "w.safetensors", source.module)


def test_what_is_refused(source, small):
    for keep in (1, -0.25):
        with pytest.raises(ValueError, match=rf"keep must lie in \[0, 1\), got {keep}$"):
            fine_tune(source, PLAIN, small, keep, "cpu")
    with pytest.raises(ValueError, match="theirs gives 10 logits, but noise has 11 classes"):
        fine_tune(source, PLAIN, replace(small, classes=tuple("abcdefghijk")), 0, "cpu")
    with pytest.raises(ValueError, match=r"the training diverged in epoch \d, step \d: .*; lower lr \(1e\+30\)"):
        fine_tune(source, replace(PLAIN, lr=1e30), small, 0, "cpu")
    source.module.requires_grad_(False)
    with pytest.raises(ValueError, match="theirs has no parameter that is trained; set requires_grad of those"):
        fine_tune(source, PLAIN, small, 0, "cpu")
