import csv
import json
from pathlib import Path

import numpy as np
import pytest

from freqfast.corruptions import BAR
from freqfast.models.classifier import Classifier
from freqfast.models.file import read_model

MEASURED = ["fog", "contrast"]


def expected(checkpoint, archive, limit=4):
    """Accuracy of every cell, by plain NumPy around the float32 model."""
    loaded = read_model(checkpoint)
    classifier = Classifier(loaded.model, loaded.mean, loaded.std, precision="float32")
    labels = np.load(archive / "labels.npy")
    return {
        name: {
            str(s + 1): float((classifier.predict(images[4 * s :][:limit]) == labels[:limit]).mean()) for s in range(5)
        }
        for name, images in ((name, np.load(archive / f"{name}.npy")) for name in MEASURED)
    }


def test_table(call, checkpoint, archive):
    result = call("evaluate", checkpoint, "--cifar10c", archive, "--precision", "float32")
    assert result.code == 0, result.err
    accuracy = expected(checkpoint, archive)
    lines = result.out.splitlines()
    assert lines[0] == f"{checkpoint} on {archive}, 4 images a cell"
    for name, by in accuracy.items():
        (row,) = [line for line in lines if f" {name} " in line and "│" in line]
        cells = [cell.strip() for cell in row.strip("│").split("│")]
        values = [100 * a for a in by.values()]
        assert cells == [name, *(f"{value:.2f}" for value in (*values, np.mean(values)))]
    assert {"clean: -", "mean15: -", "mean19: -"} <= set(lines)
    overall = np.mean([list(by.values()) for by in accuracy.values()])
    assert f"mean over all measured: {100 * overall:.2f} %" in lines
    (missing,) = [line for line in lines if line.startswith("not measured: gaussian_noise, shot_noise")]
    assert "fog" not in missing
    assert result.err == "freqfast: no clean accuracy: no test images are at hand; name them with --data\n"


@pytest.mark.parametrize("limit", [None, 1, 3, 100])
def test_json_holds_fractions_and_nothing_else_is_printed(call, checkpoint, archive, limit):
    words = [] if limit is None else ["--limit", limit]
    result = call("evaluate", checkpoint, "--cifar10c", archive, "--precision", "float32", "--json", *words)
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert report["accuracy"] == expected(checkpoint, archive, min(limit or 4, 4))
    assert report["images"] == min(limit or 4, 4)
    assert (report["clean"], report["mean15"]) == (None, None)
    assert report["corrupted"] == pytest.approx(np.mean([list(by.values()) for by in report["accuracy"].values()]))
    assert len(report["missing"]) == 17
    assert report["provenance"]["model"] == str(checkpoint)
    assert report["provenance"]["image_range"] == [0, min(limit or 4, 4)]


def test_a_complete_archive_has_both_means(call, checkpoint, archive):
    from freqfast.corruptions import CORRUPTIONS

    for name in CORRUPTIONS:
        np.save(archive / f"{name}.npy", np.load(archive / "fog.npy"))
    result = call("evaluate", checkpoint, "--cifar10c", archive, "--json")
    report = json.loads(result.out)
    assert report["missing"] == []
    assert report["mean15"] == pytest.approx(report["mean19"])
    assert report["mean15"] == pytest.approx(np.mean(list(report["accuracy"]["fog"].values())))
    text = call("evaluate", checkpoint, "--cifar10c", archive).out
    assert "not measured" not in text
    families = ", ".join(f"{family} {100 * value:.2f} %" for family, value in report["families"].items())
    assert f"by family: {families}" in text.splitlines()
    assert families.startswith("noise ")


def test_corruptions_can_be_chosen(call, checkpoint, archive):
    result = call("evaluate", checkpoint, "--cifar10c", archive, "--corruption", "fog", "--json")
    assert list(json.loads(result.out)["accuracy"]) == ["fog"]


def test_only_what_was_asked_for_is_missing(call, checkpoint, archive):
    words = ("evaluate", checkpoint, "--cifar10c", archive, "--limit", 1)
    lines = call(*words, "--corruption", "fog").out.splitlines()
    assert lines[0] == f"{checkpoint} on {archive}, 1 image a cell"
    assert "clean: -" in lines
    assert any(line.startswith("mean over all measured: ") for line in lines)
    assert not any(line.startswith(("mean15", "mean19", "mean over CIFAR", "not measured")) for line in lines)
    whole = call(*words, "--set", "c").out.splitlines()
    assert {"mean15: -", "mean19: -"} <= set(whole)
    assert any(line.startswith("not measured: gaussian_noise, ") for line in whole)
    np.save(archive / "lines.npy", np.load(archive / "fog.npy"))
    lines = call(*words, "--set", "bar").out.splitlines()
    assert "mean over CIFAR-10-C-bar: -" in lines
    (missing,) = [line for line in lines if line.startswith("not measured: ")]
    assert missing.removeprefix("not measured: ").split(", ") == [name for name in BAR if name != "lines"]
    assert not any(line.startswith(("mean15", "mean19")) for line in lines)


def test_a_whole_set_says_its_mean_once(call, checkpoint, archive):
    for name in BAR:
        np.save(archive / f"{name}.npy", np.load(archive / "fog.npy"))
    lines = call("evaluate", checkpoint, "--cifar10c", archive, "--set", "bar").out.splitlines()
    (line,) = [line for line in lines if line.startswith("mean")]
    assert line.startswith("mean over CIFAR-10-C-bar: ")
    assert " % (95 %: " in line


def test_a_result_file_tells_the_terminal_nothing(call, checkpoint, archive, place):
    call("evaluate", checkpoint, "--cifar10c", archive, "--corruption", "fog", "--out", "r.json")
    content = json.loads((place / "r.json").read_text())
    content["provenance"] |= {"model": "m\x1b[2J", "source": "s\nclean: 99.99 %"}
    (place / "r.json").write_text(json.dumps(content))
    result = call("evaluate", "--merge", "r.json")
    assert result.out.splitlines()[0] == "m?[2J on s clean: 99.99 %, 4 images a cell"
    assert "\x1b" not in result.out


def test_on_the_fly_is_what_stored_images_give(call, checkpoint, place):
    words = ("--limit", 12, "--seed", 3, "--corruption", "contrast", "--corruption", "shot_noise")
    assert call("corrupt", "photos", "--out", "made", *words).code == 0
    before = sorted(place.rglob("*"))
    made = json.loads(call("evaluate", checkpoint, "--on-the-fly", "--data", "photos", "--json", *words).out)
    assert sorted(place.rglob("*")) == before
    stored = json.loads(call("evaluate", checkpoint, "--cifar10c", "made", "--json").out)
    assert made.pop("provenance")["source"] == "photos, corrupted on the fly"
    assert stored.pop("provenance")["source"] == "made"
    assert made["clean"] is not None
    assert made == stored | {"accuracy": made["accuracy"]}
    assert made["accuracy"] == {name: stored["accuracy"][name] for name in made["accuracy"]}


def test_a_note_tells_the_terminal_nothing(call, checkpoint, archive, tree, monkeypatch):
    (tree / "test" / "dark" / "\x1b[2J.png").write_bytes(b"no image")
    monkeypatch.setenv("FREQFAST_DATA", str(tree))
    result = call("evaluate", checkpoint, "--cifar10c", archive)
    assert result.code == 0
    assert result.err.startswith("freqfast: no clean accuracy: ")
    assert "?[2J.png" in result.err
    assert "\x1b" not in result.err


def test_a_set_is_chosen_by_its_name(call, refused, checkpoint, archive, place):
    words = ("--limit", 2, "--precision", "float32", "--json")
    fly = json.loads(call("evaluate", checkpoint, "--on-the-fly", "--data", "photos", "--set", "bar", *words).out)
    assert tuple(fly["accuracy"]) == BAR
    assert fly["mean_bar"] == pytest.approx(np.mean([list(by.values()) for by in fly["accuracy"].values()]))
    assert call("corrupt", "photos", "--set", "bar", "--out", "bar", "--limit", 2).code == 0
    stored = json.loads(call("evaluate", checkpoint, "--cifar10c", "bar", "--set", "bar", *words).out)
    assert (stored["accuracy"], stored["mean_bar"]) == (fly["accuracy"], fly["mean_bar"])
    with_archive = ("evaluate", checkpoint, "--cifar10c", archive, "--set")
    line = refused(*with_archive, "bar")
    assert "holds none of the corruptions looked for; the first is blue_noise_sample.npy" in line
    assert "'d' is not one of 'c', 'bar'; see `" in refused(*with_archive, "d")
    assert "--set names the corruptions; leave out --corruption" in refused(*with_archive, "c", "--corruption", "fog")


def test_a_set_is_what_a_folder_has_of_it(call, checkpoint, archive):
    np.save(archive / "lines.npy", np.zeros((20, 16, 16, 3), np.uint8))
    found = call("evaluate", checkpoint, "--cifar10c", archive, "--set", "c", "--json")
    assert (found.code, list(json.loads(found.out)["accuracy"])) == (0, MEASURED)
    note, _ = found.err.splitlines()
    assert note.startswith(f"freqfast: not in {archive}: gaussian_noise, shot_noise, ")
    assert note.endswith(", spatter, saturate")
    assert "fog" not in note


@pytest.fixture
def photos_folder(place, tree):
    """A folder that has the name of a data set."""
    tree.rename(place / "photos")


def test_a_folder_of_a_data_set_s_name(call, checkpoint, photos_folder):
    words = ("evaluate", checkpoint, "--on-the-fly", "--limit", 2, "--corruption", "contrast", "--json", "--data")
    assert "those of images, corrupted on the fly are dark, light" in call(*words, "./photos").err
    assert json.loads(call(*words, "photos").out)["provenance"]["source"] == "photos, corrupted on the fly"


def test_a_run_is_evaluated_on_its_own_data(call, checkpoint, place):
    from freqfast.runs.recipe import Recipe

    (place / "run").mkdir()
    checkpoint.rename(place / "run" / "model.safetensors")
    (place / "run" / "recipe.toml").write_text(Recipe("A run on photographs.", data="photos").to_toml())
    words = ("--on-the-fly", "--limit", 2, "--corruption", "contrast", "--json")
    result = call("evaluate", "run", *words)
    assert json.loads(result.out)["provenance"]["source"].startswith("photos")
    assert result.err == ""


@pytest.fixture
def tree_run(place, tree):
    """A run on the tree, as far as an evaluation needs it."""
    from freqfast.models.file import write_model
    from freqfast.models.resnet import build_model
    from freqfast.runs.recipe import Recipe

    spec = {"name": "resnet18", "width": 8, "kernel_size": 3, "classes": 2}
    (place / "run").mkdir()
    file = place / "run" / "model.safetensors"
    write_model(file, build_model(**spec), spec, ("dark", "light"), (0.5,) * 3, (0.25,) * 3)
    (place / "run" / "recipe.toml").write_text(Recipe("A run on a tree.").to_toml())
    environment = {"data": {"name": "images", "path": str(tree)}}
    (place / "run" / "environment.json").write_text(json.dumps(environment))
    return "run"


FOG = ("--limit", 2, "--corruption", "fog", "--json")


def test_a_run_on_a_tree_is_evaluated_on_that_tree(call, tree_run, tree):
    found = call("evaluate", tree_run, "--on-the-fly", *FOG)
    assert json.loads(found.out)["provenance"]["source"] == "images, corrupted on the fly"
    assert found.out == call("evaluate", tree_run, "--on-the-fly", "--data", tree, *FOG).out
    assert call("reliance", tree_run, "--json").code == 0


def test_data_of_other_classes_is_refused_however_many_they_are(call, refused, tree_run, checkpoint, tree):
    for split in ("train", "test"):
        (tree / split / "light").rename(tree / split / "bright")
    for source, folder in (("photos", "made"), (tree, "other")):
        call("corrupt", source, "--out", folder, "--limit", 2, "--corruption", "fog")
    line = refused("evaluate", tree_run, "--on-the-fly", "--data", tree, *FOG)
    assert "run was trained on the classes dark, light, but those of images, corrupted on the fly are bright," in line
    line = refused("heatmap", tree_run, "--data", tree)
    assert f"run was trained on the classes dark, light, but those of {tree} are bright, dark; name data of" in line
    assert "but those of made are astronaut, " in refused("evaluate", tree_run, "--cifar10c", "made")
    line = refused("evaluate", checkpoint, "--cifar10c", "made", "--baseline", tree_run)
    assert line.startswith("freqfast: run was trained on the classes dark, light, but")
    assert "those of other are bright, dark" in refused("evaluate", tree_run, "--cifar10c", "other")
    manifest = json.loads(Path("other/manifest.json").read_text())
    Path("other/manifest.json").write_text(json.dumps(manifest | {"classes": None}))
    assert call("evaluate", tree_run, "--cifar10c", "other").code == 0  # whose classes are not known
    assert "those of other are bright, dark" in refused("evaluate", tree_run, "--cifar10c", "other", "--data", tree)


def test_a_model_of_another_data_set_of_ten_classes_is_refused_on_cifar10(refused, checkpoint, archive):
    np.save(archive / "labels.npy", np.tile(np.arange(10_000) % 10, 5))
    for name in MEASURED:
        np.save(archive / f"{name}.npy", np.zeros((50_000, 1, 1, 3), np.uint8))
    line = refused("evaluate", checkpoint, "--cifar10c", archive, "--limit", 2)
    assert "was trained on the classes astronaut, " in line
    assert f"but those of {archive} are airplane, automobile" in line


def test_a_foreign_model(call, archive, place):
    import torch
    from torch import nn

    (place / "my_zoo.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(768, 10))\n"
    )
    torch.save(
        {"module." + k: v for k, v in nn.Sequential(nn.Flatten(), nn.Linear(768, 10)).state_dict().items()}, "w.pth"
    )
    words = ("my_zoo:net", "--weights", "w.pth", "--cifar10c", archive)
    result = call("evaluate", *words, "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["provenance"]["std"] == [0.25] * 3
    assert "normalisation of my_zoo:net is not known; pass --mean R,G,B" in call("evaluate", *words).err


def test_csv_has_a_row_for_each_cell(call, checkpoint, archive, place):
    assert call("evaluate", checkpoint, "--cifar10c", archive, "--csv", "cells.csv", "--precision", "float32").code == 0
    with (place / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    accuracy = expected(checkpoint, archive)
    assert [(row["corruption"], row["severity"]) for row in rows] == [(n, s) for n in accuracy for s in accuracy[n]]
    assert [float(row["accuracy"]) for row in rows] == [a for by in accuracy.values() for a in by.values()]


@pytest.mark.parametrize("name", ["report.png", "report.pdf", "report.svg"])
def test_figure(call, checkpoint, archive, place, name):
    assert call("evaluate", checkpoint, "--cifar10c", archive, "--figure", name).code == 0
    content = (place / name).read_bytes()
    assert content[:20].lstrip(b"<?xml \x89%").startswith((b"PNG", b"PDF", b"version"))
