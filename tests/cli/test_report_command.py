"""`freqfast report`: a page of runs, and what it refuses."""

import json
from itertools import product

import numpy as np
import pytest
import torch

from freqfast.corruptions import MAIN, SEVERITIES
from freqfast.models.file import write_model
from freqfast.models.resnet import build_model
from freqfast.robustness import CLEAN, CorruptionResult, Outcomes
from freqfast.runs.recipe import Recipe
from freqfast.spectra import measure_spectra
from freqfast.spectra.h5 import write_spectra


@pytest.fixture
def make_run(place):
    def make_run(name, seed=0):
        path = place / name
        path.mkdir()
        torch.manual_seed(seed)
        spec = {"name": "resnet18", "width": 8, "kernel_size": 3, "classes": 10}
        model = build_model(**spec)
        write_model(path / "model.safetensors", model, spec, "abcdefghij", (0.5,) * 3, (0.25,) * 3)
        write_spectra(path / "spectra.h5", measure_spectra(model))
        (path / "recipe.toml").write_text(
            Recipe(name="mine", description="", model_options={"width": 8}, seed=seed).to_toml()
        )
        (path / "environment.json").write_text(json.dumps({"device": "cpu", "data": {}}))
        right, sure, labels = np.arange(100) < 50 + 10 * seed, np.full(100, 0.75), np.ones(100)
        cells = [CLEAN, *product(MAIN, SEVERITIES)]
        result = CorruptionResult({key: Outcomes.measure(right, sure, labels) for key in cells})
        result.save(path / "evaluation.json")
        report = {
            "schema": 1, "recipe": "mine", "seed": seed, "epochs": 1, "precision": "float32", **result.to_dict(),
            "bands": ["low", "high"], "proportion": {"before": [1, 0], "after": [1, 0], "target": None},
            "seconds": {"fit": 1.0, "evaluate": 1.0},
        }  # fmt: skip
        (path / "report.json").write_text(json.dumps(report))
        return name

    return make_run


@pytest.fixture
def former(place):
    """A page of an earlier day, which no refusal may touch."""
    (place / "report.html").write_text("a former page")
    yield
    assert (place / "report.html").read_text() == "a former page"


def test_a_page_of_two_runs(call, place, make_run):
    result = call("report", make_run("a [bold] run"), make_run("b", 1), "-o", "page.html")
    assert result.code == 0, result.err
    assert result.out.startswith("page.html: 2 runs, ")
    page = (place / "page.html").read_text(encoding="utf-8")
    assert "a [bold] run" in page
    assert "+10.0" in page
    assert page.endswith("</html>\n")
    assert sorted(path.name for path in place.iterdir()) == ["a [bold] run", "b", "page.html"]


def test_the_page_has_a_default_name(call, place, make_run):
    assert call("report", make_run("a")).out.startswith("report.html: one run, ")
    assert (place / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "RUN"),
        (("absent",), "absent is not a finished run: "),
        (("a", "a"), "a is named twice; name each run once"),
        (("a", "-o", "nowhere/page.html"), "folder nowhere does not exist"),
        (("a", "-o", "a"), "a is a folder; name a file"),
    ],
)
def test_what_it_refuses(refused, make_run, former, words, message):
    make_run("a")
    assert message in refused("report", *words)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("report.json", "{", "report.json is not valid JSON"),
        ("report.json", '{"clean": "high"}', "report.json is not sound"),
        ("report.json", '{"accuracy": {"fog": {"1": 7}}, "images": 5}', "report.json is not sound"),
        ("report.json", '{"clean": NaN}', "report.json"),
        ("report.json", '{"clean": 0.5, "seconds": 3}', "report.json"),
        ("environment.json", "[]", "environment.json must hold a JSON object"),
        ("environment.json", '{"data": 5}', "environment.json"),
        ("evaluation.json", "{}", "evaluation.json is not a sound result"),
        ("recipe.toml", "width = 'wide'", "recipe.toml"),
        ("spectra.h5", "no HDF5", "spectra.h5"),
        ("model.safetensors", "x" * 64, "is not a sound safetensors file"),
        ("analysis/heatmap.json", "{}", "heatmap.json is not an analysis by freqfast"),
    ],
)
def test_files_that_are_not_sound_are_named(refused, place, make_run, former, file, content, message):
    make_run("a")
    (place / "a" / "analysis").mkdir()
    (place / "a" / file).write_text(content)
    assert message in refused("report", "a")


def test_outcomes_that_are_missing_are_named(refused, place, make_run, former):
    make_run("a")
    (place / "a" / "evaluation.json").unlink()
    assert "a/evaluation.json is missing; `freqfast evaluate a --on-the-fly " in refused("report", "a")


def test_a_full_disk_leaves_the_former_page(call, make_run, former, full_disk):
    make_run("a")
    with full_disk(10_000):
        result = call("report", "a")
    assert (result.code, result.out) == (1, "")
    assert result.err == "freqfast: report.html cannot be written (File too large)\n"


def test_an_interrupt_leaves_the_former_page(call, make_run, former, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    make_run("a")
    monkeypatch.setattr("freqfast.report.page.inline_figure", stop)
    result = call("report", "a")
    assert (result.code, result.err) == (130, "freqfast: interrupted\n")
