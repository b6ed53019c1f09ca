"""The first convolution of the models that people have."""

import pytest
import timm
import torch
from fastai.losses import CrossEntropyLossFlat
from fastai.vision.learner import vision_learner
from fastai.vision.models.xresnet import xresnet18
from timm.layers import Conv2dSame, ScaledStdConv2d, StdConv2d
from torch import nn
from torchvision.models import resnet18

from freqfast.callbacks import FrequencyProportion, SpectralModulation, SpectrumPerturbation, SpectrumRecorder
from freqfast.models.resnet import CifarResNet18
from freqfast.spectral.modulation import SpectralConv2d
from freqfast.spectral.surgery import find_conv


def vit():
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=48, depth=2, num_heads=2, num_classes=3
    )


def timm_resnet():
    return timm.create_model("resnet18", num_classes=3, in_chans=3)


MODELS = {
    "torchvision resnet18": (lambda: resnet18(num_classes=3), "conv1", (64, 3, 7, 7)),
    "timm resnet18": (timm_resnet, "conv1", (64, 3, 7, 7)),
    "timm deep stem": (lambda: timm.create_model("resnet18d", num_classes=3), "conv1.0", (32, 3, 3, 3)),
    "timm ViT": (vit, "patch_embed.proj", (48, 3, 4, 4)),
    "xresnet18": (lambda: xresnet18(n_out=3), "0.0", (32, 3, 3, 3)),
    "CIFAR ResNet-18": (lambda: CifarResNet18(3, width=8), "conv1", (8, 3, 3, 3)),
}


def all_parameters(model):
    return list(model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_all_callbacks(name, make_learner, tools):
    build, layer, shape = MODELS[name]
    torch.manual_seed(0)
    callback = FrequencyProportion({"low": 0.75, "high": 0.25})
    cbs = [SpectralModulation(seed=0), callback, SpectrumPerturbation(), SpectrumRecorder()]
    learn = make_learner(cbs, build(), splitter=all_parameters)
    found, conv = find_conv(learn.model)
    assert (found, tuple(conv.weight.shape)) == (layer, shape)
    counts = [shape[0] * 3 // 4, shape[0] // 4]
    spy = tools.StepSpy(lambda: tools.assert_enforced(learn, callback, counts))
    learn.fit_one_cycle(1, 0.01, cbs=spy)
    assert spy.calls == 5
    assert conv.log_gain.any()
    tools.assert_consistent(learn)

    images = learn.dls.valid.one_batch()[0]
    learn.model.eval()
    with torch.no_grad():
        before = learn.model(images)
        learn.remove_cbs(cbs)
        after = learn.model(images)
    assert (after - before).norm() <= 1e-5 * before.norm()  # deep float32 networks amplify roundings
    assert type(conv) is nn.Conv2d


@pytest.mark.parametrize("arch", [resnet18, "resnet18"], ids=["torchvision", "timm"])
def test_vision_learner(arch, make_dls, tools, tmp_path):
    callback = FrequencyProportion({"low": 0.4, "mid": 0.3, "high": 0.3}, bands=3, purity=0.7)
    learn = vision_learner(
        make_dls(),
        arch,
        pretrained=False,
        normalize=False,
        n_out=3,
        loss_func=CrossEntropyLossFlat(),
        path=tmp_path,
        cbs=[SpectralModulation(), callback],
    )
    groups = len(learn.splitter(learn.model))
    spy = tools.StepSpy(lambda: tools.assert_enforced(learn, callback, [26, 19, 19]))
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(1, 0.01, cbs=spy)
    assert spy.calls == 10
    assert len(learn.opt.param_lists) == groups > 1
    assert type(tools.conv(learn)) is SpectralConv2d
    tools.assert_consistent(learn)
    learn.remove_cb(SpectralModulation)
    tools.assert_consistent(learn)


@pytest.mark.parametrize("kind", [StdConv2d, ScaledStdConv2d, Conv2dSame])
@pytest.mark.parametrize("cls", [SpectralModulation, SpectrumRecorder])
def test_a_layer_with_a_forward_of_its_own_is_refused(kind, cls, make_learner, make_model):
    model = make_model()
    model[0][0] = kind(3, 8, 3)
    with pytest.raises(ValueError, match=rf"'0\.0' is a {kind.__name__} with a forward of its own"):
        make_learner(cls(), model)
    assert type(model[0][0]) is kind


def test_a_model_without_a_convolution_is_refused(make_learner):
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 3))
    with pytest.raises(ValueError, match="Sequential has no spatial Conv2d"):
        make_learner(FrequencyProportion({"low": 1.0}), model)


def test_a_model_in_wrappers(make_learner, make_model, tools):
    callback = FrequencyProportion({"low": 0.5, "high": 0.5})
    model = tools.data_parallel(make_model())
    learn = make_learner([SpectralModulation(), callback], model, splitter=all_parameters)
    learn.fit(1, 0.1, cbs=tools.StepSpy(lambda: tools.assert_enforced(learn, callback, [4, 4])))
    tools.assert_consistent(learn)


def test_a_model_in_channels_last_memory(make_learner, make_model, tools):
    callback = FrequencyProportion({"low": 0.5, "high": 0.5})
    model = make_model(kernel_size=5).to(memory_format=torch.channels_last)
    learn = make_learner([SpectralModulation(), callback], model)
    learn.fit(1, 0.1, cbs=tools.StepSpy(lambda: tools.assert_enforced(learn, callback, [4, 4])))
    assert tools.conv(learn).weight.is_contiguous(memory_format=torch.channels_last)
