"""A learning-rate finder leaves no trace in the model, the optimizer and the callbacks, however it ends."""

from copy import deepcopy
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map_only

from freqfast.callbacks import BatchNormEstimation, SpectrumEqualization
from tests.support import learners


def state_of(learn):
    """What must be equal before and after: the model, the optimizer, and the states of the callbacks."""
    optimizer = [learn.opt.state[p] for group in learn.opt.param_lists for p in group]
    callbacks = [cb.state_dict() for cb in learn.cbs if hasattr(type(cb), "state_dict")]
    state = deepcopy([learners.snapshot(learn), [dict(each) for each in optimizer], callbacks])
    return tree_map_only(torch.Tensor, lambda x: x.cpu().numpy(), state)


@pytest.mark.parametrize(
    "options",
    [
        {"start_lr": 1e-3, "end_lr": 1e4},  # diverges
        {"start_lr": 1.0, "end_lr": 1e30, "stop_div": False},  # to losses that are no numbers
    ],
)
def test_no_trace_is_left(options, make_learner, everything):
    learn = make_learner([*everything(), SpectrumEqualization(), BatchNormEstimation()])
    learn.fit(1)
    before = state_of(learn)
    learn.lr_find(num_it=12, show_plot=False, suggest_funcs=None, **options)
    np.testing.assert_equal(state_of(learn), before)
    learners.assert_consistent(learn)


def test_an_interrupted_one_does_not_rewind_the_noise_of_the_next_fit(make_learner, everything):
    learn = make_learner(everything())
    learn.fit(1)
    spy = learn.add_cb(learners.StepSpy(Mock(side_effect=KeyboardInterrupt))).step_spy
    with pytest.raises(KeyboardInterrupt):
        learn.lr_find(num_it=12, show_plot=False, suggest_funcs=None)
    learn.remove_cb(spy)
    before = learners.conv(learn).draws
    learn.fit(1)
    assert learners.conv(learn).draws == before + 3
    learners.assert_enforced(learn, learn.frequency_proportion, [2, 6])
    learners.assert_consistent(learn)
