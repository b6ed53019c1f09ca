"""Band proportions in fastai's table, CSV files and records; spectra by epoch."""

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.metrics import accuracy

from freqfast.callbacks import EpochLog, FrequencyProportion, SpectralModulation, SpectrumRecorder
from freqfast.spectral.bands import Bands, frequency_proportion
from freqfast.spectral.modulation import bake_modulation, effective_weight
from freqfast.spectral.spectrum import power_spectrum
from tests.support import learners

PROPORTIONS = {"low": 0.25, "high": 0.75}
BOTH = ["epoch", "train_loss", "valid_loss", "accuracy", "low", "high", "time"]


@pytest.mark.parametrize("enforced", [False, True])
def test_each_band_has_a_column_with_its_proportion(enforced, make_learner):
    added = [SpectralModulation(), FrequencyProportion(PROPORTIONS)] if enforced else []
    learn, last = make_learner(SpectrumRecorder(), metrics=accuracy), []
    spy = learners.StepSpy(lambda: None)
    spy.after_epoch = lambda: last.append(frequency_proportion(effective_weight(learners.conv(learn))).tolist())
    learn.fit(2, 0.1, cbs=[*added, spy])
    assert list(learn.recorder.metric_names) == BOTH
    assert [row[-2:] for row in map(list, learn.recorder.values)] == last
    assert (last == [[0.25, 0.75]] * 2) == enforced


def test_the_enforced_bands_are_shown_in_that_fit_alone_and_the_recorder_keeps_its_own(make_learner):
    learn, recorder = make_learner(), SpectrumRecorder(bands=3)
    learn.fit(1, cbs=[recorder, FrequencyProportion(PROPORTIONS)])
    assert list(learn.recorder.metric_names) == ["epoch", "train_loss", "valid_loss", "low", "high", "time"]
    assert list(learn.recorder.values[0][-2:]) == [0.25, 0.75]
    assert recorder.history().shares.shape[1:] == (8, 3)
    learn.fit(1)
    assert list(learn.recorder.metric_names) == ["epoch", "train_loss", "valid_loss", "time"]
    assert len(learn.recorder.values[-1]) == 2


def test_bands_with_other_names(make_learner):
    bands, lines = Bands((0, 0.3, 0.8), ("smooth", "fine")), []
    learn = make_learner(FrequencyProportion({"smooth": 0.5, "fine": 0.5}, bands), metrics=accuracy)
    learn.recorder.add_time, learn.recorder.train_metrics = False, True
    learn.fit(1, cbs=EpochLog(lines.append))
    assert lines[0].endswith("smooth 50 %, fine 50 %")
    names = list(learn.recorder.metric_names)
    assert names == ["epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "smooth", "fine"]
    assert list(learn.recorder.values[0])[-2:] == [0.5, 0.5]


def test_the_recorder_keeps_spectra_of_every_epoch(make_learner):
    recorder = SpectrumRecorder()
    learn = make_learner([recorder, FrequencyProportion(PROPORTIONS), SpectralModulation()])
    learn.fit(2, 0.1)
    learn.validate()
    learn.get_preds()
    learn.fit_one_cycle(1, 0.1)
    history = recorder.history()
    assert recorder.epochs == history.epochs.tolist() == [0, 1, 2, 3]
    shapes = [array.shape for array in (history.power, history.shares, history.log_gain)]
    assert shapes == [(4, 8, 32, 32), (4, 8, 2), (4, 8, 3, 3)]
    # Training starts from the enforced filters, though the recorder was added first.
    assert np.bincount(history.shares[0].argmax(1)).tolist() == [2, 6]
    last = effective_weight(learners.conv(learn))
    assert np.array_equal(history.weight[-1], last.cpu().numpy())
    assert np.array_equal(history.power[-1], power_spectrum(last).cpu().numpy())
    assert not np.array_equal(history.weight[0], history.weight[1])  # copies, not views of what trains on


def test_a_callback_added_in_the_middle_of_a_fit_has_no_columns_in_it(make_learner):
    learn, callback = make_learner(), SpectrumRecorder()
    make_learner(model=learn.model).fit(1, cbs=callback)

    class Add(Callback):
        def after_epoch(self):
            if self.learn.epoch == 0:
                self.learn.add_cb(callback)

    learn.fit(3, 0.05, cbs=Add())
    header = ["epoch", "train_loss", "valid_loss", "time"]
    assert list(learn.recorder.metric_names) == header
    assert [len(row) for row in learn.recorder.values] == [2, 2, 2]
    assert callback.epochs == [0, 1, 2, 3]
    learn.fit(1, 0.05)
    assert list(learn.recorder.metric_names) == [*header[:-1], "low", "high", "time"]
    assert len(learn.recorder.values[-1]) == 4


def test_epochs_that_end_without_finite_weights_are_not_recorded(make_learner):
    learn = make_learner(SpectrumRecorder(n=8))
    with pytest.raises(ValueError, match="nothing was recorded yet"):
        learn.spectrum_recorder.history()

    def diverge():
        if learn.epoch == 1:
            with torch.no_grad():
                learners.conv(learn).weight[0] = float("nan")

    learn.fit(3, 0.05, cbs=learners.StepSpy(diverge))
    assert learn.spectrum_recorder.epochs == [0, 1]
    history = learn.spectrum_recorder.history()
    assert history.log_gain is None  # of a plain layer
    assert history.power.shape[1:] == (8, 8, 8)
    assert np.isfinite(history.power).all()
    shown = np.array([row[-2:] for row in map(list, learn.recorder.values)])
    assert np.isnan(shown).all(1).tolist() == [False, True, True]
    begun = make_learner(SpectrumRecorder())
    learners.conv(begun).weight.data[0] = float("nan")
    begun.fit(1)
    assert begun.spectrum_recorder.epochs == []


def test_records_are_float32_whatever_the_network_is_and_begin_where_the_fit_does(make_learner, make_model):
    def before_batch(self):
        self.learn.xb = (self.learn.xb[0].double(),)

    recorder = SpectrumRecorder()
    to_doubles = Callback(before_batch=before_batch)
    make_learner([recorder, SpectralModulation(), to_doubles], make_model().double()).fit(3, start_epoch=1)
    assert recorder.epochs == [1, 2, 3]
    assert {array.dtype for array in (*recorder.weights, *recorder.log_gain)} == {np.dtype(np.float32)}


def test_records_of_two_models_do_not_mix(make_learner, make_model):
    recorder = SpectrumRecorder()
    first = make_learner(recorder)
    first.fit(1)
    make_learner(recorder, model=first.model).fit(1)
    assert recorder.epochs == [0, 1, 2]  # of one model, whatever Learner trains it
    other = make_learner(recorder, model=make_model(seed=1))
    before = learners.conv(other).weight.detach().numpy(force=True).copy()
    other.lr_find(num_it=2, show_plot=False, suggest_funcs=None)
    other.validate()
    assert recorder.epochs == [0, 1, 2]
    other.fit(1)
    assert recorder.epochs == recorder.history().epochs.tolist() == [0, 1]
    assert np.array_equal(recorder.weights[0], before)


def test_recorded_gains_by_filter_and_shared(make_learner):
    recorder = SpectrumRecorder()
    learn = make_learner(recorder)
    for per_filter in (False, True):
        learn.fit(1, 0.05, cbs=SpectralModulation(per_filter=per_filter), reset_opt=True)
        bake_modulation(learn.model)
    gains = recorder.history().log_gain
    filters = len(recorder.weights[0])
    assert gains.shape == (3, filters, 3, 3)
    assert [len(gain) for gain in recorder.log_gain] == [1, 1, filters]
    assert np.ptp(gains[1], axis=0).max() == 0
    learn.fit(1, 0.05, reset_opt=True)
    assert recorder.history().log_gain is None  # of some epochs only
