"""freqfast's callbacks beside fastai's."""

from inspect import Parameter, signature

import pytest
import torch
from fastai.callback.core import Callback, FetchPredsCallback
from fastai.callback.mixup import CutMix, MixUp
from fastai.callback.progress import CSVLogger
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback, TerminateOnNaNCallback
from fastai.callback.training import GradientAccumulation, GradientClip, ShortEpochCallback
from fastai.data.transforms import Normalize
from fastai.vision.augment import RandomErasing, aug_transforms
from fastai.vision.core import imagenet_stats
from freqfast.recipes.resnet18_cifar10 import best

from freqfast.callbacks import (
    FitProgress,
    FrequencyProportion,
    SpectralModulation,
    SpectrumEqualization,
    SpectrumPerturbation,
)
from freqfast.spectral.equalization import SpectrumEqualizer, apply_equalization
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation
from freqfast.spectral.perturbation import perturb_spectrum
from freqfast.spectral.proportion import project_filters

PROPORTIONS = {"low": 0.25, "high": 0.75}


@pytest.fixture
def enforced(make_learner, tools, everything):
    """A Learner with all our callbacks and some of fastai's; after each step, which it counts, the proportion holds."""

    def make(*others, **options):
        cbs = everything()
        learn = make_learner([*others, *cbs], **options)
        learn.add_cb(tools.StepSpy(lambda: tools.assert_enforced(learn, cbs[1], [2, 6])))
        return learn

    return make


@pytest.mark.parametrize("mix", [MixUp, CutMix])
def test_mixup_and_cutmix(mix, enforced, tools):
    learn = enforced(mix())
    learn.fit_one_cycle(2, 0.03)
    assert learn.step_spy.calls == 10
    assert torch.isfinite(torch.tensor(learn.recorder.values[-1])).all()
    tools.assert_consistent(learn)


def test_gradient_accumulation_steps_less_often(enforced, tools):
    learn = enforced(GradientAccumulation(32))
    learn.fit_one_cycle(2, 0.03)
    assert learn.step_spy.calls == 5  # 10 batches of 16
    tools.assert_enforced(learn, learn.frequency_proportion, [2, 6])
    tools.assert_consistent(learn)


def test_gradient_clipping_takes_the_gains_in(enforced, tools):
    norms = []

    class Norm(Callback):
        order = GradientClip.order + 1

        def before_step(self):
            grads = [p.grad.norm() for p in self.learn.model.parameters()]
            norms.append((float(torch.stack(grads).norm()), tools.conv(self.learn).log_gain.grad is not None))

    learn = enforced(GradientClip(1e-3), Norm())
    learn.fit(1, 0.03)
    assert len(norms) == 5
    assert all(norm <= 1e-3 * 1.0001 and has_gain for norm, has_gain in norms)


def test_save_model_brings_the_best_back(enforced, tools, capsys):
    learn = enforced()

    def before_validate(self):
        if self.epoch == 2:  # the last epoch is not the best
            self.model[1][-1].weight.data.neg_()

    learn.fit(3, 0.03, cbs=[SaveModelCallback(fname="best", with_opt=True), Callback(before_validate=before_validate)])
    losses = [float(row[1]) for row in learn.recorder.values]
    assert losses[-1] > min(losses)
    assert learn.validate()[0] == pytest.approx(min(losses), rel=1e-3)
    tools.assert_enforced(learn, learn.frequency_proportion, [2, 6])
    tools.assert_consistent(learn)
    learn.fit(1)


@pytest.mark.parametrize("every_epoch", [False, True])
def test_save_model_in_one_fit_with_the_modulation(every_epoch, make_learner, tools, capsys, everything):
    learn = make_learner()
    learn.fit(2, cbs=[*everything(), SaveModelCallback(every_epoch=every_epoch)])
    tools.assert_consistent(learn)
    learn.fit(1)


def test_early_stopping_on_a_loss_and_on_a_band(enforced, tools, capsys):
    learn = enforced()
    learn.fit(9, 1e-9, cbs=EarlyStoppingCallback(min_delta=10.0, patience=1))
    assert len(learn.recorder.values) == 2
    tools.assert_consistent(learn)
    # The proportion of a band is a column like any metric, so it can be watched (here it never improves).
    learn.fit(9, 0.03, cbs=EarlyStoppingCallback(monitor="high", patience=2))
    assert len(learn.recorder.values) == 3
    tools.assert_enforced(learn, learn.frequency_proportion, [2, 6])


def test_a_fit_that_diverges_ends_as_fastai_ends_it(enforced, tools):
    learn = enforced()
    learn.remove_cb(learn.step_spy)
    learn.fit(3, 1e30, cbs=TerminateOnNaNCallback())
    assert learn.epoch == 0
    assert not torch.isfinite(tools.conv(learn).weight).all()
    with pytest.raises(ValueError, match="weight holds NaN or infinite values"):
        learn.fit(1)  # says so at once, rather than train on


def test_columns_of_a_fit_that_diverges(make_learner):
    learn = make_learner(FrequencyProportion(PROPORTIONS))
    learn.fit(1, 1e30)
    assert torch.tensor(learn.recorder.values[-1][-2:]).isnan().all()


def test_a_short_epoch(enforced, tools):
    learn = enforced(ShortEpochCallback(pct=0.4))
    learn.fit(2, 0.03)
    assert learn.step_spy.calls == 6
    tools.assert_enforced(learn, learn.frequency_proportion, [2, 6])


def test_predictions_fetched_in_every_epoch(enforced, tools):
    fetch = FetchPredsCallback()
    learn = enforced(fetch)
    learn.fit(2, 0.03)
    assert fetch.preds[0].shape == (16, 3)
    assert [len(row) for row in learn.recorder.values] == [4, 4]
    assert learn.spectrum_recorder.epochs == [0, 1, 2]


def test_augmentation_that_leaves_the_range_of_pixels(enforced, make_dls):
    tfms = [*aug_transforms(size=16), Normalize.from_stats(*imagenet_stats, cuda=False), RandomErasing(p=1.0)]
    learn = enforced(dls=make_dls(tfms))
    learn.fit(1, 0.03)
    assert learn.step_spy.calls == 5


def test_a_start_in_a_later_epoch(enforced, tools):
    learn = enforced()
    learn.fit_one_cycle(3, 0.03, start_epoch=1)
    assert learn.step_spy.calls == 10
    assert learn.spectrum_recorder.epochs == [1, 2, 3]


def test_tta_between_fits(enforced, tools):
    learn = enforced()
    learn.fit(1)
    before = tools.snapshot(learn)
    preds, _ = learn.tta(n=2)
    assert preds.shape == (16, 3)
    tools.assert_same(before, tools.snapshot(learn))
    learn.fit(1)


def test_all_together(enforced, tools, tmp_path, capsys):
    progress = []
    others = [
        MixUp(),
        GradientAccumulation(32),
        GradientClip(1.0),
        SaveModelCallback(),
        EarlyStoppingCallback(patience=9),
        CSVLogger(),
        TerminateOnNaNCallback(),
        FitProgress(lambda *step: progress.append(step)),
    ]
    learn = enforced(*others)
    learn.lr_find(num_it=6, show_plot=False, suggest_funcs=None)
    learn.step_spy.calls, progress[:] = 0, []
    learn.fine_tune(2, 0.03)
    assert learn.step_spy.calls == 2 + 5  # 5 and 10 batches of 16, in twos
    assert [done for done, _, _ in progress] == [*range(1, 6), *range(1, 11)]
    assert {total for _, total, _ in progress} == {5, 10}
    assert "epoch 2/2, loss " in progress[-1][2]
    assert learn.spectrum_recorder.epochs == [0, 1, 2, 3]
    tools.assert_enforced(learn, learn.frequency_proportion, [2, 6])
    tools.assert_consistent(learn)
    assert type(tools.conv(learn)) is SpectralConv2d


@pytest.mark.parametrize(
    ("callback", "function"),
    [
        (SpectrumPerturbation, perturb_spectrum),
        (SpectralModulation, apply_modulation),
        (SpectrumEqualization, apply_equalization),
        (SpectrumEqualization, SpectrumEqualizer),
        (FrequencyProportion, project_filters),
    ],
)
def test_defaults_are_those_of_what_the_callback_calls(callback, function):
    ours, theirs = (signature(each).parameters for each in (callback, function))
    shared = [name for name in ours if name in theirs and ours[name].default is not Parameter.empty and name != "bands"]
    assert len(shared) > 1
    assert {name: ours[name].default for name in shared} == {name: theirs[name].default for name in shared}


def test_the_default_perturbation_is_that_of_the_recipe_best():
    options = best.callbacks["spectrum_perturbation"]
    defaults = {name: each.default for name, each in signature(SpectrumPerturbation).parameters.items()}
    assert {**defaults, **options} == defaults
