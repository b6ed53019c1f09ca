"""A learning-rate finder leaves no trace in the model, the optimizer and the callbacks."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from freqfast.callbacks import (
    FrequencyProportion,
    SpectralModulation,
    SpectrumEqualization,
    SpectrumPerturbation,
    SpectrumRecorder,
)
from tests.support import learners

PROPORTIONS = {"low": 0.25, "high": 0.75}


def everything():
    cbs = [SpectralModulation(seed=5), FrequencyProportion(PROPORTIONS), SpectrumPerturbation(), SpectrumRecorder()]
    return [*cbs, SpectrumEqualization()]


def find(learn, **options):
    return learn.lr_find(**{"num_it": 12, "show_plot": False, "suggest_funcs": None, **options})


def state_of(cbs, learn):
    """What must be equal before and after: the model, the optimizer, and the states of the callbacks."""
    opt = [] if learn.opt is None else [learn.opt.state[p] for group in learn.opt.param_lists for p in group]
    callbacks = [cb.state_dict() for cb in cbs if hasattr(type(cb), "state_dict")]
    return deepcopy({"model": learners.snapshot(learn), "opt": [dict(state) for state in opt], "callbacks": callbacks})


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if torch.is_tensor(a) else np.array_equal(a, b)


@pytest.mark.parametrize(
    ("outcome", "fitted"), [("to the end", False), ("to the end", True), ("diverged", True), ("not a number", True)]
)
def test_no_trace_is_left(fitted, outcome, make_learner):
    cbs = everything()
    learn = make_learner(cbs)
    learn.create_opt()
    if fitted:
        learn.fit(1)
    before = state_of(cbs, learn)
    options = {
        "to the end": {},
        "diverged": {"start_lr": 1e-3, "end_lr": 1e4},
        "not a number": {"start_lr": 1.0, "end_lr": 1e30, "stop_div": False},
    }
    find(learn, **options[outcome])
    assert same(before, state_of(cbs, learn))
    learners.assert_consistent(learn)


def test_a_fit_after_it_equals_one_without(make_learner, rewind):
    results = []
    for finding in (False, True):
        cbs = everything()
        learn = make_learner(cbs)
        if finding:
            find(learn)
        rewind(learn, 7)
        learn.fit_one_cycle(2, 0.05)
        results.append(({**state_of(cbs, learn), "opt": None}, learn.recorder.values))
    (plain, plain_values), (found, found_values) = results
    assert same(plain, found)
    assert [list(row) for row in plain_values] == [list(row) for row in found_values]


def test_an_interrupted_one_does_not_rewind_the_noise_of_the_next_fit(make_learner):
    cbs = everything()
    learn = make_learner(cbs)
    learn.fit(1)

    def interrupt():
        raise KeyboardInterrupt

    spy = learn.add_cb(learners.StepSpy(interrupt)).step_spy
    with pytest.raises(KeyboardInterrupt):
        find(learn)
    learn.remove_cb(spy)
    before = learners.conv(learn).draws
    learn.fit(1)
    assert learners.conv(learn).draws == before + 5
    learners.assert_enforced(learn, cbs[1], [2, 6])
    learners.assert_consistent(learn)
