"""What the recorder keeps where fits differ: where they start, and what the layer is."""

import numpy as np
import pytest

from freqfast.callbacks import SpectralModulation, SpectrumRecorder


def test_epochs_go_on_from_fastai_s_start_epoch(make_learner):
    recorder = SpectrumRecorder()
    make_learner(recorder).fit(4, 0.05, start_epoch=2)
    assert recorder.history().epochs.tolist() == [2, 3, 4]


@pytest.mark.parametrize("first", [True, False])
def test_gains_of_each_filter_and_shared_ones(first, make_learner):
    recorder = SpectrumRecorder()
    learn = make_learner(recorder)
    for per_filter in (first, not first):
        learn.fit(1, 0.05, cbs=SpectralModulation(per_filter=per_filter))
    gains = recorder.history().log_gain
    filters = len(recorder.weights[0])
    assert gains.shape == (3, filters, 3, 3)
    assert recorder.log_gain[1].shape[0] == (filters if first else 1)
    shared = gains[2] if first else gains[1]
    assert np.ptp(shared, axis=0).max() == 0


def test_gains_of_some_epochs_only_are_left_out(make_learner):
    recorder = SpectrumRecorder()
    learn = make_learner(recorder)
    learn.fit(1, 0.05)
    learn.fit(1, 0.05, cbs=SpectralModulation())
    assert (len(recorder.log_gain), recorder.epochs) == (1, [0, 1, 2])
    assert recorder.history().log_gain is None
