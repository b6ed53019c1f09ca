"""The commands that the page shows make what it shows again."""

import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest

from freqfast.analysis import filter_quality
from freqfast.corruptions import BAR, CORRUPTIONS
from freqfast.report.commands import analysis_command, evaluate_command, run_command
from freqfast.report.entries import load_entries
from freqfast.report.page import render_page
from freqfast.robustness import CLEAN, Provenance
from freqfast.runs.recipe import apply_overrides
from freqfast.runs.registry import find_recipe
from tests.support.parsed_page import Page


def parsed(command):
    import tomllib

    words = shlex.split(command)
    settings = {}
    for flag, value in zip(words[3::2], words[4::2], strict=True):
        if flag == "--set":
            key, _, literal = value.partition("=")
            settings[key] = tomllib.loads(f"value = {literal}")["value"]
        elif flag != "--out":
            settings[flag.removeprefix("--")] = int(value)
    return words[:3], settings


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"width": 16, "epochs": 30, "seed": 7, "lr": 0.1, "precision": "float32"},
        {"frequency_proportion.purity": 0.8, "frequency_proportion.proportions": {"low": 0.5, "high": 0.5}},
        {"spectrum_perturbation.share": 0.5, "holdout": 5000},
    ],
)
def test_the_command_makes_the_recipe_again(settings):
    name = "resnet18_cifar10.proportion_perturbation"
    recipe = apply_overrides(find_recipe(name), settings)
    head, found = parsed(run_command(recipe, "out dir/it's"))
    assert head == ["freqfast", "run", name]
    assert apply_overrides(find_recipe(name), found) == recipe
    assert len(found) == len(settings)


def test_recipes_that_no_command_makes_are_said_so(make_run, no_figures):
    recipe = find_recipe("resnet18_cifar10.baseline")
    assert run_command(replace(recipe, name="absent"), "x") is None
    assert run_command(replace(recipe, callbacks={"frequency_proportion": {}}), "x") is None
    words = Page(render_page(load_entries([make_run("a", name="absent")]))).text
    assert "No command makes a" in words
    assert 'name = "absent"' in words


def test_commands_name_what_the_page_shows(make_run, no_figures):
    run = make_run("a", analyses=True)
    words = Page(render_page(load_entries([run]), output="out.html")).text
    for kind in ("heatmap", "reliance", "ablation"):
        assert f"freqfast {kind} {run} --images 9" in words
    assert f"freqfast report {run} -o out.html" in words
    assert "--data PATH where CIFAR-10 is neither in the cache nor" in words
    assert json.loads((run / "report.json").read_text())["recipe"] in words


def test_commands_and_facts_name_the_data(make_run, no_figures):
    run = make_run("a", analyses=True, data={"name": "images", "path": "/my trees/it's"})
    words = re.sub(r"\s+", " ", Page(render_page(load_entries([run]))).text)
    place = shlex.quote("/my trees/it's")
    assert f"--data {place} --out {run}" in words
    for kind in ("heatmap", "reliance", "ablation"):
        assert f"freqfast {kind} {run} --data {place} --images 9" in words
    assert "--data PATH" not in words
    assert " images resnet18, width 8 " in words


def test_a_path_of_the_data_that_is_none(make_run):
    run = make_run("a", data={"path": 5})
    with pytest.raises(ValueError, match=r"environment\.json is not sound: data must be an object with a path, got"):
        load_entries([run])


def test_the_commands_of_analyses_name_what_they_were_made_with(found):
    heat = replace(found["heatmap"], norm=2.5, seed=3, images=60)
    assert analysis_command("a run", heat) == "freqfast heatmap 'a run' --images 60 --norm 2.5 --seed 3"
    assert analysis_command("r", found["reliance"]) == "freqfast reliance r --images 9"
    assert analysis_command("r", found["reliance"], "a b") == "freqfast reliance r --data 'a b' --images 9"
    ablation = replace(found["ablation"], seed=2)
    assert analysis_command("r", ablation) == "freqfast ablation r --images 9 --bands 2 --seed 2 --layer conv1"
    quality = filter_quality(np.ones((2, 1, 3, 3)), "0")
    assert analysis_command("r", quality, "a b") == "freqfast quality r --layer 0"


@pytest.mark.parametrize(
    ("source", "cells", "words"),
    [
        ("photos, corrupted on the fly", CORRUPTIONS, "--on-the-fly --seed 7 --set c --data photos"),
        ("cifar10, corrupted on the fly", CORRUPTIONS, "--on-the-fly --seed 7 --set c"),
        ("CIFAR-10-C, as published", CORRUPTIONS, "--set c"),
        ("/data/both", BAR, "--cifar10c /data/both --set bar"),
        ("/data/my folder", ("fog", "snow"), "--cifar10c '/data/my folder' --corruption fog --corruption snow"),
    ],
)
def test_the_command_of_an_evaluation_names_its_images(source, cells, words):
    keys = (("clean", 0), *((name, severity) for name in cells for severity in (1, 2, 3, 4, 5)))
    made = Provenance("m", "0", (0.5,) * 3, (0.2,) * 3, "float32", source, None, 7, (0, 500), "0", keys)
    command = evaluate_command("runs/a", made, "runs/a/evaluation.json")
    assert command == f"freqfast evaluate runs/a {words} --limit 500 --precision float32 --out runs/a/evaluation.json"


@pytest.mark.parametrize(
    ("source", "cells", "words"),
    [
        ("images, corrupted on the fly", (CLEAN, ("fog", 1)), "--on-the-fly --seed 7 --corruption fog --data 'a b'"),
        ("c", (CLEAN, ("fog", 1)), "--cifar10c c --corruption fog --data 'a b'"),
        ("c", (("fog", 1),), "--cifar10c c --corruption fog"),
        ("CIFAR-10-C, as published", (CLEAN, ("fog", 1)), "--corruption fog --data 'a b'"),
    ],
)
def test_the_command_of_an_evaluation_names_the_data_of_its_clean_images(source, cells, words):
    made = Provenance("m", "0", (0.5,) * 3, (0.2,) * 3, "float32", source, None, 7, (0, 9), "0", cells)
    assert (
        evaluate_command("r", made, "x", "a b") == f"freqfast evaluate r {words} --limit 9 --precision float32 --out x"
    )
