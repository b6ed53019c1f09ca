"""Runs are read back as they were written."""

import json

import pytest

from freqfast.models.file import write_model
from freqfast.models.resnet import build_model
from freqfast.models.sources import load_model
from freqfast.runs.recipe import Recipe
from freqfast.runs.run import load_run
from tests.support.sound_model import CLASSES, MEAN, SPEC, STD

REPORT = {
    "recipe": "größer", "seed": 0, "epochs": 1, "precision": "float32", "images": 4,
    "clean": 0.5, "corrupted": 0.25, "mean15": None, "accuracy": {"fog": {"1": 0.25}}, "bands": ["low", "high"],
    "proportion": {"before": [0.5, 0.5], "after": [1.0, 0.0], "target": None}, "seconds": {"fit": 1.0, "evaluate": 2.0},
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    folder = tmp_path
    write_model(folder / "model.safetensors", build_model(**SPEC), SPEC, CLASSES, MEAN, STD)
    (folder / "recipe.toml").write_text(Recipe("größer", model_options={"width": 8}).to_toml(), encoding="utf-8")
    (folder / "environment.json").write_text('{"threads": 2, "data": {}}')
    (folder / "report.json").write_text(json.dumps(REPORT))
    return folder


def test_load_run(run):
    found = load_run(str(run))
    assert found.path == run
    assert found.recipe == Recipe("größer", model_options={"width": 8})
    assert found.report == REPORT
    assert found.environment == {"threads": 2, "data": {}}
    assert found.model is found.stored.model


def test_a_notebook_shows_neither_network_nor_environment(run):
    found = load_run(run)
    assert repr(found) == f"Run(path={run!r}, recipe={found.recipe!r})"
    for shown in (repr(found.stored), repr(load_model(run, mean=(0.5,) * 3, std=(0.5,) * 3))):
        assert "mean=(" in shown
        assert "Conv2d" not in shown
        assert len(shown) < 500


@pytest.mark.parametrize("name", ["recipe.toml", "environment.json", "report.json", "model.safetensors"])
def test_unfinished_run_is_named(run, name):
    (run / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}") as caught:
        load_run(run)
    assert str(run) in str(caught.value)


def test_no_run_at_all(tmp_path):
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match=r"is not a finished run: recipe\.toml is missing"):
            load_run(place)


@pytest.mark.parametrize("name", ["recipe.toml", "environment.json", "report.json"])
@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"[1]", b"[" * 100_000, b"\x00"], ids=lambda c: repr(c[:3]))
def test_damaged_file_is_named(run, name, content):
    (run / name).write_bytes(content)
    with pytest.raises(ValueError, match=name) as caught:
        load_run(run)
    assert str(run / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"clean": "x"}, "'<=' not supported"),
        ({"clean": 1.5}, "accuracies must be fractions"),
        ({"mean15": float("nan")}, "accuracies must be fractions"),
        ({"accuracy": {"fog": 3}}, "'int' object has no attribute"),
        ({"accuracy": {"fog": {"1": None}}}, "not supported between"),
        ({"bands": ["low"]}, "it must have a proportion for each band"),
        ({"proportion": {"before": [], "after": []}}, "it lacks 'target'"),
        ({"seconds": None}, "not subscriptable"),
        ({"seconds": {"fit": 1.0}}, "it lacks 'evaluate'"),
        ({"recipe": None}, "a number, the recipe's name or the precision is no such thing"),
        ({"precision": None}, "a number, the recipe's name or the precision is no such thing"),
        ({"epochs": float("inf")}, "a number, the recipe's name or the precision is no such thing"),
    ],
)
def test_a_report_of_wrong_values_is_one_line(run, change, reason):
    (run / "report.json").write_text(json.dumps(REPORT | change))
    with pytest.raises(ValueError, match=reason) as caught:
        load_run(run)
    assert str(caught.value).startswith(f"{run / 'report.json'} is not sound: ")
    assert "\n" not in str(caught.value)


def test_an_environment_without_data_is_one_line(run):
    (run / "environment.json").write_text('{"data": null}')
    with pytest.raises(
        ValueError, match=r"environment\.json is not sound: data must be an object with a path, got None"
    ):
        load_run(run)
