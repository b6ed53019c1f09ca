"""`state_dict` and `load_state_dict` of the callbacks that have a state."""

import copy

import numpy as np
import torch

from freqfast.callbacks import FrequencyProportion, SpectralModulation, SpectrumRecorder
from tests.support import learners


def stateful():
    return [SpectralModulation(seed=1), FrequencyProportion({"low": 0.25, "high": 0.75}), SpectrumRecorder()]


def states_of(cbs):
    return [copy.deepcopy(cb.state_dict()) for cb in cbs]


def test_states_have_simple_keys(make_learner):
    modulation, proportion, recorder = cbs = stateful()
    make_learner(cbs).fit(2, 0.05)
    assert modulation.state_dict() == {"seed": 1, "draws": 10}
    assert torch.equal(proportion.state_dict()["assignment"], proportion.assignment)
    records = recorder.state_dict()
    assert list(records) == ["epochs", "weights", "power", "shares", "log_gain"]
    assert records["epochs"] == [0, 1, 2]
    assert all(isinstance(array, np.ndarray) for array in records["weights"])


def test_a_fit_that_goes_on_from_states_equals_one_that_never_stopped(make_learner, rewind):
    cbs = stateful()
    learn = make_learner(cbs)
    learn.fit(1, 0.05)
    states, model = states_of(cbs), learners.snapshot(learn)
    fresh = stateful()
    other = make_learner(fresh, seed=2)
    other.model.load_state_dict(model)
    for cb, state in zip(fresh, states, strict=True):
        cb.load_state_dict(state)
    for each in (learn, other):
        rewind(each, 3)
        each.fit(1, 0.05, reset_opt=True)
    learners.assert_same(learners.snapshot(learn), learners.snapshot(other))
    assert fresh[0].state_dict() == cbs[0].state_dict()
    assert torch.equal(fresh[1].assignment, cbs[1].assignment)
    assert fresh[2].epochs == cbs[2].epochs == [0, 1, 2]
    assert np.array_equal(fresh[2].history().power, cbs[2].history().power)


def test_a_loaded_record_does_not_share_its_lists():
    recorder, other = SpectrumRecorder(), SpectrumRecorder()
    recorder.load_state_dict({"epochs": [0], "weights": [1], "power": [2], "shares": [3], "log_gain": []})
    other.load_state_dict(recorder.state_dict())
    other.epochs.append(1)
    assert recorder.epochs == [0]
