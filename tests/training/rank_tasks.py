"""What runs on each of two ranks, for the tests of training on several."""

import os
import shlex
from dataclasses import replace

import pytest
from fastai.callback.core import Callback
from torch import nn

from freqfast.compute.ranks import current_ranks
from freqfast.data.dataloaders import CropFlip, dataloaders
from freqfast.models.build import MODELS
from freqfast.robustness.archive import trees, writing
from freqfast.spectral.modulation import SpectralConv2d
from freqfast.spectral.surgery import unwrap
from freqfast.training import RunStoppedError, learner, run_recipe
from tests.support.tiny import TINY, stop_at

# Nothing in it is drawn apart by rank, nor depends on how a batch is split.
ALIKE = replace(
    TINY,
    model="plain",
    model_options={},
    callbacks={name: TINY.callbacks[name] for name in TINY.callbacks if "perturbation" not in name},
)


def _plain(classes):
    """A network without BatchNorm, whose statistics are those of a rank's part."""
    pooled = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return nn.Sequential(nn.Conv2d(3, 8, 3), pooled, nn.Linear(32, classes))


class Spy(Callback):
    """Keeps the images of each step, and all weights and buffers after each epoch."""

    order = 2000

    def __init__(self):
        self.epochs, self.images = [], []

    def after_pred(self):
        if self.learn.training:
            self.images.append(self.learn.x.clone())

    def after_epoch(self):
        state = unwrap(self.learn.model).state_dict()
        self.epochs.append({name: value.clone() for name, value in state.items()})


def watched_run(recipe, out, tree):
    """A run, and what a spy saw in it."""
    spy, noise, build, perturbation = Spy(), [], learner.build_callbacks, SpectralConv2d._perturbation

    def without_crops(*args, **kwargs):
        dls = dataloaders(*args, **kwargs)
        for loader in dls.loaders:
            loader.after_batch.fs = [step for step in loader.after_batch.fs if not isinstance(step, CropFlip)]
        return dls

    def heard(conv):
        noise.append(perturbation(conv))
        return noise[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "plain", _plain)
        patch.setattr(learner, "build_callbacks", lambda recipe: [*build(recipe), spy])
        patch.setattr(SpectralConv2d, "_perturbation", heard)
        if recipe.model == "plain":
            patch.setattr(learner, "dataloaders", without_crops)
        report = run_recipe(recipe, out, tree, "cpu").report
    return {"epochs": spy.epochs, "images": spy.images, "noise": noise, "report": report}


def _stopped_twice(out, tree):
    """How a run ends that a signal to the second rank stops: after a step, and resumed, in the epoch's validation."""
    is_first, ends = current_ranks().is_first, []
    for ask in (stop_at(1), stop_at(2)):
        with pytest.raises(RunStoppedError) as caught:
            run_recipe(TINY, out, tree, "cpu", resume=True, stop=(lambda: None) if is_first else ask)
        ends.append((caught.value.signum, str(caught.value)))
    run_recipe(TINY, out, resume=True)
    return ends


def _refusal(recipe, out, tree):
    with pytest.raises((ValueError, OSError, RunStoppedError)) as caught:
        run_recipe(recipe, out, tree, "cpu")
    return f"{caught.type.__name__}: {caught.value}"


def train(folder, tree):
    """Two watched runs, one that is stopped and resumed, and refusals, after which the ranks can go on together."""
    alike = watched_run(ALIKE, folder / "two", tree)
    seen = watched_run(TINY, folder / "whole", tree)
    stops = _stopped_twice(folder / "parts", tree)
    refused = {
        "exists": _refusal(TINY, folder / "whole", tree),
        "batch": _refusal(replace(TINY, batch_size=15), folder / "odd", tree),
        "data": _refusal(TINY, folder / "lost", tree if current_ranks().is_first else tree / "nowhere"),
    }
    with pytest.MonkeyPatch.context() as patch:
        _let_the_second_fail(patch, "memory")
        refused["memory"] = _refusal(TINY, folder / "full", tree)
    return alike, seen, stops, refused


class Failing(Callback):
    """Ends in the third step, in one way or another."""

    run_valid = False

    def __init__(self, way):
        self.way = way

    def after_pred(self):
        if self.learn.train_iter == 2:
            if self.way == "killed":
                os._exit(1)
            raise MemoryError


def _let_the_second_fail(patch, way):
    build = learner.build_callbacks
    if not current_ranks().is_first:
        patch.setattr(learner, "build_callbacks", lambda recipe: [*build(recipe), Failing(way)])


def train_and_die(out, tree):
    """A run whose second process is killed in its third step."""
    _let_the_second_fail(pytest.MonkeyPatch(), "killed")
    return _refusal(TINY, out, tree)


def command(folder, *lines):
    """Run command lines in a folder, with both streams in a file for each rank; gives their exit codes."""
    from tests.support.commands import exit_code

    trees._BATCH, writing._CHUNK_BYTES = 3, 2000  # so that both have several parts of the images
    os.chdir(folder)
    handle, codes = os.open(str(current_ranks().rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND), []
    for line in lines:
        for standard in (1, 2):
            os.dup2(handle, standard)
        codes.append(exit_code(*shlex.split(line)))
    return codes
