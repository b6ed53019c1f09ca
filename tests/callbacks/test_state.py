"""`state_dict` and `load_state_dict` of the callbacks that have a state."""

import numpy as np
import torch

from freqfast.callbacks import FrequencyProportion, SpectralModulation, SpectrumRecorder


def stateful():
    return [SpectralModulation(seed=1), FrequencyProportion({"low": 0.25, "high": 0.75}), SpectrumRecorder()]


def test_states_have_simple_keys(make_learner):
    modulation, proportion, recorder = cbs = stateful()
    make_learner(cbs).fit(2, 0.05)
    assert modulation.state_dict() == {"seed": 1, "draws": 10}
    assert torch.equal(proportion.state_dict()["assignment"], proportion.assignment)
    records = recorder.state_dict()
    assert list(records) == ["epochs", "weights", "power", "shares", "log_gain"]
    assert records["epochs"] == [0, 1, 2]
    assert all(isinstance(array, np.ndarray) for array in records["weights"])
