"""`freqfast finetune`: what it writes is what `freqfast evaluate` reads."""

import json
import re

import pytest
import torch

import freqfast.training  # noqa: F401 (now, since the import of fastai warns)
from freqfast.models.file import read_model
from freqfast.models.state_dicts import load_state
from tests.support.finished import write_network
from tests.support.trees import write_photograph

QUICK = ("--data", "photos", "--set", "epochs=1", "--set", "batch_size=5120")
NORMALISATION = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")


def test_another_s_network(accepted, published):
    words = ("./foreign_net.py:net", *NORMALISATION)
    result = accepted("finetune", *words, "--weights", "theirs.th", "--out", "robust.safetensors", *QUICK)
    told = (
        "trained by robust on photos towards its own outputs (epochs: 1, images: 5,120), with 50 % of the old weights"
    )
    epoch, written, described, measure = result.out.splitlines()
    assert re.fullmatch(r"epoch 1/1: train loss \d+\.\d+, test loss \d+\.\d+, test accuracy \d+\.\d\d %", epoch)
    assert written == f"written: robust.safetensors, {told}"
    assert described == "written: robust.toml, which names it to every command"
    assert measure == "measure it: freqfast evaluate robust.toml --data photos"
    state = load_state("robust.safetensors")
    assert state.keys() == published.state_dict().keys()
    assert not torch.equal(state["conv1.weight"], published.conv1.weight)
    found = accepted("evaluate", "robust.toml", "--limit", 5, "--corruptions", "fog", "--json")
    assert json.loads(found.out)["provenance"]["source"] == "photos, corrupted on the fly"
    assert json.loads(found.out)["provenance"]["std"] == [0.229, 0.224, 0.225]


def test_both_networks_are_measured(accepted, published, monkeypatch):
    monkeypatch.setattr("freqfast.cli.finetune._MEASURED", 5)
    words = ("./foreign_net.py:net", *NORMALISATION, "--weights", "theirs.th", "--evaluate")
    lines = accepted("finetune", *words, "--out", "robust.safetensors", *QUICK).out.splitlines()
    assert lines[3].partition(" points under corruption; worst: ")[1]
    assert lines[4].startswith("robust.toml on photos, corrupted on the fly, 5 images a cell")
    assert "against ./foreign_net.py:net with theirs.th:" in lines or "against ./foreign_net.py:net:" in lines


def test_a_network_of_ours(accepted, checkpoint, tree):
    write_network(checkpoint, ("narrow", "wide"))
    before = read_model(checkpoint)
    words = ("--data", tree, "--set", "epochs=1", "--set", "batch_size=16")
    accepted("finetune", checkpoint, "--out", "tuned.safetensors", "--keep", 0, *words)
    found = read_model("tuned.safetensors")
    assert (found.classes, found.preprocessing, found.spec) == (before.classes, before.preprocessing, before.spec)
    assert not torch.equal(found.module.conv1.weight, before.module.conv1.weight)


def test_photographs_of_any_size_and_of_some_of_the_classes(accepted, published, place):
    for number, path in enumerate(("train/1/a.png", "train/2/b.png", "val/3/c.png")):
        write_photograph(place / "photographs" / path, number)
    (place / "names.txt").write_text("\n".join("9876543210"))
    words = ("./foreign_net.py:net", *NORMALISATION, "--weights", "theirs.th", "--out", "robust.safetensors")
    files = ("--data", "photographs", "--resize", 120, "--crop", 112, "--class-list", "names.txt")
    short = ("--set", "epochs=1", "--set", "batch_size=2")
    result = accepted("finetune", *words, *files, *short, "--force")
    told = "photographs towards its own outputs (epochs: 1, images: 2), with 50 % of the old weights"
    assert result.out.splitlines()[2] == f"written: robust.safetensors, trained by robust_photographs on {told}"
    state, before = load_state("robust.safetensors"), published.state_dict()
    assert not torch.equal(state["conv1.weight"], before["conv1.weight"])
    # The recipe for photographs leaves BatchNorm's statistics as they are, the one for small images does not.
    assert torch.equal(state["bn1.running_mean"], before["bn1.running_mean"])
    accepted("finetune", *words, *files, *short, "--recipe", "robust", "--force")
    assert not torch.equal(load_state("robust.safetensors")["bn1.running_mean"], before["bn1.running_mean"])


def test_images_without_labels(accepted, published, place, monkeypatch):
    for number in range(12):  # at any depth, beside what is no image
        write_photograph(place / "any" / ("deep/er" * (number % 2)) / f"{number}.png", number)
    (place / "any" / "notes.txt").write_text("no image")
    words = ("./foreign_net.py:net", *NORMALISATION, "--weights", "theirs.th", "--out", "robust.safetensors", "--force")
    files = ("--unlabelled", "any", "--resize", 120, "--crop", 112, "--set", "batch_size=5")
    lines = accepted("finetune", *words, *files, "--evaluate").out.splitlines()
    told = "any towards its own outputs (epochs: 4, images: 11), with 50 % of the old weights"
    assert f"written: robust.safetensors, trained by robust_photographs on {told}" in lines
    judged = "robust.toml on any labelled by ./foreign_net.py:net"
    assert any(line.startswith(judged) and "1 image" in line for line in lines)
    assert not torch.equal(load_state("robust.safetensors")["conv1.weight"], published.conv1.weight)
    for number, path in enumerate(("3/a.png", "7/b.png")):
        write_photograph(place / "labelled" / "test" / path, number)
    (place / "names.txt").write_text("\n".join("0123456789"))
    labelled = ("--data", "labelled", "--class-list", "names.txt", "--evaluate")
    lines = accepted("finetune", *words, *files, *labelled).out.splitlines()
    assert any(line.startswith("robust.toml on labelled, corrupted on the fly") for line in lines)


def test_by_labels(accepted, published):
    words = ("./foreign_net.py:net", *NORMALISATION, "--weights", "theirs.th", "--labels", *QUICK)
    lines = accepted("finetune", *words, "--out", "robust.safetensors").out.splitlines()
    told = "trained by robust on photos (epochs: 1, images: 5,120), with 50 % of the old weights"
    assert f"written: robust.safetensors, {told}" in lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing.py:net", "--unlabelled", ".", "--labels"), "--labels needs images with labels, which --unlabelled"),
        (("foreign_net.py:trained", *NORMALISATION, "--unlabelled", "absent"), "absent is no folder with images"),
        (("absent", "--out", "robust.pth"), "cannot write robust.pth: its name must end in .safetensors"),
        (("absent",), "absent does not exist; name a run directory"),
        (("foreign_net.py:net", "--data", "absent"), "absent does not exist; name cifar10, photos, or an archive"),
        (("./foreign_net.py:net", "--weights", "theirs.th"), "lacks mean, std; add --mean R,G,B --std R,G,B"),
        (
            ("./foreign_net.py:net(num_classes=3)", *NORMALISATION, "--weights", "none", "--data", "photos"),
            "gives 3 logits, but photos has",
        ),
        (("foreign_net.py:trained", *NORMALISATION, "--recipe", "robst"), "unknown recipe 'robst'; the recipes are"),
        (("foreign_net.py:trained", *NORMALISATION, "--set", "epochs=0"), "epochs must be greater than or equal to 1"),
        (("foreign_net.py:trained", *NORMALISATION, "--resize", 36), "need their folder, --data, and a size, --resize"),
        (("foreign_net.py:trained", *NORMALISATION, "--data", ".", "--crop", 32), "and a size, --resize and --crop"),
        (("foreign_net.py:trained", *NORMALISATION, "--class-list", "n"), "n does not exist"),
        (("foreign_net.py:trained", *NORMALISATION, "--set", "model.width=8"), "model.width changes nothing here"),
        (("foreign_net.py:trained", *NORMALISATION, "--set", 'data="photos"'), "--set data changes nothing here"),
        (("foreign_net.py:trained", *NORMALISATION, "--set", "width=8"), "unknown key 'width'"),
        (
            ("foreign_net.py:trained", *NORMALISATION, "--data", "photos", "--device", "cuda:99"),
            "device 'cuda:99' is not",
        ),
        (("torchvision:squeezenet1_1", "--pretrained", "--weights", "w.pth"), "leave them out for the weights w.pth"),
        (("nothing.py:net", "--keep", 1), "--keep 1 leaves nothing of the training; give less than 1"),
    ],
)
def test_what_is_refused(refused, published, words, message):
    assert message in refused("finetune", *words, *(() if "--out" in words else ("--out", "robust.safetensors")))


def test_a_network_that_no_file_of_weights_can_hold_is_refused_before_training(refused, place, monkeypatch):
    monkeypatch.setattr("freqfast.training.fine_tune", lambda *args: pytest.fail("it was trained"))
    (place / "phases.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv, self.turn = nn.Conv2d(3, 10, 3), nn.Parameter(torch.ones(10, dtype=torch.complex64))\n"
        "    def forward(self, images):\n"
        "        return (self.conv(images).mean((2, 3)) * self.turn).real\n"
        "net = Net()\n"
    )
    line = refused("finetune", "phases.py:net", *NORMALISATION, *QUICK, "-o", "robust.safetensors")
    assert "turn is no dense tensor of real numbers" in line
