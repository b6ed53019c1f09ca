"""What `freqfast evaluate` measures, and on which images."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from freqfast.corruptions import C_BAR, CORRUPTIONS, IMAGENET_C_BAR
from freqfast.models.classifier import Classifier, hash_weights
from freqfast.models.file import read_model
from freqfast.records import write_record
from freqfast.runs.directory import RunDirectory
from freqfast.runs.environment import DataOrigin
from freqfast.runs.recipe import Recipe
from freqfast.spectral.antialiasing import apply_antialiasing
from freqfast.spectral.equalization import apply_equalization
from tests.support.finished import write_network
from tests.support.foreign import write_checkpoint
from tests.support.runs import ENVIRONMENT

MEASURED = ["fog", "contrast"]


def expected(checkpoint, archive, limit=4):
    """Accuracy of every cell, by plain NumPy around the float32 model."""
    loaded = read_model(checkpoint)
    classifier = Classifier(loaded, precision="float32")
    labels = np.load(archive / "labels.npy")[:limit]
    accuracy = {}
    for name in MEASURED:
        images = np.load(archive / f"{name}.npy")
        predicted = [classifier.predict(images[4 * s :][:limit]) for s in range(5)]
        accuracy[name] = {str(s + 1): float((predicted[s] == labels).mean()) for s in range(5)}
    return accuracy


def test_table(accepted, checkpoint, archive):
    result = accepted("evaluate", checkpoint, "--corrupted", archive, "--precision", "float32")
    accuracy = expected(checkpoint, archive)
    lines = result.out.splitlines()
    worst = sorted(accuracy, key=lambda name: np.mean(list(accuracy[name].values())))
    overall = np.mean([list(by.values()) for by in accuracy.values()])
    assert lines[0].startswith(f"{100 * overall:.0f} % right under corruption; worst: {worst[0]} ")
    assert lines[1] == f"{checkpoint} on {archive}, 4 images a cell, float32"
    for name, by in accuracy.items():
        (row,) = [line for line in lines if f" {name} " in line and "│" in line]
        cells = [cell.strip() for cell in row.strip("│").split("│")]
        values = [100 * a for a in by.values()]
        assert cells == [name, *(f"{value:.2f}" for value in (*values, np.mean(values)))]
    assert {"clean: -", "mean15: -", "mean19: -"} <= set(lines)
    assert f"mean over all measured: {100 * overall:.2f} %" in lines
    (missing,) = [line for line in lines if line.startswith("not measured: gaussian_noise, shot_noise")]
    assert "fog" not in missing
    assert result.err.startswith("freqfast: no clean accuracy: ")


@pytest.mark.parametrize("limit", [3, 100])
def test_json_holds_fractions_and_nothing_else_is_printed(call, checkpoint, archive, limit):
    words = ("evaluate", checkpoint, "--corrupted", archive, "--precision", "float32", "--json", "--limit", limit)
    report = json.loads(call(*words).out)
    assert report["accuracy"] == expected(checkpoint, archive, min(limit, 4))
    assert report["images"] == min(limit, 4)
    assert (report["clean"], report["mean15"]) == (None, None)
    assert report["corrupted"] == pytest.approx(np.mean([list(by.values()) for by in report["accuracy"].values()]))
    assert len(report["missing"]) == 17
    assert report["provenance"]["model"] == str(checkpoint)
    assert report["provenance"]["image_range"] == [0, min(limit, 4)]
    assert report["provenance"]["command"].endswith(f"--precision float32 --json --limit {limit}")


def test_a_complete_archive_has_all_means(call, checkpoint, archive):
    for name in CORRUPTIONS:
        np.save(archive / f"{name}.npy", np.load(archive / "fog.npy"))
    report = json.loads(call("evaluate", checkpoint, "--corrupted", archive, "--json").out)
    assert report["missing"] == []
    assert report["mean15"] == pytest.approx(report["mean19"]) == pytest.approx(report["mean7"])
    text = call("evaluate", checkpoint, "--corrupted", archive).out
    assert "not measured" not in text
    families = ", ".join(f"{family} {100 * value:.2f} %" for family, value in report["families"].items())
    assert f"by family: {families}" in text.splitlines()


def test_only_what_was_asked_for_is_missing(call, checkpoint, archive):
    words = ("evaluate", checkpoint, "--corrupted", archive, "--limit", 1, "--precision", "bfloat16")
    lines = call(*words, "--corruptions", "fog").out.splitlines()
    assert lines[1] == f"{checkpoint} on {archive}, 1 image a cell, bfloat16"
    assert "clean: -" in lines
    assert any(line.startswith("mean over all measured: ") for line in lines)
    assert not any(line.startswith(("mean15", "mean19", "mean over CIFAR", "not measured")) for line in lines)
    result = call(*words, "--corruptions", "c")
    assert {"mean15: -", "mean19: -"} <= set(result.out.splitlines())
    assert result.err.startswith(f"freqfast: not in {archive}: gaussian_noise, shot_noise, ")


@pytest.mark.parametrize(
    ("names", "title", "key"),
    [(C_BAR, "CIFAR-10-C-bar", "mean_bar"), (IMAGENET_C_BAR, "ImageNet-C-bar", "mean_bar_imagenet")],
)
def test_c_bar_has_its_mean(call, checkpoint, archive, names, title, key):
    for name in names[1:]:
        np.save(archive / f"{name}.npy", np.load(archive / "fog.npy"))
    words = ("evaluate", checkpoint, "--corrupted", archive, "--corruptions", "c-bar")
    lines = call(*words).out.splitlines()
    assert f"mean over {title}: -" in lines
    assert f"not measured: {names[0]}" in lines
    np.save(archive / f"{names[0]}.npy", np.load(archive / "fog.npy"))
    lines = call(*words).out.splitlines()
    (line,) = [line for line in lines if line.startswith("mean")]  # once
    assert line.startswith(f"mean over {title}: ")
    assert " % (95 %: " in line
    report = json.loads(call(*words, "--json").out)
    low, high = report["intervals"][key]
    assert low <= report[key] <= high


@pytest.mark.parametrize("layout", [(), ("--tree",)])
def test_a_manifest_says_which_c_bar_is_meant(accepted, checkpoint, layout):
    words = ("--corruptions", "c-bar", "--parameters", "imagenet", "--severity", 1, "--limit", 1, "--out", "c", *layout)
    accepted("corrupt", "photos", *words)
    found = accepted("evaluate", checkpoint, "--corrupted", "c", "--corruptions", "c-bar", "--json")
    assert set(json.loads(found.out)["accuracy"]) == set(IMAGENET_C_BAR)


@pytest.mark.parametrize("layout", [(), ("--tree",)])
def test_what_is_stored_of_a_collection(accepted, checkpoint, layout):
    stored = {"c": "fog", "c-bar": C_BAR[0]}
    accepted(
        "corrupt",
        "photos",
        "--corruptions",
        ",".join(stored.values()),
        "--severity",
        1,
        "--limit",
        1,
        "--out",
        "c",
        *layout,
    )
    for collection, name in stored.items():
        found = accepted("evaluate", checkpoint, "--corrupted", "c", "--corruptions", collection, "--json")
        assert list(json.loads(found.out)["accuracy"]) == [name]


def test_c_bar_on_the_fly_is_that_of_the_table(accepted, checkpoint):
    words = ("--data", "photos", "--limit", 1, "--corruptions", "c-bar", "--parameters", "imagenet")
    out = accepted("evaluate", checkpoint, *words).out
    assert all(f" {name} " in out for name in IMAGENET_C_BAR)
    assert "not measured" not in out


def test_on_the_fly_is_what_stored_images_give(call, accepted, checkpoint, place, frost_dir):
    words = ("--limit", 12, "--seed", 3, "--parameters", "imagenet", "--corruptions", "contrast,frost")
    words += ("--frost-dir", frost_dir)
    accepted("corrupt", "photos", "--out", "made", *words)
    before = sorted(place.rglob("*"))
    made = json.loads(call("evaluate", checkpoint, "--data", "photos", "--json", *words).out)
    assert sorted(place.rglob("*")) == before
    stored = json.loads(call("evaluate", checkpoint, "--corrupted", "made", "--json").out)
    assert made.pop("provenance")["source"] == "photos, corrupted on the fly by the parameters of imagenet"
    assert stored.pop("provenance")["source"] == "made"
    assert made["clean"] is not None
    assert made == stored | {"accuracy": made["accuracy"]}
    assert made["accuracy"] == {name: stored["accuracy"][name] for name in made["accuracy"]}


def test_a_folder_of_a_data_set_s_name(call, checkpoint, place, tree):
    tree.rename(place / "photos")
    words = ("evaluate", checkpoint, "--limit", 2, "--corruptions", "contrast", "--json", "--data")
    assert " are narrow, wide" in call(*words, "./photos").err
    named = call(*words, "photos")
    provenance = json.loads(named.out)["provenance"]
    assert (provenance["source"], provenance["seed"]) == ("photos, corrupted on the fly", 0)
    assert "photos is a data set's name; for the folder here write ./photos" in named.err


@pytest.fixture
def tree_run(tree):
    """A run on the tree, as far as an evaluation needs it."""
    run = RunDirectory("run")
    run.path.mkdir()
    write_network(run.model, ("narrow", "wide"))
    run.recipe.write_text(Recipe("A run on a tree.").to_toml())
    write_record(run.environment, replace(ENVIRONMENT, data=DataOrigin("images", "0" * 64, str(tree))))
    return "run"


FOG = ("--limit", 2, "--corruptions", "fog", "--json")


def test_a_run_is_evaluated_on_its_own_data(call, tree_run, tree):
    found = call("evaluate", tree_run, *FOG)
    named = call("evaluate", tree_run, "--data", tree, *FOG)
    found, named = json.loads(found.out), json.loads(named.out)
    assert found["provenance"].pop("command") != named["provenance"].pop("command")
    assert found == named
    assert found["provenance"]["source"] == "tree, corrupted on the fly"


def test_data_of_other_classes_is_refused_however_many_they_are(call, refused, tree_run, checkpoint, tree):
    for split in ("train", "test"):
        (tree / split / "wide").rename(tree / split / "bright")
    call("corrupt", tree, "--out", "other", "--limit", 2, "--corruptions", "fog")
    images = (("--data", tree), ("--corrupted", "other"))
    for words in images:
        line = refused("evaluate", tree_run, *words, *FOG)
        assert "run was trained on the classes narrow, wide, but" in line
        assert " are bright, narrow" in line
    assert "astronaut" in refused("evaluate", checkpoint, "--corrupted", "other")
    call("corrupt", "photos", "--out", "made", "--limit", 2, "--corruptions", "fog")
    line = refused("evaluate", checkpoint, "--corrupted", "made", "--baseline", tree_run)
    assert "run was trained on the classes narrow, wide, but" in line


NORMALISATION = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")


def test_a_published_network_and_its_baseline(call, accepted, refused, archive, published, place):
    """A script and a checkpoint as others publish them, against the same script with other weights in a TOML file."""
    torch.manual_seed(1)
    write_checkpoint(place / "ours.th", type(published)(6))
    ours = ("evaluate", "./foreign_net.py:net(6)", "--weights", "ours.th", "--corrupted", archive)
    (place / "theirs.toml").write_text(
        'model = "foreign_net.py:net"\nweights = "theirs.th"\n'
        "mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n"
    )
    theirs = ("--baseline", "theirs.toml")
    words = (*NORMALISATION, "--precision", "float32", "--json")
    result = accepted(*ours, *theirs, *words)
    found = json.loads(result.out)
    call(*ours, *words, "--out", "ours.json")
    call("evaluate", theirs[1], "--corrupted", archive, *words[4:], "--out", "theirs.json")
    merged = json.loads(call("evaluate", "ours.json", "--baseline", "theirs.json", "--json").out)
    for key in ("accuracy", "ece"):
        assert found[key] == merged[key]
    found["comparison"].pop("baseline"), merged["comparison"].pop("baseline")
    assert found["comparison"] == merged["comparison"]
    assert found["provenance"]["std"] == [0.229, 0.224, 0.225]
    assert "./foreign_net.py:net(6) lacks mean, std; add --mean R,G,B" in refused(*ours)
    line = refused(*ours, *NORMALISATION, "--baseline", "./foreign_net.py:trained")
    assert "./foreign_net.py:trained lacks mean, std; describe it in a .toml file" in line


def test_a_baseline_of_ours_keeps_its_own_normalisation(accepted, checkpoint, rival, archive, place):
    """Beside a model of ours too: the baseline is judged as it is when it is evaluated alone."""
    words = ("--corrupted", archive, "--precision", "float32", "--json")
    other = ("--mean", "0.1,0.9,0.5", "--std", "0.01,0.02,1")
    alone = json.loads(accepted("evaluate", checkpoint, *words, *other).out)
    accepted("evaluate", rival, *words, "--out", "rival.json")
    beside = accepted("evaluate", checkpoint, *words, *other, "--baseline", rival).out
    stored = accepted("evaluate", checkpoint, *words, *other, "--baseline", "rival.json").out
    found, expected = (json.loads(out) for out in (beside, stored))
    assert found["ece"] == expected["ece"] == alone["ece"]
    for one in (found, expected):
        one["comparison"].pop("baseline")
    assert found["comparison"] == expected["comparison"]


def test_random_weights_are_refused_unless_they_are_asked_for(accepted, refused, archive, published):
    words = ("evaluate", "./foreign_net.py:net", "--corrupted", archive, *NORMALISATION)
    line = refused(*words)
    assert "./foreign_net.py:net comes without a file of weights; unless it loads its own, they are random; add" in line
    assert "comes without" not in accepted(*words, "--weights", "none").err


def test_pretrained_weights_are_those_of_a_library(refused, archive, checkpoint):
    words = ("--corrupted", archive, "--pretrained")
    line = refused("evaluate", "timm:resnet10t", *words, "--weights", "w.pth")
    assert "pretrained weights are timm's or torchvision's own; leave them out for the weights w.pth" in line
    assert "leave them out for" in refused("evaluate", checkpoint, *words)
    assert "leave them out for" in refused("evaluate", checkpoint, *words, "--baseline", checkpoint)


def test_weights_of_a_network_with_parts_of_ours(accepted, archive, place):
    (place / "parts_zoo.py").write_text(
        "from torch import nn\n"
        "def net():\n"
        "    convs = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, stride=2)\n"
        "    return nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))\n"
    )
    convs = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, stride=2)
    model = nn.Sequential(*convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    torch.save({"model": apply_antialiasing(apply_equalization(model)).state_dict(), "opt": {}}, "w.pth")
    words = ("parts_zoo:net", "--weights", "w.pth", "--corrupted", archive)
    result = accepted("evaluate", *words, "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25", "--json")
    has = "parts_zoo:net with w.pth has equalizer (12 bins, exponent 1) before 0; low-pass (triangle) before 1"
    assert has in result.err.replace("\n", " ")
    assert json.loads(result.out)["provenance"]["weights_sha256"] == hash_weights(model)


def test_a_network_that_prints_spoils_no_output(accepted, archive, place):
    (place / "talks.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def forward(self, images):\n"
        "        print('a forward pass')\n"
        "        return super().forward(images)\n"
        "net = Net(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    words = ("talks.py:net", *NORMALISATION, "--precision", "float32", "--json")
    for command in (
        ("evaluate", *words, "--corrupted", archive),
        ("reliance", *words, "--data", "photos", "--limit", 2),
    ):
        result = accepted(*command)
        assert json.loads(result.out)
        assert "a forward pass" in result.err
