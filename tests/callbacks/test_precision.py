"""bfloat16 autocast: on during the forward call, off after it in any case."""

from typing import NamedTuple

import pytest
import torch
from fastai.callback.core import Callback
from fastcore.foundation import L
from torch import nn

from freqfast.callbacks import AutoPrecision, FrequencyProportion, SpectralModulation
from tests.support import learners


def autocast_is_on():
    return torch.is_autocast_enabled(torch.device(learners.DEVICE).type)


def probe(model, seen, fail=None):
    """Note whether autocast is on inside the head's forward call, and the mode; raise `fail` there."""

    def note(module, inputs):
        seen.append((autocast_is_on(), module.training))
        if fail is not None:
            raise fail

    return model[1][2].register_forward_pre_hook(note)


def test_the_forward_pass_runs_in_bfloat16(make_learner):
    with pytest.raises(ValueError, match="precision must be one of auto, bfloat16, float32, got 'fp16'"):
        AutoPrecision("fp16")
    learn = make_learner([AutoPrecision("bfloat16"), SpectralModulation(), FrequencyProportion({"low": 1.0})])
    seen, dtypes = [], []
    probe(learn.model, seen)

    class Watch(Callback):
        order = 2000

        def after_pred(self):
            dtypes.append(self.learn.pred.dtype)

        def after_loss(self):
            dtypes.append(self.learn.loss.dtype)
            assert not autocast_is_on()

    learn.fit(1, cbs=Watch())
    assert seen == [(True, True)] * 3 + [(True, False)]
    assert set(dtypes) == {torch.float32}
    assert {p.dtype for p in learn.model.parameters()} == {torch.float32}
    learners.assert_enforced(learn, learn.frequency_proportion, [8, 0])
    assert "forward" not in vars(learn.model)


def test_data_parallel_is_left_in_float32(make_learner, make_model):
    model, seen = learners.data_parallel(make_model()), []
    probe(model.module, seen)
    learn = make_learner(AutoPrecision("bfloat16"), model, splitter=lambda m: list(m.parameters()))
    with pytest.warns(UserWarning, match=r"nn\.DataParallel's threads know no bfloat16, .* DistributedDataParallel"):
        learn.fit(1)
    assert learn.auto_precision.chosen == "float32"
    assert seen == [(False, True)] * 3 + [(False, False)]


def test_an_interrupt_in_forward_leaves_nothing_on(make_learner):
    learn, seen = make_learner(), []
    handle = probe(learn.model, seen, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=AutoPrecision("bfloat16"))
    assert seen == [(True, True)]
    assert not autocast_is_on()
    assert "forward" not in vars(learn.model)
    handle.remove()
    assert learn.model(torch.zeros(2, 3, 16, 16, device=learners.DEVICE)).dtype == torch.float32
    learn.fit(1)


@pytest.mark.filterwarnings("ignore")  # of torch's compiler
def test_forward_of_a_compiled_model_and_of_a_patched_one(make_learner, make_model):
    compiled = torch.compile(make_model(), backend="eager")
    learn = make_learner(AutoPrecision("bfloat16"), compiled, splitter=lambda m: list(m.parameters()))
    own = vars(compiled)["forward"]
    learn.fit(1)
    assert vars(compiled)["forward"] is own

    patched, calls = make_model(), []
    plain = patched.forward

    def forward(x):
        calls.append(autocast_is_on())
        return plain(x)

    patched.forward = forward
    make_learner(AutoPrecision("bfloat16"), patched).fit(1)
    assert patched.forward is forward
    assert calls == [True] * 4


class Outputs(NamedTuple):
    """As torchvision's GoogLeNet and Inception have them in training."""

    logits: torch.Tensor
    more: dict[str, torch.Tensor | L]
    absent: None = None


def test_outputs_of_several_tensors(make_learner, make_model):
    class Two(nn.Sequential):
        def forward(self, x):
            y = super().forward(x)
            return Outputs(y, {"again": y, "list": L(y)})

    def loss(pred, target):
        assert pred.logits.dtype == pred.more["again"].dtype == pred.more["list"][0].dtype == torch.float32
        return nn.functional.cross_entropy(pred.logits, target.long())

    make_learner(AutoPrecision("bfloat16"), Two(*make_model()), loss_func=loss).fit(1)


@pytest.mark.skipif(learners.DEVICE != "cpu", reason="small maps are made faster on a CPU")
@pytest.mark.parametrize("amx", [True, False])
def test_convolutions_with_small_maps_are_replaced_where_amx_is(amx, make_learner, make_model, monkeypatch):
    monkeypatch.setattr("freqfast.compute.small_maps.cpu_has_amx", lambda: amx)
    model, outputs = make_model(), []
    model[0].extend([nn.AdaptiveAvgPool2d(4), nn.Conv2d(8, 256, 3, padding=1), nn.Conv2d(256, 256, 3, padding=1)])
    model[1][2] = nn.Linear(4 * 256, learners.CLASSES)
    model[0][5].register_forward_hook(lambda module, inputs, output: outputs.append(output))
    make_learner(AutoPrecision("bfloat16"), model).fit(1)
    assert (type(outputs[0].grad_fn).__name__ == "_StackedConvolutionBackward") == amx
