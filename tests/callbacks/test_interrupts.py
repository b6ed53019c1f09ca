"""An exception or Ctrl-C at any event: the Learner stays whole, and the next fit works."""

import pytest
from fastai.callback.core import Callback

from tests.support import learners

EVENTS = [
    "before_fit", "before_epoch", "before_train", "before_batch", "after_pred", "before_backward", "before_step",
    "after_step", "after_batch", "after_train", "before_validate", "after_validate", "after_epoch", "after_fit",
]  # fmt: skip


class Failing(Callback):
    """Raises at an event, from the second epoch on where it has one."""

    def __init__(self, event, error, order):
        self.event, self.error, self.order = event, error, order

    def __call__(self, event):
        if event == self.event and (event in ("before_fit", "after_fit") or self.epoch == 1):
            raise self.error


WAYS = [(RuntimeError("stop"), "fit", -20), (KeyboardInterrupt(), "Learner", 999)]


@pytest.mark.parametrize(("number", "event"), [*enumerate(EVENTS), (0, "after_step")])
def test_at_every_event(number, event, make_learner, everything):
    error, way, order = WAYS[number % 2]
    cbs, failing = everything(), Failing(event, error, order)
    learn = make_learner(cbs if way == "Learner" else None)
    with pytest.raises(type(error)):
        learn.fit(2, 0.1, cbs=[failing] if way == "Learner" else [*cbs, failing])

    assert [cb in learn.cbs for cb in cbs] == [way == "Learner"] * 5
    assert "forward" not in vars(learn.model)
    # Only a fit that stops between a step and the projection after it has filters that are not projected.
    if event not in ("before_fit", "after_step") or (event == "after_step" and order > 55):
        learners.assert_enforced(learn, cbs[1], [2, 6])
    learners.assert_consistent(learn)

    learn.validate()
    spy = learners.StepSpy(lambda: learners.assert_enforced(learn, learn.frequency_proportion, [2, 6]))
    learn.fit_one_cycle(1, 0.1, cbs=[spy] if way == "Learner" else [*everything(), spy])
    assert spy.calls == 3
    learners.assert_consistent(learn)
    recorder = cbs[3]
    assert recorder.epochs == list(range(len(recorder.weights)))
