"""`freqfast evaluate`, `reliance` and `corrupt` on images that stay in files."""

import json
import shutil
from itertools import product

import numpy as np
import pytest
import torch
from freqfast.cli.images import TestSet
from PIL import Image
from torch import nn

from freqfast.corruptions import MAIN, SEVERITIES
from freqfast.models.file import read_model
from freqfast.models.network import Network
from freqfast.preprocessing import Preprocessing
from freqfast.robustness import CLEAN, CorruptionResult
from freqfast.robustness.alexnet import alexnet_mce
from freqfast.robustness.provenance import Provenance
from tests.support.finished import measured, write_network, write_run
from tests.support.photographs import FILES, MODEL, NAMED, NET


def test_a_folder_of_photographs(call, accepted, refused, photographs):
    words = ("evaluate", *MODEL, *FILES, "--corruptions", "fog", "--class-list", "names.txt")
    result = accepted(*words, "--json")
    found = json.loads(result.out)
    assert found["clean"] == 1
    assert found["images"] == 12
    (photographs / "red" / "notes.png").write_text("no image")
    assert "notes.png cannot be used as an image" in refused(*words)
    result = call(*words, "--skip-bad", "--json")
    assert json.loads(result.out)["images"] == 12
    assert "left out: 1 of 13 images" in result.err


def test_test_images_of_one_size_are_enough(accepted, photographs, place, monkeypatch):
    monkeypatch.setenv("HOME", str(place))
    for path in photographs.rglob("*.png"):
        Image.open(path).crop((0, 0, 32, 32)).save(path)
    for command, *options in (("evaluate", "--corruptions", "fog"), ("reliance",)):
        found = accepted(command, *MODEL, *options, "--data", "photographs", "--json")
        assert json.loads(found.out)["images"] == 12
    accepted("corrupt", "photographs", "--corruptions", "fog", "--severity", 2, "-o", "arrays")
    assert np.load(place / "arrays" / "fog.npy").shape == (12, 32, 32, 3)
    for folder in ("photographs", "~/photographs"):
        stored = accepted("evaluate", *MODEL, "--corrupted", "arrays", "--data", folder, *NAMED, "--json")
        assert json.loads(stored.out)["clean"] == 1


def test_a_network_of_more_classes(call, refused, photographs):
    for path in (photographs / "green").iterdir():
        path.unlink()
    words = ("evaluate", *MODEL, *FILES, "--corruptions", "fog")
    assert "gives 3 logits, but photographs, corrupted on the fly has 2 classes" in refused(*words)
    found = json.loads(call(*words, "--class-list", "names.txt", "--json").out)
    assert (found["clean"], found["images"]) == (1, 8)
    assert call(*words, *NAMED).out.splitlines()[1].endswith("float32, choosing among 2 classes")
    shutil.rmtree(photographs / "blue")
    assert "photographs has one class, red, so there is no choice" in refused(*words, *NAMED)


@pytest.mark.parametrize("names", ["red green", "background red green blue"])
def test_a_list_of_too_few_or_too_many_classes(refused, photographs, place, names):
    """The list would be out of step with the logits, whichever class it lacks or has in excess."""
    if names == "red green":
        for path in (photographs / "blue").iterdir():
            path.unlink()
    (place / "names.txt").write_text(names.replace(" ", "\n"))
    line = refused("evaluate", *MODEL, *FILES, "--corruptions", "fog", *NAMED)
    assert f"gives 3 logits, but {len(names.split())} classes are named; name each of its classes once" in line


def test_a_list_that_is_not_what_a_network_of_ours_tells(accepted, refused, photographs, place):
    """The order of the list would be taken for that of the logits, which the model file has."""
    write_network(place / "own.safetensors", ("blue", "green", "red"))
    words = (*FILES, "--corruptions", "fog", "--precision", "float32", "--json")
    for command in (("evaluate", "own.safetensors", *words), ("reliance", "own.safetensors", *FILES)):
        line = refused(*command, *NAMED)
        assert "own.safetensors has classes of its own; leave out the list of classes" in line
    alone = json.loads(accepted("evaluate", "own.safetensors", *words).out)
    found = json.loads(accepted("evaluate", *MODEL, *words[:-3], "--json", *NAMED, "--baseline", "own.safetensors").out)
    assert found["comparison"]["differences"]["clean"]["difference"] == pytest.approx(1 - alone["clean"])
    (place / "names.txt").write_text("blue\ngreen\nred\n")
    again = json.loads(accepted("evaluate", "own.safetensors", *words, *NAMED).out)
    assert again["clean"] == alone["clean"]


def test_classes_that_are_numbers(accepted, call, refused, place):
    """As text 10 stands before 2, but a network has its logits in the order of the numbers, as like as not."""
    (place / "net.py").write_text(NET.replace("(3, 3, 1", "(3, 11, 1"))
    weight = torch.randn(11, 3, generator=torch.Generator().manual_seed(0))
    torch.save({"0.weight": weight[:, :, None, None]}, place / "net.pth")
    colours = 255 * torch.softmax(2 * weight, 1).numpy()  # as hard for one class as for another
    lines = []
    for number, colour in enumerate(colours):
        pixels = np.broadcast_to(colour, (32, 32, 3)).astype(np.uint8)
        for path in (f"by_class/{number}/a.png", f"listed/{number}.png"):
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / path)
        lines.append(f"{number}.png {number}")
    (place / "list.txt").write_text("\n".join(lines))
    (place / "names.txt").write_text("\n".join(map(str, range(11))))
    found = []
    for images in (("--data", "by_class"), ("--data", "listed", "--labels", "list.txt")):
        words = ("reliance", *MODEL, *images)
        line = refused(*words)
        assert f"the classes of {images[1]} are numbers in the order of text, 10 before 2; name those of" in line
        assert "by --class-list" in line
        assert line.partition("; ")[2] in refused("evaluate", *MODEL, *images, "--corruptions", "fog")
        found.append(json.loads(accepted(*words, *NAMED, "--json").out)["clean"])
    assert found[0] == found[1] == (weight @ torch.tensor(colours // 1).T).argmax(0).eq(torch.arange(11)).float().mean()
    (place / "by_class").rename(place / "train")
    for part in ("train", "test"):
        shutil.copytree(place / "train", place / "both" / part)
    result = call("finetune", *MODEL[:-2], "--data", "both", "-o", "robust.safetensors")
    assert (result.code, "the classes of both are numbers in the order of text" in result.err) == (2, True)


def test_a_run_on_images_in_files_keeps_its_size(accepted, call, photographs, place):
    """Test images alone are not what the run's data was, whose loader scales and crops."""
    write_run(place / "run", classes=("blue", "green", "red"), data="folder", image_size=28)
    told = "freqfast: images for {}: resize 32 (bilinear), crop 28, mean 0.5,0.5,0.5, std 0.25,0.25,0.25\n"
    for command in (("evaluate", "--corruptions", "fog"), ("reliance",)):
        for model in ("run", "run/model.safetensors"):
            words = (command[0], model, *command[1:], "--data", "photographs", "--precision", "float32", "--json")
            found, sized = call(*words), call(*words, "--resize", 32, "--crop", 28)
            assert found.err.startswith(told.format(model))
            values = [json.loads(one.out) | {"command": None, "provenance": None} for one in (found, sized)]
            assert values[0] == values[1]
    for part in ("train", "val"):
        shutil.copytree(photographs, place / "both" / part)
    words = ("--json", "--corruptions", "fog", "--data", "both")
    whole = accepted("evaluate", "run", *words, silent=True)
    assert json.loads(whole.out)["provenance"]["source"] == "both, corrupted on the fly"
    quick = ("--data", "both", "--set", "epochs=1", "--set", "batch_size=6", "-o", "tuned.safetensors")
    assert "images: 12" in accepted("finetune", "run", *quick).out
    for folder in ("both", "photographs"):  # a file of no run tells its size too
        found = call("evaluate", "tuned.safetensors", *words[:-1], folder)
        assert "images for tuned.safetensors: resize 32 (bilinear), crop 28" in found.err
    again = accepted("finetune", "tuned.safetensors", *quick[:-1], "again.safetensors")
    assert "images for tuned.safetensors: resize 32 (bilinear), crop 28" in again.out
    assert read_model("again.safetensors").preprocessing.crop == 28
    accepted("finetune", "run", *quick[:-1], "larger.safetensors", "--resize", 64, "--crop", 56)
    found = call("evaluate", "larger.safetensors", *words[:-1], "photographs")
    assert "images for larger.safetensors: resize 64 (bilinear), crop 56" in found.err


def test_the_images_of_a_network_of_a_library(call, photographs, squeezenet, place):
    """Its configuration says how images are prepared, options override it, and a line tells what is taken."""
    words = ("torchvision:squeezenet1_1", "--pretrained", "--data", "photographs", "--class-list", "names.txt")
    quick = ("--corruptions", "brightness", "--precision", "float32", "--json")
    preprocessing = (
        "freqfast: images for torchvision:squeezenet1_1: resize {} ({}), crop {}, mean {}, std 0.229,0.224,0.225\n"
    )
    found = call("evaluate", *words, *quick, "--limit", 2)
    assert found.err == preprocessing.format(256, "bilinear", 224, "0.485,0.456,0.406")
    assert json.loads(found.out)["images"] == 2
    options = ("--crop", 112, "--interpolation", "bicubic", "--mean", "0.5,0.5,0.5")
    found = call("evaluate", *words, *quick, "--limit", 2, *options, "-o", "result.json")
    assert found.err == preprocessing.format(128, "bicubic", 112, "0.5,0.5,0.5")
    assert json.loads((place / "result.json").read_text())["provenance"]["mean"] == [0.5] * 3
    write_network(place / "own.safetensors", ("blue", "green", "red"))  # no weights of a library are asked for there
    found = call("evaluate", *words, *quick, "--limit", 2, "--crop", 32, "--baseline", "own.safetensors")
    assert json.loads(found.out)["comparison"]["baseline"] == "own.safetensors"
    write_network(place / "sized.safetensors", ("blue", "green", "red"), image_size=28)
    lines = call("evaluate", *words, *quick, "--limit", 2, "--baseline", "sized.safetensors").err.splitlines()
    assert lines[0] == preprocessing.format(256, "bilinear", 224, "0.485,0.456,0.406").strip()
    assert "images for sized.safetensors: resize 32 (bilinear), crop 28" in lines[1]
    assert lines[1].endswith(": stated for it, not taken")
    found = call("reliance", *words, "--limit", 2, "--crop", 32, "--json")
    assert (json.loads(found.out)["data"], json.loads(found.out)["images"]) == ("photographs", 2)
    assert found.err == preprocessing.format(37, "bilinear", 32, "0.485,0.456,0.406")


def test_images_that_only_a_variable_names_are_not_scaled(monkeypatch):
    network = Network("timm:its_name", nn.Identity(), Preprocessing((0.5,) * 3, (0.5,) * 3, 256, 224, "bicubic"))
    monkeypatch.delenv("FREQFAST_DATA", raising=False)
    assert TestSet().unscaled_notes(network) == []
    monkeypatch.setenv("FREQFAST_DATA", "photographs")
    note = "images for timm:its_name: those of FREQFAST_DATA as they are; name them by --data to scale them"
    assert not TestSet().in_files(network)
    assert TestSet().unscaled_notes(network) == [note]


def test_a_data_set_is_no_folder_of_its_name(call, accepted, photographs, place):
    photographs.rename(place / "photos")
    words = ("evaluate", *MODEL, *FILES[2:], *NAMED, "--corruptions", "fog", "--limit", 3)
    assert "read a folder of images; name it by --data" in call(*words, "--data", "photos").err
    accepted(*words, "--data", "./photos")


def test_errors_on_imagenet_are_measured_against_alexnet(call, place):
    cells = measured(dict.fromkeys([CLEAN, *product(MAIN, SEVERITIES)], 0.4), images=10).outcomes
    known = dict.fromkeys(("model", "weights_sha256", "source", "labels_sha256"), "x")
    known |= {"mean": (0.5,) * 3, "std": (0.5,) * 3, "precision": "float32", "source_sha256": None, "seed": 0}
    for imagenet in (True, False):
        about = Provenance(**known, image_range=(0, 10), cells=tuple(cells), imagenet=imagenet)
        result = CorruptionResult(cells, provenance=about)
        result.save(place / "result.json")
        found = json.loads(call("evaluate", "result.json", "--json").out).get("over_alexnet")
        assert found == (dict(zip(("mce", "relative_mce"), alexnet_mce(result), strict=True)) if imagenet else None)
        text = call("evaluate", "result.json").out
        assert ("over AlexNet's errors on ImageNet-C: mCE 77.61 %, relative mCE 0.00 %" in text) == imagenet


def test_what_does_not_go_together(refused, photographs):
    words = ("corrupt", "photographs", "--corruptions", "fog", "--interpolation", "box")
    assert "scales nothing without --resize; name both" in refused(*words, "-o", "arrays", "--crop", 32)
    assert "name one folder to write by -o" in refused(*words, "-o", "s.png", "--tree")
    assert "name it by --data" in refused("evaluate", *MODEL, "--crop", 32)
    (photographs.parent / "names.txt").write_text("red\nred\n")
    assert "write each class once" in refused("evaluate", *MODEL, *FILES, "--class-list", "names.txt")
