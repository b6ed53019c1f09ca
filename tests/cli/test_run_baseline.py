"""`freqfast run --baseline`: the run, its baseline, and the difference between them."""

import json
import os
import re
import signal

import pytest

from freqfast.robustness import CorruptionResult, compare
from freqfast.runs.recipe import differing_fields
from freqfast.runs.run import load_run

SETTINGS = ("model.width=8", "model='tiny'", "batch_size=16", "test_images=8", "lr=0.05", "seed=3")
TINY = (*(word for setting in SETTINGS for word in ("--set", setting)), "--epochs", 1, "--device", "cpu")
LOW = ("run", "resnet18_cifar10.proportion_low", *TINY, "--baseline")

pytestmark = pytest.mark.usefixtures("no_commits", "two_corruptions")


def test_the_baseline_is_the_same_without_callbacks_and_the_difference_comes_last(accepted, tree, place):
    told = accepted(*LOW, "--data", tree, "-o", "low").out
    run, plain = load_run("low"), load_run("low-baseline")
    assert (list(run.recipe.callbacks), plain.recipe.callbacks) == (["frequency_proportion"], {})
    assert differing_fields(run.recipe, plain.recipe) == ["callbacks"]
    assert run.environment.data == plain.environment.data
    assert run.environment.threads == plain.environment.threads
    found = compare(*(CorruptionResult.load(each.directory.evaluation) for each in (run, plain)))
    assert list(found.families) == ["digital without elastic transform, jpeg compression"]
    change = 100 * found.differences["corrupted"].value
    *_, last = re.findall(r"^the callbacks (gain|lose) ([\d.]+) points under corruption", told, re.MULTILINE)
    assert last == ("gain" if change >= 0 else "lose", f"{abs(change):.1f}")
    table = told.partition("difference in points")[2].partition("run directory: low\n")[0]
    for name, each in {"clean": found.differences["clean"], "without elastic": found.families.popitem()[1]}.items():
        assert re.search(rf"{name}.* {re.escape(f'{100 * each.value:+.2f}')} ", table), (name, table)
    page = (place / "low-report.html").read_text()
    assert "2 runs compared" in page
    assert "differences are to low-baseline" in page


def test_json_holds_both_and_the_difference(accepted, tree):
    content = json.loads(accepted(*LOW, "--data", tree, "-o", "low", "--json").out)
    assert (content["run"], content["baseline"]["run"], content["page"]) == ("low", "low-baseline", "low-report.html")
    change = content["clean"] - content["baseline"]["clean"]
    assert content["comparison"]["differences"]["clean"]["difference"] == pytest.approx(change)


def test_both_go_on_after_a_stop(call, accepted, tree, place, monkeypatch):
    accepted(*LOW, "--data", tree, "-o", "whole")
    steps = []

    def after_loss(self):
        steps.append(self.training)
        if sum(steps) == 3:  # in the first step of the baseline
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("freqfast.training.loop.DivergenceWatch.after_loss", after_loss)
    stopped = call(*LOW, "--data", tree, "-o", "low")
    assert stopped.code == 130
    assert stopped.err.endswith("; go on with `freqfast run --resume low --baseline`\n")
    assert (load_run("low").report.epochs, (place / "low-baseline" / "report.json").exists()) == (1, False)
    accepted("run", "--resume", "low", "--baseline")
    for name in ("", "-baseline"):
        weights = [(place / f"{run}{name}" / "model.safetensors").read_bytes() for run in ("low", "whole")]
        assert weights[0] == weights[1]


def test_a_finished_run_gets_its_baseline(accepted, tree, place):
    alone = accepted(*LOW[:-1], "--data", tree, "-o", "low").out
    assert "\n  freqfast run --resume low --baseline\n" in alone
    told = accepted("run", "--resume", "low", "--baseline").out
    assert "low is finished already" in told
    assert "--resume" not in told
    assert load_run("low-baseline").environment.data == load_run("low").environment.data


def test_what_has_no_baseline_or_is_there_is_refused(refused, place, tree):
    plain = ("run", "resnet18_cifar10.baseline", *TINY, "--baseline")
    assert "resnet18_cifar10.baseline has no callbacks" in refused(*plain, "--data", tree)
    assert "leave --baseline out" in refused(*LOW, "--without", "frequency_proportion")
    for name in ("low-baseline", "low-report.html"):
        (place / name).mkdir()
        assert f"{name} exists already" in refused(*LOW, "--data", tree, "-o", "low")
        (place / name).rmdir()
