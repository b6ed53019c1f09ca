"""freqfast's callbacks together with fastai's."""

import csv
import re
from inspect import Parameter, signature

import pytest
import torch
from fastai.callback.core import FetchPredsCallback
from fastai.callback.mixup import MixUp
from fastai.callback.progress import CSVLogger
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback, TerminateOnNaNCallback
from fastai.callback.training import GradientAccumulation, GradientClip
from fastai.metrics import accuracy
from freqfast.recipes.resnet18_cifar10 import best

from freqfast.callbacks import (
    EpochLog,
    FitProgress,
    FourierBasisAugmentation,
    FrequencyProportion,
    SpectralDecay,
    SpectralModulation,
    SpectrumEqualization,
    SpectrumPerturbation,
)
from freqfast.spectral.decay import energy_outside
from freqfast.spectral.equalization import SpectrumEqualizer, apply_equalization
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation
from freqfast.spectral.perturbation import perturb_spectrum
from freqfast.spectral.proportion import project_filters
from freqfast.spectral.waves import add_planar_waves
from tests.support import learners


def test_lines_on_epochs_without_validation_images(make_learner, make_dls):
    dls, lines = make_dls(), []
    dls.valid.n = 0
    make_learner(dls=dls, metrics=accuracy).fit(1, cbs=EpochLog(lines.append))
    (line,) = lines
    assert line.startswith("epoch 1/1: train loss ")
    assert "accuracy" not in line


@pytest.fixture
def enforced(make_learner, everything):
    """A Learner with all our callbacks and some of fastai's; after each step, which it counts, the proportion holds."""

    def make(*others, **options):
        cbs = everything()
        learn = make_learner([*others, *cbs], **options)
        conv = learners.conv(learn)  # which fine_tune freezes for an epoch
        check = lambda: conv.weight.requires_grad and learners.assert_enforced(learn, cbs[1], [2, 6])  # noqa: E731
        learn.add_cb(learners.StepSpy(check))
        return learn

    return make


def test_fastai_ends_fits_by_a_bands_column_and_by_their_loss(enforced):
    learn = enforced()
    learn.fit(9, 0.03, cbs=EarlyStoppingCallback(monitor="high", patience=2))  # it never improves
    assert len(learn.recorder.values) == 3
    learners.assert_enforced(learn, learn.frequency_proportion, [2, 6])
    learn.remove_cb(learn.step_spy)
    learn.fit(3, 1e30, cbs=TerminateOnNaNCallback())
    assert learn.epoch == 0
    assert not torch.isfinite(learners.conv(learn).weight).all()
    with pytest.raises(ValueError, match="weight holds NaN or infinite values"):
        learn.fit(1)  # says so at once, rather than train on


def test_all_together(enforced, tmp_path):
    progress, lines = [], []
    others = [
        MixUp(),
        GradientAccumulation(16),
        GradientClip(1.0),
        SaveModelCallback(),
        EarlyStoppingCallback(patience=9),
        CSVLogger(),
        TerminateOnNaNCallback(),
        FitProgress(lambda *step: progress.append(step)),
        EpochLog(lines.append),
        fetch := FetchPredsCallback(),
    ]
    learn = enforced(*others, metrics=accuracy)
    learn.lr_find(num_it=6, show_plot=False, suggest_funcs=None)
    learn.step_spy.calls, progress[:], lines[:] = 0, [], []
    learn.fine_tune(2, 0.03)
    assert learn.step_spy.calls == 1 + 3  # 3 and 6 batches of 8, in twos
    assert [done for done, _, _ in progress] == [*range(1, 4), *range(1, 7)]
    assert {total for _, total, _ in progress} == {3, 6}
    assert "epoch 2/2, loss " in progress[-1][2]
    assert [line.partition(": train loss ")[0] for line in lines] == ["epoch 1/1", "epoch 1/2", "epoch 2/2"]
    assert lines[1].endswith(" left")
    assert re.search(r"accuracy [\d.]+ %, low 25 %, high 75 %$", lines[2])
    assert learn.spectrum_recorder.epochs == [0, 1, 2, 3]
    assert fetch.preds[0].shape == (8, 3)
    with (tmp_path / "history.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["epoch", "train_loss", "valid_loss", "accuracy", "low", "high", "time"]
    assert [row[4:6] for row in rows] == [["0.25", "0.75"]] * 2
    learners.assert_enforced(learn, learn.frequency_proportion, [2, 6])
    learners.assert_consistent(learn)
    assert type(learners.conv(learn)) is SpectralConv2d


@pytest.mark.parametrize(
    ("callback", "function"),
    [
        (SpectrumPerturbation, perturb_spectrum),
        (SpectralModulation, apply_modulation),
        (SpectrumEqualization, apply_equalization),
        (SpectrumEqualization, SpectrumEqualizer),
        (FrequencyProportion, project_filters),
        (SpectralDecay, energy_outside),
        (FourierBasisAugmentation, add_planar_waves),
    ],
)
def test_defaults_are_those_of_the_functions_that_the_callbacks_call(callback, function):
    ours, theirs = (signature(each).parameters for each in (callback, function))
    shared = [name for name in ours if name in theirs and ours[name].default not in (Parameter.empty, None)]
    assert shared
    assert {name: ours[name].default for name in shared} == {name: theirs[name].default for name in shared}


def test_the_default_perturbation_is_that_of_the_recipe_best():
    defaults = vars(SpectrumPerturbation())
    assert defaults | best.callbacks["spectrum_perturbation"] == defaults
