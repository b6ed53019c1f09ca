"""Convolutions with small output maps against `torch.nn.functional.conv2d`, and which of them are replaced."""

from contextlib import nullcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from freqfast.compute.small_maps import SmallMapConvolutions, small_map_conv2d, small_map_convolutions
from tests.support.networks import classifier_of


@st.composite
def convolutions(draw):
    """Input, weight, bias, stride and a gradient of the output, in float64."""
    images, inputs, outputs, stride = (draw(st.integers(1, high)) for high in (4, 3, 3, 3))
    height, width = (stride * draw(st.integers(1, 4)) for _ in range(2))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    x = torch.randn(images, inputs, height, width, dtype=torch.double)
    if draw(st.booleans()):
        x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(outputs, inputs, 3, 3, dtype=torch.double)
    bias = torch.randn(outputs, dtype=torch.double) if draw(st.booleans()) else None
    return x, weight, bias, stride, torch.randn(images, outputs, height // stride, width // stride).double()


@given(convolutions())
def test_outputs_and_gradients_are_those_of_conv2d(drawn):
    *tensors, stride, grad = drawn
    found, expected = [], []
    for convolve, results in ((small_map_conv2d, found), (lambda *a, stride: F.conv2d(*a, stride, 1), expected)):
        leaves = [None if t is None else t.clone().requires_grad_() for t in tensors]
        output = convolve(*leaves, stride=stride)
        output.backward(grad)
        results += [output.detach(), *(leaf.grad for leaf in leaves if leaf is not None)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    assert found[0].is_contiguous(memory_format=torch.channels_last)


def leave_nan_in_freed_memory():
    """What is read without being written is then a NaN, which reaches the result."""
    sizes = (100, 300, 1000, 4000, 16000, 60000, 300000)
    del [torch.full((count,), float("nan")) for count in sizes for _ in range(2)][:]


@pytest.mark.parametrize(
    ("size", "stride"), [((1, 1), 1), ((1, 1), 2), ((1, 1), 3), ((8, 2), 2), ((3, 5), 3), ((4, 4), 1)]
)
def test_no_memory_beyond_the_images_is_read(size, stride):
    torch.manual_seed(0)
    weight = torch.randn(512, 256, 3, 3).bfloat16()
    for images in (1, 8):
        x = torch.randn(images, 256, *(stride * n for n in size)).bfloat16()
        grad = torch.randn(images, 512, *size).bfloat16()
        results = []
        for convolve, dtype in ((small_map_conv2d, torch.bfloat16), (F.conv2d, torch.float32)):
            leaves = [t.to(dtype, memory_format=torch.channels_last).requires_grad_() for t in (x, weight)]
            leave_nan_in_freed_memory()
            output = convolve(*leaves, stride=stride, **({} if convolve is small_map_conv2d else {"padding": 1}))
            leave_nan_in_freed_memory()
            output.backward(grad.to(dtype))
            results.append([output.detach(), *(leaf.grad for leaf in leaves)])
        for ours, exact in zip(*results, strict=True):
            torch.testing.assert_close(ours.float(), exact, rtol=0.02, atol=0.02 * float(exact.abs().max()))


def test_it_can_be_differentiated_twice():
    shapes = ((2, 2, 4, 2), (3, 2, 3, 3), (3,))
    leaves = [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(lambda *a: small_map_conv2d(*a, stride=2), leaves)
    assert torch.autograd.gradgradcheck(lambda *a: small_map_conv2d(*a, stride=2), leaves)


def was_replaced(output):
    return type(output.grad_fn).__name__ == "_StackedConvolutionBackward"


BIG = {"shape": (2, 128, 4, 4), "outputs": 256, "kernel": 3, "padding": 1}


@pytest.mark.parametrize(
    "change", [{}, {"stride": 2, "shape": (2, 128, 8, 8), "bias": True}, {"shape": (1, 128, 2, 8)}], ids=str
)
def test_bfloat16_convolutions_with_small_maps_are_replaced(change):
    output, expected = convolve(**BIG | change)
    assert was_replaced(output)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output, expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": torch.float32},
        {"shape": (2, 128, 4, 5)},
        {"shape": (128, 4, 4)},
        {"shape": (2, 128, 7, 8), "stride": 2},
        {"shape": (2, 128, 8, 7), "stride": 2},
        {"shape": (0, 128, 4, 4)},
        {"outputs": 128},
        {"outputs": 1024, "kernel": 1, "padding": 0},
        {"kernel": 5, "padding": 1},
        {"padding": 0},
        {"padding": "same"},
        {"padding": (1, 0)},
        {"dilation": 2},
        {"stride": (1, 2)},
        {"groups": 2, "outputs": 512},
    ],
    ids=str,
)
def test_other_convolutions_stay(change):
    output, expected = convolve(**BIG | change)
    assert not was_replaced(output)
    torch.testing.assert_close(output, expected, rtol=0, atol=0)


def convolve(shape, outputs, kernel, padding, stride=1, dilation=1, groups=1, bias=False, dtype=torch.bfloat16):
    """The output of one convolution in the context, and without it."""
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=dtype)
    weight = (torch.randn(outputs, x.shape[-3] // groups, kernel, kernel) / 30).to(dtype).requires_grad_()
    offset = torch.randn(outputs, dtype=dtype) if bias else None
    with SmallMapConvolutions():
        output = F.conv2d(x, weight, offset, stride, padding, dilation, groups)
    return output, F.conv2d(x, weight, offset, stride, padding, dilation, groups)


@pytest.mark.parametrize(("outputs", "taken"), [(256, False), (512, True)])
def test_without_gradients_only_larger_ones_are_replaced(outputs, taken):
    with torch.no_grad():
        output, expected = convolve(**BIG | {"shape": (2, 256, 4, 4), "outputs": outputs})
    torch.testing.assert_close(output, expected, rtol=0.02, atol=0.02)
    assert output.is_contiguous(memory_format=torch.channels_last) == taken


@pytest.mark.parametrize(
    "wrong",
    [
        {"stride": 0},
        {"stride": -1},
        {"groups": 2},
        {"weight": torch.zeros(256, 130, 3, 3)},
        {"input": torch.zeros(1, 128, 0, 4)},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_errors_of_conv2d_are_those_of_torch(wrong):
    arguments = {"input": torch.randn(1, 128, 4, 4), "weight": torch.randn(256, 128, 3, 3), "padding": 1} | wrong
    messages = []
    for context in (SmallMapConvolutions(), torch.no_grad()):
        with context, torch.autocast("cpu", torch.bfloat16), pytest.raises(RuntimeError) as caught:
            F.conv2d(**arguments)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_types_that_differ_are_refused_without_autocast():
    x, weight, bias = torch.zeros(2, 128, 4, 4), torch.zeros(256, 128, 3, 3), torch.zeros(256)
    half = [tensor.bfloat16() for tensor in (x, weight, bias)]
    for tensors in ((half[0], weight), (x, half[1]), (*half[:2], bias)):
        with SmallMapConvolutions(), pytest.raises(RuntimeError, match="type"):
            F.conv2d(*tensors, padding=1)


def test_a_bias_in_float32_is_cast_by_autocast():
    x, weight = torch.zeros(2, 128, 4, 4), torch.zeros(256, 128, 3, 3)
    for context in (SmallMapConvolutions(), nullcontext()):
        bias = torch.linspace(-1, 1, 256).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16), context:
            output = F.conv2d(x, weight, bias, padding=1)
        assert was_replaced(output) == isinstance(context, SmallMapConvolutions)
        assert output.dtype == torch.bfloat16
        output.float().sum().backward()
        torch.testing.assert_close(bias.grad, torch.full((256,), 32.0))
        assert torch.equal(output[1, :, 2, 3], bias.bfloat16())


def test_another_type_of_autocast_is_left_to_torch():
    x, weight = torch.zeros(2, 128, 4, 4), torch.zeros(256, 128, 3, 3, requires_grad=True)
    with torch.autocast("cpu", torch.float16), SmallMapConvolutions():
        output = F.conv2d(x, weight, padding=1)
    assert output.dtype == torch.float16
    assert not was_replaced(output)


@pytest.mark.parametrize("options", [{"device": "meta", "dtype": torch.bfloat16}, {"dtype": torch.double}], ids=str)
def test_convolutions_on_other_devices_and_in_float64_stay_under_autocast(options):
    x, weight = (torch.zeros(shape, **options) for shape in ((2, 128, 4, 4), (256, 128, 3, 3)))
    with torch.autocast("cpu", torch.bfloat16), SmallMapConvolutions():
        output = F.conv2d(x, weight.requires_grad_(), padding=1)
    assert (output.device, output.dtype) == (x.device, x.dtype)
    assert not was_replaced(output)


@pytest.mark.parametrize(
    ("model", "gradients", "taken"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(128, 256, 3)), True, True),
        (nn.Conv2d(128, 256, 3), False, False),
        (nn.Conv2d(256, 512, 3), False, True),
        (nn.Conv2d(256, 512, 3, device="meta"), True, False),
        (nn.Conv2d(128, 256, 3, groups=2), True, False),
        (nn.Conv2d(256, 512, 1), True, False),
    ],
)
def test_models_with_large_convolutions_get_the_context_on_a_cpu_with_amx(model, gradients, taken, monkeypatch):
    for amx in (True, False):
        monkeypatch.setattr("freqfast.compute.small_maps.cpu_has_amx", lambda amx=amx: amx)
        with torch.set_grad_enabled(gradients):
            assert isinstance(small_map_convolutions(model), SmallMapConvolutions) == (taken and amx)


def test_a_classifier_in_bfloat16_gives_the_logits_of_its_network(noise, monkeypatch):
    taken = []

    def counted(*args, **kwargs):
        taken.append(args[1].shape)
        return small_map_conv2d(*args, **kwargs)

    monkeypatch.setattr("freqfast.compute.small_maps.small_map_conv2d", counted)
    stem = nn.Conv2d(3, 256, 3, stride=8, padding=1, bias=False), nn.BatchNorm2d(256), nn.ReLU()
    block = nn.Conv2d(256, 512, 3, padding=1, bias=False), nn.BatchNorm2d(512), nn.ReLU()
    model = nn.Sequential(*stem, *block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)).eval()
    classifier = classifier_of(model, std=[0.2] * 3, precision="bfloat16")
    images = noise(4, size=32)
    with torch.inference_mode():
        pixels = classifier.normalise(torch.from_numpy(images.copy()))
        expected = classifier._prepared(pixels)(pixels.bfloat16()).float()
    for amx, tolerance in ((False, 0), (True, 0.05)):  # without AMX the same bits as without us
        monkeypatch.setattr("freqfast.compute.small_maps.cpu_has_amx", lambda amx=amx: amx)
        assert not taken
        torch.testing.assert_close(classifier.logits(images.copy()), expected, rtol=tolerance, atol=tolerance)
    assert taken == [(512, 256, 3, 3)]
