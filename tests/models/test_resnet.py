import pytest
import torch
from torchvision.models import resnet18

from freqfast.models.resnet import CifarResNet18


def test_it_computes_and_learns_as_torchvisions_resnet18_does_but_for_the_stem():
    ours, theirs = CifarResNet18(), resnet18(num_classes=10)
    theirs.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = torch.nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    images, results = torch.randn(2, 3, 16, 16), []
    for model in (ours, theirs):
        model(images).square().sum().backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        with torch.no_grad():
            results.append([gradients, dict(model.named_buffers()), model.eval()(images)])
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_fresh_weights_are_of_the_width_that_keeps_the_variance_of_gradients():
    """He et al. (2015): a variance of two over the outputs that an input reaches."""
    torch.manual_seed(0)
    convs = [module for module in CifarResNet18(width=16).modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convs) == 20
    for conv in convs:
        reached = conv.out_channels * conv.kernel_size[0] * conv.kernel_size[1]
        assert float(conv.weight.var()) == pytest.approx(2 / reached, rel=0.15)


@pytest.mark.parametrize(("width", "kernel_size", "classes"), [(1, 5, 2), (13, 1, 1)])
def test_shapes(width, kernel_size, classes):
    model = CifarResNet18(width=width, kernel_size=kernel_size, classes=classes)
    assert model.conv1.weight.shape == (width, 3, kernel_size, kernel_size)
    assert model.fc.in_features == 8 * width
    assert model.eval()(torch.zeros(2, 3, 33, 20)).shape == (2, classes)


@pytest.mark.parametrize("option", [{"classes": 0}, {"width": 0}, {"kernel_size": -3}, {"kernel_size": 4}])
def test_sizes_out_of_range_are_refused(option):
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=rf"classes and width positive and kernel_size odd, .*{name}={value}"):
        CifarResNet18(**option)
