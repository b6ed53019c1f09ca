"""Faults around a run: another process, its data, the clock, the memory."""

import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from PIL import Image

from freqfast.data import load_data
from freqfast.training import RunStoppedError, learner, run_recipe
from tests.support.tiny import TINY, outcome, stop_at

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("two_corruptions")]


def test_second_run_is_refused_until_the_first_is_dead(start, tree, tmp_path, reference):
    out = tmp_path / "run"
    process = start(out, replace(TINY, epochs=500))
    while not (out / "metrics.csv").exists():
        assert process.is_alive()
        time.sleep(0.01)
    with pytest.raises(BlockingIOError, match="run is in use by another process; wait for its end or choose another"):
        run_recipe(TINY, out, tree, "cpu", resume=True)
    process.kill()
    process.join()
    with pytest.raises(ValueError, match="was started with epochs 500"):  # so it came past the lock
        run_recipe(TINY, out, tree, "cpu", resume=True)


def stopped(tree, out):
    load_data("cifar10", tree)
    with pytest.raises(RunStoppedError):
        run_recipe(TINY, out, tree, "cpu", stop=stop_at(3))


def test_data_that_changes_is_refused_by_name(tree, tmp_path, reference):
    mine = shutil.copytree(tree, tmp_path / "mine")
    stopped(mine, tmp_path / "run")
    image = mine / "train" / "wide" / "3.png"
    original = image.read_bytes()
    pixels = np.array(Image.open(image))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(image)
    os.utime(image, (0, 0))
    for number in (4, 5, 6):
        image.with_name(f"{number}.png").write_bytes(image.with_name(f"{number}.png").read_bytes())
    files = r"train/wide/3\.png, train/wide/4\.png, train/wide/5\.png and 1 more"
    with pytest.raises(
        ValueError, match=rf"^the data {mine} has changed since \S+ was started .*; written since: {files}; put the old"
    ):
        run_recipe(TINY, tmp_path / "run", resume=True)
    image.write_bytes(original)
    run_recipe(TINY, tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run") == reference


def test_data_that_moves_is_taken_from_its_new_place(tree, tmp_path, reference):
    mine = shutil.copytree(tree, tmp_path / "mine")
    stopped(mine, tmp_path / "run")
    mine.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match=r"mine, where the run's data was, does not exist; name the place"):
        run_recipe(TINY, tmp_path / "run", resume=True)
    run_recipe(TINY, tmp_path / "run", tmp_path / "moved", resume=True)
    assert outcome(tmp_path / "run") == reference


class Greedy(Callback):
    """Asks for more memory than there is, in the third step."""

    run_valid = False

    def __init__(self, event, ask):
        setattr(self, event, lambda: ask() if self.learn.train_iter == 2 else None)


@pytest.mark.parametrize(
    ("event", "ask"), [("before_batch", lambda: torch.empty(2**50)), ("after_pred", lambda: np.empty(2**60, np.uint8))]
)
def test_out_of_memory(tree, tmp_path, monkeypatch, reference, event, ask):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(learner, "FitProgress", lambda _: Greedy(event, ask))
        with pytest.raises(
            RunStoppedError,
            match=r"^out of memory after 1 epochs \(.*(emory|allocate).*\); .* batch_size below 16; it can be resumed$",
        ) as caught:
            run_recipe(TINY, out, tree, "cpu", lambda *_: None)
    assert "\n" not in str(caught.value)
    assert outcome(run_recipe(TINY, out, resume=True).path) == reference
