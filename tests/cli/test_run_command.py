"""`freqfast run`: from the words to the run directory, stopped and resumed."""

import json
import math
import os
import re
import shlex
import signal
from contextlib import contextmanager
from datetime import datetime
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from freqfast.cli.run import parse_settings

from freqfast.models.build import build_model
from freqfast.runs.recipe import Recipe, apply_overrides
from freqfast.runs.run import load_run

SETTINGS = ("model.width=8", "model='tiny'", "batch_size=16", "test_images=2", "lr=0.05")
TINY = (*(word for setting in SETTINGS for word in ("--set", setting)), "--epochs", 1)
BASELINE = ("run", "resnet18_cifar10.baseline", *TINY)
LOW = ("run", "resnet18_cifar10.proportion_low", *TINY)

pytestmark = pytest.mark.usefixtures("no_commits", "two_corruptions")


def test_a_run_from_the_words_to_the_table(call, accepted, tree, place):
    words = (*LOW, "--data", tree, "--seed", 3, "--set", "frequency_proportion.purity=0.8", "--device", "cpu")
    result = accepted(*words, "--out", "runs/[bold]one")
    run = load_run(place / "runs" / "[bold]one")
    assert (run.recipe.model_options, run.recipe.epochs, run.recipe.seed, run.recipe.lr) == ({"width": 8}, 1, 3, 0.05)
    assert run.recipe.callbacks == {"frequency_proportion": {"proportions": {"low": 1.0}, "purity": 0.8}}
    assert run.recipe.name == "resnet18_cifar10.proportion_low"
    assert run.environment.command.startswith("freqfast run resnet18_cifar10.proportion_low --set model.width=8 ")
    assert run.environment.command.endswith(" --out 'runs/[bold]one'")
    proportion = run.report.proportion
    assert proportion.before != proportion.after == proportion.target == (1.0, 0.0)
    first, epoch, trained, *_ = result.out.splitlines()
    assert first == f"resnet18_cifar10.proportion_low: 1 epoch of 2 steps on cpu in {run.report.precision}"
    assert re.fullmatch(
        r"epoch 1/1: train loss \d+\.\d+, test loss \d+\.\d+, test accuracy \d+\.\d\d %, low 100 %, high 0 %", epoch
    )
    assert re.fullmatch(r"trained in 0:00:\d\d; evaluating clean and corrupted images", trained)
    for expected in (
        "resnet18_cifar10.proportion_low, 1 epoch, seed 3",
        f"{100 * run.report.clean:.2f} % (95 %: -)",  # eight images are too few
        f"{100 * run.report.corrupted:.2f} % (95 %: ",
        "2 corruptions, 2 images each",
        "frequency proportion before",
        "low 100 %, high 0 %",
        "target proportion",
        "run directory: runs/[bold]one",
    ):
        assert expected in result.out
    following = [shlex.split(line) for line in result.out.partition("next:\n")[2].splitlines()]
    assert following[0] == ["freqfast", "run", "--resume", "runs/[bold]one", "--baseline"]
    assert [words[:3] for words in following[1:]] == [
        ["freqfast", command, "runs/[bold]one"] for command in ("show", "heatmap", "report")
    ]
    assert "test_images=100" not in result.out
    assert "Traceback" not in result.err
    again = call(*words, "--out", "runs/[bold]one")
    assert again.code == 2
    assert again.err == (
        "freqfast: runs/[bold]one exists already; choose another --out or remove it; to go on with it use "
        "`freqfast run --resume 'runs/[bold]one'`\n"
    )


def test_default_out_tells_recipe_and_time(call, tree, place, monkeypatch):
    monkeypatch.setenv("FREQFAST_DATA", str(tree))
    second = datetime(2026, 1, 2, 3, 4, 5)
    times = iter([second.replace(microsecond=1), second.replace(microsecond=2)])
    monkeypatch.setattr("freqfast.cli.run.datetime", SimpleNamespace(now=lambda: next(times)))
    (place / "mine.py").write_text("from freqfast.recipes.resnet18_cifar10 import baseline\n")
    first, later = call(*BASELINE), call("run", f"{place}/mine.py:baseline", *TINY)
    assert (first.code, later.code) == (0, 0)
    names = ["resnet18_cifar10.baseline-20260102-030405-000001", "mine.py.baseline-20260102-030405-000002"]
    assert set(os.listdir(place / "runs")) == set(names)
    assert f"run directory: runs/{names[0]}" in first.out
    assert json.loads((place / "runs" / names[0] / "report.json").read_text())["proportion"]["target"] is None
    assert "target proportion" not in first.out


def test_callbacks_are_left_out(accepted, refused, tree, place):
    words = ("run", "quickstart", *TINY, "--set", "data='cifar10'", "--data", tree)
    accepted(*words, "--out", "a", "--without", "spectral_modulation", "--without", "spectrum_perturbation")
    assert list(load_run(place / "a").recipe.callbacks) == ["frequency_proportion"]
    accepted(*words, "--out", "b", "--set", "callbacks={}")
    assert load_run(place / "b").recipe.callbacks == {}
    message = "--without augmix: the recipe's callbacks are frequency_proportion, spectral_modulation"
    assert message in refused(*words, "--without", "augmix")


def test_a_run_starts_from_weights_of_a_file(accepted, tree, place):
    """Which `freqfast.models.start` reads; the model that is tried before has none."""
    state = build_model("timm:test_resnet", classes=7).state_dict()
    first = next(iter(state))
    torch.save(state, place / "w.pth")
    numbers = ("batch_size=16", "test_images=2", "lr=1e-6", "precision='float32'")
    settings = (*numbers, "model='timm:test_resnet'", "model.weights='w.pth'")
    words = [word for setting in settings for word in ("--set", setting)]
    accepted("run", "resnet18_cifar10.baseline", "--data", tree, "-o", "run", "--epochs", 1, *words)
    trained = load_run("run").model.state_dict()
    torch.testing.assert_close(trained[first], state[first], rtol=0, atol=1e-4)


def test_a_short_run_tells_how_its_evaluation_is_shortened(accepted, tree, place):
    whole = [word.replace("test_images=2", "seed=0") if isinstance(word, str) else word for word in BASELINE]
    assert "--set test_images=100 shortens that" in accepted(*whole, "--data", tree).out
    lines = ("from freqfast.recipes.resnet18_cifar10 import baseline", "from dataclasses import replace")
    (place / "few.py").write_text("\n".join([*lines, "few = replace(baseline, test_images=2)"]))
    assert "shortens" not in accepted("run", "few.py:few", *whole[2:], "--data", tree).out


@contextmanager
def at_step(number, action):
    """Something happens in the n-th step of every run in the block."""

    def after_loss(self):
        if self.training and self.learn.train_iter == number - 1:
            action()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("freqfast.training.loop.DivergenceWatch.after_loss", after_loss)
        yield


def send(number):
    return lambda: os.kill(os.getpid(), number)


def test_a_signal_saves_and_resume_ends_with_the_same_bits(call, accepted, tree, place):
    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(which) for which in watched]
    accepted(*LOW, "--data", tree, "--out", "whole")
    with at_step(1, send(signal.SIGINT)):
        stopped = call(*LOW, "--data", tree, "--out", "a b")
    assert (stopped.code, stopped.out.count("\n")) == (130, 1)  # which run begins
    last = stopped.err.splitlines()[-1]
    assert last.startswith("freqfast: interrupted in epoch 1, after batch 1; ")
    assert last.endswith("; go on with `freqfast run --resume 'a b'`")
    assert [signal.getsignal(which) for which in watched] == handlers
    resumed = accepted("run", "--resume", "a b")
    weights = [(place / run / "model.safetensors").read_bytes() for run in ("whole", "a b")]
    assert weights[0] == weights[1]
    again = accepted("run", "--resume", "a b")
    assert again.out.startswith("a b is finished already\n")
    assert resumed.out.endswith(again.out.partition("\n")[2])


def test_a_hangup_and_a_signal_that_a_shell_ignores_change_nothing(accepted, tree):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in `freqfast run ... &` of a script
    try:
        with at_step(1, lambda: (send(signal.SIGHUP)(), send(signal.SIGINT)())):
            accepted(*LOW, "--data", tree, "--out", "out")
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "out: No space left on device; "),
        (MemoryError(), "out of memory in epoch 1, after batch 1 (MemoryError); "),
    ],
    ids=["disk", "memory"],
)
def test_a_run_that_cannot_go_on_is_one_line(call, tree, error, message):
    with at_step(2, Mock(side_effect=error)):
        failed = call(*LOW, "--data", tree, "--out", "out")
    assert failed.code == 1
    assert failed.err.startswith(f"freqfast: {message}")
    assert failed.err.count("\n") == 1
    assert failed.err.endswith("; go on with `freqfast run --resume out`\n")


def test_resume_takes_the_run_as_it_is(refused, call, tree, place):
    with at_step(1, send(signal.SIGTERM)):
        assert call(*LOW, "--data", tree, "--out", "out").code == 143
    for words in (("--epochs", 3), ("--set", "lr=0.1"), ("--out", "other")):
        assert "leave --out, --set and the like out" in refused("run", "--resume", "out", *words)
    assert "out is a run of 'resnet18_cifar10.proportion_low', not of 'quickstart'" in refused(
        "run", "quickstart", "--resume", "out"
    )
    assert refused(*LOW, "--out", "out").endswith("; to go on with it use `freqfast run --resume out`\n")
    assert "nosuch is no run directory: recipe.toml is missing" in refused("run", "--resume", "nosuch")
    assert "name a recipe" in refused("run")
    (place / "out" / "recipe.toml").write_text("width = = 3")
    assert "out/recipe.toml is not valid TOML" in refused("run", "--resume", "out")


def test_how_often_to_save(accepted, tree, monkeypatch):
    saved = []
    monkeypatch.setattr(
        "freqfast.training.checkpoint.CheckpointFolder.save",
        lambda self, header, state: saved.append((header.epoch, header.batch)),
    )
    words = (*BASELINE[:-1], 4, "--data", tree, "--out")
    accepted(*words, "a")
    assert saved[-1] == (4, 0)
    saved.clear()
    accepted(*words, "b", "--save-minutes", 0)
    assert len(saved) >= 4 * 2  # after each step


def test_settings_are_toml():
    found = parse_settings(["a=1", "b = 2.5", "c.d='x=y'", "e=[1, 2]", "f={g = true}", "h=nan"])
    assert math.isnan(found.pop("h"))
    assert found == {"a": 1, "b": 2.5, "c.d": "x=y", "e": [1, 2], "f": {"g": True}}


def test_a_part_of_a_table_counts_wherever_it_is_set():
    """Also before the table, which would replace it."""
    words = ["a.b.c=2", "a.b={d=3}", "model.width=8", "model_options={kernel_size=5}", "callbacks={a={}}"]
    for settings in (words, words[::-1]):
        recipe = apply_overrides(Recipe("mine", callbacks={"a": {"b": {}}}), parse_settings(settings))
        assert recipe.model_options == {"width": 8, "kernel_size": 5}
        assert recipe.callbacks == {"a": {"b": {"c": 2, "d": 3}}}
