import pickle

import pytest
import torch
import torchvision
from timm.layers import Conv2dSame, ScaledStdConv2d
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.utils.hooks import RemovableHandle

from freqfast.spectral.antialiasing import apply_antialiasing, remove_antialiasing
from freqfast.spectral.equalization import SpectrumEqualizer, apply_equalization, remove_equalization
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation
from freqfast.spectral.surgery import copy_model, find_conv, unwrap

TORCHVISION = (
    "convnext_tiny", "mobilenet_v3_small", "regnet_x_400mf", "resnet18", "squeezenet1_1", "swin_t", "vgg11", "vit_b_16",
)  # fmt: skip


def first_spatial_conv_executed(model, size):
    """The oracle: what a batch meets first, seen by hooks during a forward pass on the meta device."""
    executed = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1:
            module.register_forward_hook(lambda module, *_: executed.append(module))
    with torch.device("meta"), torch.no_grad():
        model.eval().to("meta")(torch.empty(2, 3, size, size))
    return executed[0]


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_models(name):
    with torch.device("cpu" if name.startswith("regnet") else "meta"):  # regnet reads tensors while it is built
        model = torchvision.models.get_model(name, weights=None)
    found, conv = find_conv(model)
    assert model.get_submodule(found) is conv
    assert conv is first_spatial_conv_executed(model, 224)


def test_pointwise_convolutions_are_passed_over():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 8, (1, 2)), nn.Conv2d(8, 8, 3))
    assert find_conv(model) == ("1", model[1])


def test_a_named_layer():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(nn.Conv2d(8, 8, 3)))
    assert find_conv(model, "1.0") == ("1.0", model[1][0])
    assert find_conv(model[0], "") == find_conv(model[0]) == ("", model[0])


# Wrappers


def small_model():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())


@pytest.fixture
def single_process_group(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_unwrap_data_parallel_and_compile_in_any_order():
    model = small_model()
    for wrapped in (model, torch.compile(nn.DataParallel(model)), nn.DataParallel(torch.compile(model))):
        assert unwrap(wrapped) is model
        assert find_conv(wrapped) == find_conv(wrapped, "0") == ("0", model[0])


def test_a_network_with_parts_in_distributed_data_parallel(single_process_group):
    model = apply_modulation(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3, stride=2)))
    apply_antialiasing(apply_equalization(model))
    wrapped = nn.parallel.DistributedDataParallel(model)
    assert find_conv(wrapped) == ("0", model[0])
    wrapped(torch.randn(2, 3, 8, 8)).sum().backward()
    assert model[0].log_gain.grad is not None
    assert model[0].equalizer_batches == 1
    names = [name.removeprefix("module.") for name in wrapped.state_dict()]
    assert names == list(model.state_dict())


# Refusals


class OwnConvForward(nn.Conv2d):
    def _conv_forward(self, input, weight, bias):
        return super()._conv_forward(input, 2 * weight, bias)


UNFIT = {
    "own forward": (lambda: ScaledStdConv2d(3, 8, 3), "is a ScaledStdConv2d with .* name a plain Conv2d with layer="),
    "own convolution": (lambda: OwnConvForward(3, 8, 3), "is a OwnConvForward with a forward of its own"),
    "parametrised": (lambda: parametrizations.weight_norm(nn.Conv2d(3, 8, 3)), "is reparametrised; remove"),
    "pruned": (lambda: prune.l1_unstructured(nn.Conv2d(3, 8, 3), "weight", 0.5), "is reparametrised; remove"),
    "complex": (lambda: nn.Conv2d(3, 8, 3, dtype=torch.cfloat), "has complex weights; name a layer of real ones"),
    "dilated": (lambda: nn.Conv2d(3, 8, 3, dilation=(1, 2)), r"has a dilation of \(1, 2\): .* name a layer without"),
    "lazy": (lambda: nn.LazyConv2d(8, 3), "is not initialised yet; run one batch"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_convolutions_that_do_not_apply_their_weight_as_it_is_are_refused(case):
    make, message = UNFIT[case]
    model = nn.Sequential(make(), nn.Conv2d(8, 8, 3))
    kind = type(model[0])
    for refused in (find_conv, lambda model: find_conv(model, "0"), apply_modulation):
        with pytest.raises(ValueError, match=f"layer '0' {message}"):
            refused(model)
    assert type(model[0]) is kind
    assert find_conv(model, "1")[1] is model[1]


@pytest.mark.parametrize("case", ["own forward", "parametrised", "dilated"])
def test_an_equalizer_may_stand_before_any_convolution(case):
    """It does not look at the weight."""
    conv, equalizer, images = UNFIT[case][0](), SpectrumEqualizer(), torch.rand(4, 3, 12, 12)
    model = apply_equalization(nn.Sequential(conv))
    equalized = model(images)
    torch.testing.assert_close(equalized, remove_equalization(model)(equalizer(images)))


def test_a_convolution_that_pads_by_itself_is_found_but_not_modulated():
    model = nn.Sequential(Conv2dSame(3, 8, 3, stride=2))
    assert find_conv(model) == ("0", model[0])
    with pytest.raises(ValueError, match=r"layer '0' \(Conv2dSame\) has a class or a forward of its own, which"):
        apply_modulation(model)
    assert type(model[0]) is Conv2dSame
    patched = nn.Sequential(nn.Conv2d(3, 8, 3))
    patched[0].forward = lambda x: x
    for other in (patched, nn.Sequential(Named(3, 8, 3))):
        with pytest.raises(ValueError, match="has a class or a forward of its own"):
            apply_modulation(other)


class Named(nn.Conv2d):
    """With methods of its own, maybe, that the network calls."""


@pytest.mark.parametrize("kind", [Named, SpectralConv2d, nn.LazyConv2d])
def test_subclasses_with_a_known_forward_are_accepted(kind):
    model = nn.Sequential(nn.LazyConv2d(8, 3) if kind is nn.LazyConv2d else kind(3, 8, 3))
    model(torch.zeros(1, 3, 8, 8))
    assert find_conv(model) == ("0", model[0])


@pytest.mark.parametrize(
    ("model", "layer", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 1)), None, "Sequential has no spatial Conv2d; name one with layer="),
        (small_model(), "stem", "layer 'stem' is not in the model; the first convolutions are 0"),
        (small_model(), "1", "layer '1' is a ReLU, not a Conv2d; the first convolutions are 0"),
    ],
)
def test_models_and_names_without_a_convolution_are_refused(model, layer, message):
    with pytest.raises(ValueError, match=message):
        find_conv(model, layer)


def test_a_model_that_keeps_what_it_computed_is_copied():
    model = nn.Conv2d(3, 4, 3)
    output = model(torch.rand(1, 3, 8, 8))
    model.seen = {"all": [output], "last": (output, 1)}
    copy = copy_model(model)
    torch.testing.assert_close(copy.seen["all"][0], output.detach())
    assert copy.seen["last"][0] is copy.seen["all"][0]
    assert copy.weight is not model.weight


# Hooks


@pytest.mark.parametrize("pruned", [False, True])
def test_hooks_survive_pickling_and_later_hooks(pruned, monkeypatch):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, stride=2), nn.MaxPool2d(2))
    images = torch.randn(2, 3, 16, 16)
    apply_antialiasing(apply_equalization(model), ["1", "2"])
    model(images)
    content = pickle.dumps(model.eval())
    monkeypatch.setattr(RemovableHandle, "next_id", 0)  # as in another process
    copy = pickle.loads(content)
    for layer in copy[:2]:
        if pruned:
            prune.l1_unstructured(layer, "weight", amount=0)
        else:
            layer.register_forward_pre_hook(lambda module, args: None)
    torch.testing.assert_close(copy(images), model(images))
    remove_antialiasing(remove_equalization(copy))
    assert [len(layer._forward_pre_hooks) + len(layer._forward_hooks) for layer in copy] == [1, 1, 0]
