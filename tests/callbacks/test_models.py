"""The callbacks on models of torchvision, timm and fastai."""

from fastai.losses import CrossEntropyLossFlat
from fastai.vision.learner import vision_learner

from freqfast.callbacks import (
    FrequencyProportion,
    SpectralModulation,
)
from freqfast.spectral.modulation import SpectralConv2d
from tests.support import learners


def all_parameters(model):
    return list(model.parameters())


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


def test_a_model_in_wrappers(make_learner, make_model):
    callback = FrequencyProportion({"low": 0.5, "high": 0.5})
    model = learners.data_parallel(make_model())
    learn = make_learner([SpectralModulation(), callback], model, splitter=all_parameters)
    learn.fit(1, 0.1, cbs=learners.StepSpy(lambda: learners.assert_enforced(learn, callback, [4, 4])))
    learners.assert_consistent(learn)
