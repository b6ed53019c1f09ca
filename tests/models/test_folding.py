"""A classifier's network is faster than the model by a folded BatchNorm, and computes the same or is not folded."""

import warnings

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn.utils.prune import l1_unstructured

from freqfast.models.build import build_model
from freqfast.spectral.antialiasing import apply_antialiasing
from freqfast.spectral.equalization import apply_equalization
from tests.support.learners import data_parallel
from tests.support.networks import classifier_of


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


def norms_left(model, size=32):
    """How many BatchNorms still run in a classifier of the model, whose logits are the model's."""
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    classifier = classifier_of(model, (0,) * 3, (1,) * 3)
    logits = classifier.logits(images.copy())
    with torch.no_grad():
        expected = model(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    return sum(isinstance(module, nn.BatchNorm2d) for module in classifier._network.modules())


class Block(nn.Module):
    """A convolution and a BatchNorm; what `forward` does with them is the test's."""

    def __init__(self, course=lambda self, x: self.norm(self.conv(x)), **options):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3, **options)
        self.mask = None
        self.course = course

    def forward(self, x, extra=None):
        x = self.course(self, x) if extra is None else extra
        return x.mean((2, 3)) if self.mask is None else (x * self.mask).mean((2, 3))


@pytest.mark.parametrize(
    "build",
    [
        lambda: build_model("resnet18", width=8),
        lambda: apply_equalization(apply_antialiasing(build_model("resnet18", width=8))),
        lambda: torchvision.models.mobilenet_v3_small(num_classes=5),
        lambda: timm.create_model("test_resnet", num_classes=5),
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6, affine=False), nn.Flatten()),
        lambda: data_parallel(build_model("resnet18", width=8)),
        Block,
    ],
)
@pytest.mark.filterwarnings("error:BatchNorm stays")
def test_every_batch_norm_goes(build):
    model = lived_in(build())
    with torch.no_grad():
        if any(name.endswith("equalizer_batches") for name, _ in model.named_buffers()):
            model.train()(torch.rand(8, 3, 32, 32))
    assert norms_left(model.eval()) == 0


def keeps_a_mask(self, x):
    self.mask = x.new_ones(x.shape[2:]) if self.mask is None else self.mask
    return self.norm(self.conv(x))


COURSES = {
    "several users": (lambda self, x: self.norm(y := self.conv(x)) + y, False),
    "called twice": (lambda self, x: self.norm(self.conv(self.norm(self.conv(x)))), True),
    "weight read": (lambda self, x: self.norm(self.conv(x)) * self.conv.weight.norm(), True),
    "course of its input": (lambda self, x: self.norm(self.conv(x)) if x.mean() > 0 else x, False),
    "something between": (lambda self, x: self.norm(self.conv(x).relu()), False),
}


@pytest.mark.parametrize(("course", "is_told"), COURSES.values(), ids=COURSES)
def test_a_fold_that_would_change_the_logits_is_left(course, is_told):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        norms_left(lived_in(Block(course)))
    told = any("BatchNorm stays as it is in net: folded, it gives other logits" in str(one.message) for one in caught)
    assert told == is_told


def test_a_model_that_keeps_a_tensor_of_its_first_images():
    assert norms_left(lived_in(Block(keeps_a_mask))) == 0


def test_batch_norms_of_each_batch_stay():
    assert norms_left(lived_in(Block(track_running_stats=False))) == 1


@pytest.mark.filterwarnings("ignore:BatchNorm stays as it is")
@pytest.mark.parametrize("where", ["conv", "norm", ""])
def test_hooks_still_run(where):
    model = lived_in(Block())
    model.get_submodule(where).register_forward_hook(lambda module, inputs, output: output.abs() + 1)
    assert norms_left(model) == 1


@pytest.mark.filterwarnings("ignore:BatchNorm stays as it is")
@pytest.mark.parametrize("where", ["norm", "conv"])
def test_a_layer_with_a_forward_of_its_own_keeps_it(where):
    model = lived_in(Block())
    model.get_submodule(where).forward = torch.relu
    norms_left(model)


@pytest.mark.filterwarnings("ignore:BatchNorm stays as it is")
def test_weights_that_are_set_before_each_call():
    model = lived_in(Block())
    l1_unstructured(model.conv, "weight", 0.5)
    assert norms_left(model) == 1
