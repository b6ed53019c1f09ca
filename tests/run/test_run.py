"""Models and runs are read back as they were written."""

import json
import os

import pytest
import torch
from sound_model import CLASSES, MEAN, SPEC, STD, sound_header

from freqfast.modulation import SpectralConv2d, apply_modulation
from freqfast.recipe import Recipe
from freqfast.run import load_checkpoint, load_run, save_checkpoint

# Models


@pytest.mark.parametrize("modulated", [None, True, False])
def test_round_trip(tmp_path, model, modulated):
    if modulated is not None:
        apply_modulation(model, per_filter=modulated, sigma=0.25, seed=7)
        torch.nn.init.normal_(model.conv1.log_gain)
    images = torch.randn(4, 3, 16, 16)
    save_checkpoint(tmp_path / "m.safetensors", model, SPEC, CLASSES, MEAN, STD)
    found = load_checkpoint(str(tmp_path / "m.safetensors"))
    with torch.no_grad():
        assert torch.equal(found.model(images), model.eval()(images))
    assert (found.spec, found.classes, found.mean, found.std) == (SPEC, CLASSES, MEAN, STD)
    assert not found.model.training
    assert not any(p.requires_grad for p in found.model.parameters())
    assert all(p.device.type == "cpu" for p in found.model.parameters())
    assert found.model.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    if modulated is not None:
        conv = found.model.conv1
        assert isinstance(conv, SpectralConv2d)
        assert (len(conv.log_gain), conv.sigma, conv.seed) == (8 if modulated else 1, 0.25, 7)
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_modulation_of_another_layer(tmp_path, model):
    apply_modulation(model, layer="layer2.0.conv1")
    save_checkpoint(tmp_path / "m.safetensors", model, SPEC, CLASSES, MEAN, STD)
    assert isinstance(load_checkpoint(tmp_path / "m.safetensors").model.layer2[0].conv1, SpectralConv2d)


def test_two_modulated_layers_are_refused(tmp_path, model):
    apply_modulation(apply_modulation(model, layer="layer2.0.conv1"))
    with pytest.raises(ValueError, match="2 layers are modulated"):
        save_checkpoint(tmp_path / "m.safetensors", model, SPEC, CLASSES, MEAN, STD)
    assert os.listdir(tmp_path) == []


def test_anyone_can_read_the_header(save):
    header = sound_header(save.path)
    assert header["schema"] == 1
    assert header["model"] == SPEC
    assert header["modulation"] is None
    assert header["classes"] == list(CLASSES)
    assert (header["mean"], header["std"]) == (list(MEAN), list(STD))


def test_a_directory_stands_for_its_model(save):
    assert load_checkpoint(save.path.parent).spec == SPEC


def test_a_failed_write_keeps_the_former_file(save, model):
    before = save.path.read_bytes()
    with pytest.raises(TypeError):
        save_checkpoint(save.path, model, SPEC | {"width": object()}, CLASSES, MEAN, STD)
    assert save.path.read_bytes() == before
    assert os.listdir(save.path.parent) == [save.path.name]


# Run directories


REPORT = {
    "recipe": "größer", "seed": 0, "epochs": 1, "images": 4, "clean": 0.5, "corrupted": 0.25, "mean15": None,
    "accuracy": {"fog": {"1": 0.25}}, "bands": ["low", "high"],
    "proportion": {"before": [0.5, 0.5], "after": [1.0, 0.0], "target": None}, "seconds": {"fit": 1.0, "evaluate": 2.0},
}  # fmt: skip


@pytest.fixture
def run(save):
    folder = save.path.parent
    (folder / "recipe.toml").write_text(Recipe("größer", width=8).to_toml(), encoding="utf-8")
    (folder / "environment.json").write_text('{"threads": 2, "data": {}}')
    (folder / "report.json").write_text(json.dumps(REPORT))
    return folder


def test_load_run(run):
    found = load_run(str(run))
    assert found.path == run
    assert found.recipe == Recipe("größer", width=8)
    assert found.report == REPORT
    assert found.environment == {"threads": 2, "data": {}}
    assert found.model is found.checkpoint.model


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
        ({"recipe": None}, "a number or the recipe's name is no such thing"),
        ({"epochs": float("inf")}, "a number or the recipe's name is no such thing"),
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
