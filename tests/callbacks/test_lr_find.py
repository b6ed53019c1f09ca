"""A learning-rate finder's throw-away steps leave nothing behind."""

import pytest
import torch
from fastai.callback.schedule import valley

from freqfast.callbacks import FrequencyProportion, SpectralModulation, SpectrumPerturbation, SpectrumRecorder

PROPORTIONS = {"low": 0.25, "high": 0.75}


def everything():
    return [SpectralModulation(seed=5), FrequencyProportion(PROPORTIONS), SpectrumPerturbation(), SpectrumRecorder()]


def find(learn, **options):
    return learn.lr_find(**{"num_it": 12, "show_plot": False, "suggest_funcs": None, **options})


def state_of(cbs, learn, tools):
    """What must be equal before and after: the model, the optimizer, and all that the callbacks hold."""
    modulation, proportion, _, recorder = cbs
    opt = None if learn.opt is None else [learn.opt.state[p] for group in learn.opt.param_lists for p in group]
    return {
        "model": tools.snapshot(learn),
        "opt": [{k: v.clone() if torch.is_tensor(v) else v for k, v in state.items()} for state in opt or []],
        "assignment": None if proportion.assignment is None else proportion.assignment.clone(),
        "draws": (tools.conv(learn).draws, tools.conv(learn).seed, modulation.seed),
        "record": (list(recorder.epochs), len(recorder.power), len(recorder.log_gain)),
    }


def same(a, b):
    if torch.is_tensor(a):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("outcome", ["to the end", "diverged", "not a number"])
def test_nothing_is_left_behind(fitted, outcome, make_learner, tools):
    cbs = everything()
    learn = make_learner(cbs)
    learn.create_opt()
    if fitted:
        learn.fit(1)
    before = state_of(cbs, learn, tools)
    options = {
        "to the end": {},
        "diverged": {"start_lr": 1e-3, "end_lr": 1e4},
        "not a number": {"start_lr": 1.0, "end_lr": 1e30, "stop_div": False},
    }
    find(learn, **options[outcome])
    assert same(before, state_of(cbs, learn, tools))
    tools.assert_consistent(learn)


def test_a_fit_after_it_equals_one_without(make_learner, tools, rewind):
    results = []
    for finding in (False, True):
        cbs = everything()
        learn = make_learner(cbs)
        if finding:
            find(learn)
        rewind(learn, 7)
        learn.fit_one_cycle(2, 0.05)
        results.append(({**state_of(cbs, learn, tools), "opt": None}, learn.recorder.values))
    (plain, plain_values), (found, found_values) = results
    assert same(plain, found)
    assert [list(row) for row in plain_values] == [list(row) for row in found_values]


def test_the_suggestion_works(make_learner):
    learn = make_learner(everything())
    assert 1e-7 < find(learn, num_it=40, suggest_funcs=valley).valley < 10


def test_before_the_callbacks_are_added(make_learner, tools):
    learn = make_learner()
    find(learn)
    cbs = everything()
    spy = tools.StepSpy(lambda: tools.assert_enforced(learn, cbs[1], [2, 6]))
    learn.fit_one_cycle(1, 0.03, cbs=[*cbs, spy])
    assert spy.calls == 5
    tools.assert_consistent(learn)


def test_one_that_was_interrupted_does_not_rewind_the_next_fits_noise(make_learner, tools):
    cbs = everything()
    learn = make_learner(cbs)
    learn.fit(1)

    def interrupt():
        raise KeyboardInterrupt

    spy = learn.add_cb(tools.StepSpy(interrupt)).step_spy
    with pytest.raises(KeyboardInterrupt):
        find(learn)
    learn.remove_cb(spy)
    before = tools.conv(learn).draws
    learn.fit(1)
    assert tools.conv(learn).draws == before + 5
    tools.assert_enforced(learn, cbs[1], [2, 6])
    tools.assert_consistent(learn)
