"""The callbacks on models of torchvision, timm and fastai."""

import pytest
import timm
import torch
from fastai.losses import CrossEntropyLossFlat
from fastai.vision.learner import vision_learner
from fastai.vision.models.xresnet import ResBlock, XResNet
from timm.layers import ScaledStdConv2d
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from freqfast.callbacks import (
    FrequencyProportion,
    SpectralModulation,
    SpectrumEqualization,
    SpectrumPerturbation,
    SpectrumRecorder,
)
from freqfast.models.resnet import CifarResNet18
from freqfast.spectral.equalization import equalized_layers
from freqfast.spectral.modulation import SpectralConv2d, bake_modulation
from freqfast.spectral.surgery import find_conv
from tests.support import learners


def vit():
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=48, depth=2, num_heads=2, num_classes=3
    )


MODELS = {
    "torchvision ResNet": (lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=3), "conv1", (64, 3, 7, 7)),
    "timm deep stem": (lambda: timm.create_model("test_resnet", num_classes=3), "conv1.0", (16, 3, 3, 3)),
    "timm ViT": (vit, "patch_embed.proj", (48, 3, 4, 4)),
    "fastai XResNet": (lambda: XResNet(ResBlock, 1, [1] * 4, n_out=3, widen=0.25), "0.0", (32, 3, 3, 3)),
    "CIFAR ResNet-18": (lambda: CifarResNet18(3, width=8), "conv1", (8, 3, 3, 3)),
}


def all_parameters(model):
    return list(model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_all_callbacks(name, make_learner):
    build, layer, shape = MODELS[name]
    torch.manual_seed(0)
    callback = FrequencyProportion({"low": 0.75, "high": 0.25})
    cbs = [SpectralModulation(seed=0), callback, SpectrumPerturbation(), SpectrumRecorder()]
    learn = make_learner(cbs, build(), splitter=all_parameters)
    found, conv = find_conv(learn.model)
    assert (found, tuple(conv.weight.shape)) == (layer, shape)
    counts = [shape[0] * 3 // 4, shape[0] // 4]
    spy = learners.StepSpy(lambda: learners.assert_enforced(learn, callback, counts))
    learn.fit_one_cycle(1, 0.01, cbs=spy)
    assert spy.calls == 3
    assert conv.log_gain.any()
    learners.assert_consistent(learn)

    images = learn.dls.valid.one_batch()[0]
    learn.model.eval()
    with torch.no_grad():
        before = learn.model(images)
        after = bake_modulation(learn.model)(images)
    assert (after - before).norm() <= 1e-5 * before.norm()  # deep float32 networks amplify roundings
    assert type(conv) is nn.Conv2d


def test_vision_learner(make_dls, tmp_path):
    callback = FrequencyProportion({"low": 0.5, "high": 0.5})
    learn = vision_learner(
        make_dls(),
        "test_resnet",  # of timm
        pretrained=False,
        normalize=False,
        n_out=3,
        loss_func=CrossEntropyLossFlat(),
        path=tmp_path,
        cbs=[SpectralModulation(), callback],
    )
    groups = len(learn.splitter(learn.model))
    conv = learners.conv(learn)  # which fine_tune freezes for an epoch
    spy = learners.StepSpy(lambda: conv.weight.requires_grad and learners.assert_enforced(learn, callback))
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(1, 0.01, cbs=spy)
    assert spy.calls == 6
    assert len(learn.opt.param_lists) == groups > 1
    assert type(conv) is SpectralConv2d
    learners.assert_consistent(learn)


def test_an_equalizer_before_a_convolution_with_a_forward_of_its_own(make_learner, make_model):
    model = make_model()
    model[0][0] = ScaledStdConv2d(3, 8, 3, padding=1)
    learn = make_learner(SpectrumEqualization(4), model)
    learn.fit(1, 0.05)
    assert equalized_layers(learn.model) == ["0.0"]


def test_a_model_in_wrappers(make_learner, make_model):
    callback = FrequencyProportion({"low": 0.5, "high": 0.5})
    model = learners.data_parallel(make_model())
    learn = make_learner([SpectralModulation(), callback], model, splitter=all_parameters)
    learn.fit(1, 0.1, cbs=learners.StepSpy(lambda: learners.assert_enforced(learn, callback, [4, 4])))
    learners.assert_consistent(learn)
