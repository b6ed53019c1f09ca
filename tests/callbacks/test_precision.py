"""bfloat16 autocast: on for the forward call, off whatever happens."""

import pytest
import torch
from fastai.callback.core import Callback, CancelBatchException
from torch import nn

from freqfast.callbacks import AutoPrecision, FrequencyProportion, SpectralModulation
from freqfast.compute.precision import resolve_precision


def autocast_is_on():
    return any(map(torch.is_autocast_enabled, ("cpu", "cuda")))


def probe(model, seen, fail=None):
    """Note what happens inside the head's forward call; raise there if told to."""

    def note(module, inputs):
        seen.append((inputs[0].dtype, autocast_is_on(), module.training))
        if fail is not None:
            raise fail

    return model[1][2].register_forward_pre_hook(note)


def test_the_forward_pass_runs_in_bfloat16(make_learner, tools):
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
    assert [enabled for _, enabled, _ in seen] == [True] * 6
    assert {training for *_, training in seen} == {True, False}
    assert set(dtypes) == {torch.float32}
    assert {p.dtype for p in learn.model.parameters()} == {torch.float32}
    tools.assert_enforced(learn, learn.frequency_proportion, [8, 0])
    assert "forward" not in vars(learn.model)


def test_bfloat16_trains_like_float32(make_learner):
    losses = []
    for precision in ("float32", "bfloat16"):
        learn = make_learner(AutoPrecision(precision))
        learn.fit(3, 0.03)
        losses.append(learn.recorder.values[-1][1])
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert losses[1] != losses[0]


def test_data_parallel_is_left_in_float32(make_learner, make_model, tools):
    model = tools.data_parallel(make_model())
    learn = make_learner(AutoPrecision("bfloat16"), model, splitter=lambda m: list(m.parameters()))
    with pytest.warns(UserWarning, match=r"nn\.DataParallel's threads know no bfloat16, .* DistributedDataParallel"):
        learn.fit(1)
    assert learn.auto_precision.chosen == "float32"


def test_float32_changes_nothing(make_learner, tools):
    plain, ours = make_learner(), make_learner(AutoPrecision("float32"))
    plain.fit(1)
    ours.fit(1)
    tools.assert_same(tools.snapshot(plain), tools.snapshot(ours))


def test_auto_takes_what_the_device_has(make_learner, tools):
    learn = make_learner(AutoPrecision())
    learn.fit(1)
    assert learn.auto_precision.chosen == resolve_precision("auto", tools.device)


def test_an_unknown_precision():
    with pytest.raises(ValueError, match="precision must be one of auto, bfloat16, float32, got 'fp16'"):
        AutoPrecision("fp16")


@pytest.mark.parametrize("way", ["Learner", "fit"])
@pytest.mark.parametrize("error", [RuntimeError("in forward"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_an_exception_in_forward_leaves_nothing_on(error, way, make_learner, tools):
    callback, seen = AutoPrecision("bfloat16"), []
    learn = make_learner(callback if way == "Learner" else None)
    handle = probe(learn.model, seen, error)
    with pytest.raises(type(error)):
        learn.fit(1, cbs=callback if way == "fit" else None)
    assert seen[0][1]
    assert not autocast_is_on()
    assert "forward" not in vars(learn.model)
    handle.remove()
    assert learn.model(torch.zeros(2, 3, 16, 16, device=tools.device)).dtype == torch.float32
    learn.fit(1)


@pytest.mark.parametrize("error", [RuntimeError("before"), KeyboardInterrupt(), CancelBatchException()])
@pytest.mark.parametrize("order", [0, 999])
def test_an_exception_before_the_forward_call(error, order, make_learner):
    learn = make_learner(AutoPrecision("bfloat16"))

    def before_batch(self):
        raise error

    failing = Callback(before_batch=before_batch)
    failing.order = order
    if isinstance(error, CancelBatchException):
        learn.fit(1, cbs=failing)
    else:
        with pytest.raises(type(error)):
            learn.fit(1, cbs=failing)
    assert "forward" not in vars(learn.model)
    assert not autocast_is_on()


def test_predictions_of_every_kind_are_float32(make_learner):
    learn = make_learner(AutoPrecision("bfloat16"))
    learn.fit(1)
    preds, _, decoded = learn.get_preds(with_decoded=True)
    assert preds.dtype == torch.float32
    assert decoded.shape == (16,)
    assert len(learn.validate()) == 1
    assert "forward" not in vars(learn.model)


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
    assert calls == [True] * 6


def test_outputs_that_are_not_one_tensor(make_learner):
    class Two(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            y = self.model(x)
            return y, {"again": y}

    def loss(pred, target):
        assert pred[0].dtype == pred[1]["again"].dtype == torch.float32
        return nn.functional.cross_entropy(pred[0], target.long())

    model = Two(make_learner().model)
    make_learner(AutoPrecision("bfloat16"), model, loss_func=loss, splitter=lambda m: list(m.parameters())).fit(1)
