"""`freqfast evaluate` and `freqfast corrupt` on images that stay in files."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

NET = """
import torch

def net():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1, bias=False), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
"""
MODEL = ("./net.py:net", "--weights", "net.pth", "--mean", "0,0,0", "--std", "1,1,1", "--precision", "float32")
FILES = ("--data", "photographs", "--resize", 36, "--crop", 32)


@pytest.fixture
def photographs(place):
    """Red, green and blue photographs of several sizes, and one that is none; the network's logits are the colours."""
    rng = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (place / "photographs" / name).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 120, (40 + number, 60, 3), dtype=np.uint8)
            pixels[..., channel] += 100
            Image.fromarray(pixels).save(place / "photographs" / name / f"{name}-{number}.png")
    (place / "net.py").write_text(NET)
    torch.save({"0.weight": torch.eye(3)[:, :, None, None]}, place / "net.pth")
    (place / "names.txt").write_text("red\ngreen\nblue\n")
    return place / "photographs"


def test_a_folder_of_photographs(call, refused, photographs, place):
    words = ("evaluate", *MODEL, "--on-the-fly", *FILES, "--corruption", "fog", "--class-list", "names.txt")
    result = call(*words, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["clean"] == 1
    assert found["images"] == 12
    (photographs / "red" / "notes.png").write_text("no image")
    assert "notes.png cannot be used as an image" in refused(*words)
    result = call(*words, "--skip-bad", "--json")
    assert json.loads(result.out)["images"] == 12
    assert "left out: 1 of 13 images" in result.err


def test_a_network_of_more_classes(call, refused, photographs):
    for path in (photographs / "green").iterdir():
        path.unlink()
    words = ("evaluate", *MODEL, "--on-the-fly", *FILES, "--corruption", "fog")
    assert "gives 3 logits, but photographs, corrupted on the fly has 2 classes" in refused(*words)
    found = json.loads(call(*words, "--class-list", "names.txt", "--json").out)
    assert (found["clean"], found["images"]) == (1, 8)


def test_a_tree_is_written_and_read(call, photographs, place):
    words = ("corrupt", "photographs", *FILES[2:], "--corruption", "fog", "-o", "tree", "--tree")
    result = call(*words)
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "tree: 12 images of photographs, corruptions: 1, severities: 5, parameters: cifar10; files written: 60\n"
    )
    assert (place / "tree" / "fog" / "3" / "blue" / "blue-1.JPEG").is_file()
    assert call(*words).out.endswith("files written: 0\n")
    result = call("evaluate", *MODEL, "--cifar10c", "tree", "--class-list", "names.txt", "--limit", 9, "--json")
    assert json.loads(result.out)["images"] == 9


def test_the_layout_of_arrays(call, photographs, place):
    assert call("corrupt", "photographs", *FILES[2:], "--corruption", "fog", "--severity", 2, "-o", "arrays").code == 0
    assert np.load(place / "arrays" / "fog.npy").shape == (12, 32, 32, 3)


def test_what_does_not_go_together(refused, photographs):
    assert "name it by --data" in refused("evaluate", *MODEL, "--on-the-fly", "--crop", 32)
    assert "--show draws an image of a set in memory" in refused(
        "corrupt", "photographs", "--crop", 32, "--show", "sheet.png"
    )
    (photographs.parent / "names.txt").write_text("red\nred\n")
    assert "write each class once" in refused("evaluate", *MODEL, "--on-the-fly", *FILES, "--class-list", "names.txt")
