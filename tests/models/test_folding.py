from functools import partial
from types import MethodType

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn.utils import spectral_norm, weight_norm
from torch.nn.utils.prune import l1_unstructured

from freqfast.models.build import build_model
from freqfast.models.folding import fold_batch_norm
from freqfast.spectral.antialiasing import apply_antialiasing
from freqfast.spectral.equalization import apply_equalization
from tests.support import learners


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def lived_in(model):
    """A model in eval mode with statistics and affine parameters as training leaves them, far from 0 and 1."""
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.running_mean is not None:
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.2, 3)
            if norm.affine:
                nn.init.normal_(norm.weight)
                nn.init.normal_(norm.bias)
    return model.eval()


def norms(model):
    """How many BatchNorms still do something."""
    return sum(isinstance(module, nn.BatchNorm2d) and "forward" not in vars(module) for module in model.modules())


@torch.no_grad()
def assert_same(model, left, size=32):
    """The folded model computes what the model does, and has as many BatchNorms left as it should."""
    model = model.double()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folded = fold_batch_norm(model)
    images = torch.randn(3, 3, size, size, dtype=torch.float64)
    torch.testing.assert_close(folded(images), model(images), rtol=1e-9, atol=1e-9)
    assert norms(folded) == left
    torch.testing.assert_close(dict(model.state_dict()), state, rtol=0, atol=0)


class Block(nn.Module):
    """A convolution and a BatchNorm; what `forward` does with them is the test's."""

    def __init__(self, forward=None, **options):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3, **options)
        self.other = nn.BatchNorm2d(3)
        self.course = forward or (lambda self, x: self.norm(self.conv(x)))

    def forward(self, x):
        return self.course(self, x)


@pytest.mark.parametrize(
    "build",
    [
        lambda: build_model("resnet18", width=8),
        lambda: torchvision.models.mobilenet_v3_small(num_classes=5),
        lambda: timm.create_model("test_resnet", num_classes=5),
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6, affine=False)),
        Block,
    ],
)
def test_the_function_stays_and_every_batch_norm_goes(build):
    model = lived_in(build())
    assert_same(model, left=int(isinstance(model, Block)))  # its `other` is never called


def keeps_a_mask(self, x):
    self.mask = x.new_ones(x.shape[2:]) if self.mask is None else self.mask
    return self.norm(self.conv(x)) * self.mask


def test_a_model_that_keeps_a_tensor_of_its_first_images():
    model = lived_in(Block(keeps_a_mask))
    model.mask = None
    assert_same(model, left=1)


COURSES = {
    "several users": lambda self, x: self.norm(y := self.conv(x)) + y,
    "called twice": lambda self, x: self.other(self.conv(self.norm(self.conv(x)))),
    "weight read": lambda self, x: self.norm(self.conv(x)) * self.conv.weight.norm(),
    "course of its input": lambda self, x: self.norm(self.conv(x)) if x.mean() > 0 else self.other(self.conv(x)),
    "something between": lambda self, x: self.norm(self.conv(x).relu()),
}


@pytest.mark.parametrize("forward", COURSES.values(), ids=COURSES)
def test_convolutions_with_other_users_stay(forward):
    assert_same(lived_in(Block(forward)), left=2)


def test_batch_norms_that_are_not_constant_stay():
    assert_same(lived_in(Block(track_running_stats=False)), left=2)
    model = lived_in(Block())
    model.norm.train()
    assert norms(fold_batch_norm(model)) == 2


def test_other_names_and_lists_reach_the_same_modules():
    model = lived_in(Block(lambda self, x: self.norm(self.convs[0](x))))
    model.convs = [model.conv]
    assert_same(model, left=1)
    model = lived_in(Block(lambda self, x: self.alias(self.conv(x))))
    model.alias = model.norm
    assert_same(model, left=1)


@pytest.mark.parametrize(("where", "left"), [("conv", 2), ("norm", 2), ("", 1)])
def test_hooks_still_run(where, left):
    model = lived_in(Block())
    model.get_submodule(where).register_forward_hook(lambda module, inputs, output: output.abs() + 1)
    assert_same(model, left)


def test_a_hook_before_a_batch_norm_still_runs():
    model = lived_in(Block())
    model.norm.register_forward_pre_hook(lambda module, inputs: inputs[0].abs())
    assert_same(model, left=2)


@pytest.mark.parametrize(("where", "left"), [("norm", 1), ("conv", 2)])
def test_a_layer_with_a_forward_of_its_own_keeps_it(where, left):
    model = lived_in(Block())
    model.get_submodule(where).forward = torch.relu
    assert_same(model, left)


class TakesMore(Block):
    """Uses its BatchNorm only where it gets something that nobody passes."""

    def forward(self, x, extra=None):
        return self.other(self.conv(x).relu()) if extra is None else self.norm(self.conv(x)) + extra


def test_a_model_is_traced_as_it_is_called():
    assert_same(lived_in(TakesMore()), left=2)
    model = lived_in(Block())
    model.forward = MethodType(lambda self, x: self.conv(x).relu(), model)
    assert_same(model, left=2)


def test_hooks_of_the_model_see_nothing_of_it():
    model, seen = lived_in(Block()), []
    model.register_forward_pre_hook(lambda module, images: seen.append(images))
    fold_batch_norm(model)
    assert not seen


@pytest.mark.filterwarnings("ignore")  # of torch's compiler
@pytest.mark.parametrize("wrap", [learners.data_parallel, partial(torch.compile, backend="eager")])
def test_wrappers_are_looked_through(wrap):
    model = lived_in(build_model("resnet18", width=8))
    images = torch.randn(3, 3, 32, 32)
    folded = fold_batch_norm(wrap(model))
    with torch.no_grad():
        torch.testing.assert_close(folded(images), model(images), rtol=1e-4, atol=1e-4)
    assert norms(folded) == 0


def standardised(conv):
    """Weight standardisation by a hook, in place."""

    def standardise(conv, inputs):
        conv.weight.copy_(conv.base - conv.base.mean((1, 2, 3), keepdim=True))

    conv.register_buffer("base", conv.weight.detach().clone())
    conv.register_forward_pre_hook(standardise)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize(
    "change", [standardised, partial(l1_unstructured, name="weight", amount=0.5), spectral_norm, weight_norm]
)
def test_convolutions_whose_weight_is_set_before_each_call_stay(change):
    model = lived_in(Block())
    change(model.conv)
    folded = fold_batch_norm(model)
    images = torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(folded(images), model(images))
    assert norms(folded) == 2


@pytest.mark.parametrize("apply", [apply_antialiasing, apply_equalization])
def test_layers_before_a_convolution_stay(apply):
    model = apply(build_model("resnet18", width=8))
    model.train()
    model(torch.randn(8, 3, 16, 16))
    assert_same(lived_in(model), left=0, size=16)
