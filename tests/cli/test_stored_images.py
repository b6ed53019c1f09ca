"""Corrupted images in files, trees and arrays: written by `freqfast corrupt`, read by `freqfast evaluate`."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from freqfast.robustness import CLEAN, CorruptionResult
from tests.support.finished import write_run
from tests.support.photographs import FILES, MODEL, NAMED


def test_stored_images_are_scaled_to_the_crop(call, accepted, photographs, squeezenet):
    """They were cropped before they were corrupted; the uncorrupted ones are scaled and cropped as usual."""
    accepted("corrupt", "photographs", *FILES[2:], "--corruptions", "fog", "--severity", 1, "-o", "t", "--tree")
    words = ("torchvision:squeezenet1_1", "--pretrained", "--class-list", "names.txt", "--precision", "float32")
    found = call("evaluate", *words, "--corrupted", "t", "--data", "photographs", "--crop", 32, "--json")
    lines = found.err.splitlines()
    assert [line.partition(", mean")[0] for line in lines] == [
        "freqfast: images for torchvision:squeezenet1_1: resize 32 (bilinear), crop 32",
        "freqfast: images for torchvision:squeezenet1_1: resize 37 (bilinear), crop 32",
    ]
    assert json.loads(found.out)["clean"] is not None
    found = call("evaluate", *words, "--corrupted", "t", "--data", "photographs", "--resize", 230, "--json")
    assert [line.partition(" (")[0].rpartition(" ")[2] for line in found.err.splitlines()] == ["224", "230"]
    (photographs / "red").rename(photographs / "crimson")
    found = call("evaluate", *words, "--corrupted", "t", "--data", "photographs", "--crop", 32)
    assert "photographs and t have different classes" in found.err


def test_a_tree_is_written_and_read(call, accepted, photographs, place):
    words = ("corrupt", "photographs", *FILES[2:], "--corruptions", "fog", "-o", "tree", "--tree", "--seed", 3)
    result = accepted(*words, silent=True)
    assert result.out == (
        "tree: 12 images of photographs, corruptions: 1, severities: 5, parameters: cifar10; files written: 60\n"
    )
    assert (place / "tree" / "fog" / "3" / "blue" / "blue-1.JPEG").is_file()
    assert json.loads((place / "tree" / "manifest.json").read_text())["seed"] == 3
    assert call(*words).out.endswith("files written: 0\n")
    result = call("evaluate", *MODEL, "--corrupted", "tree", "--class-list", "names.txt", "--limit", 9, "--json")
    assert json.loads(result.out)["images"] == 9


def test_a_tree_of_images_beside_training_images_has_their_names(accepted, photographs, place):
    for part in ("train", "test"):
        for path in photographs.rglob("*.png"):
            cut = place / "both" / part / path.relative_to(photographs)
            cut.parent.mkdir(parents=True, exist_ok=True)
            Image.open(path).crop((0, 0, 32, 32)).save(cut)
    accepted("corrupt", "both", "--corruptions", "fog", "--severity", 1, "-o", "t", "--tree")
    found = accepted("evaluate", *MODEL, "--corrupted", "t", "--data", "both", *NAMED, "--json")
    assert json.loads(found.out)["clean"] == 1


def test_beside_the_uncorrupted_images_a_tree_is_read_as_it_is(accepted, refused, photographs):
    """--resize is for the former; the stored ones were scaled and cropped before they were corrupted."""
    accepted("corrupt", "photographs", *FILES[2:], "--corruptions", "fog", "-o", "t", "--tree", "--limit", 7)
    words = ("evaluate", *MODEL, "--corrupted", "t", *NAMED)
    for own, beside in (((), FILES), (FILES[2:], FILES), (("--crop", 24), ("--data", "photographs", "--crop", 24))):
        for limit in ((), ("--limit", 4)):
            accepted(*words, *own, *limit, "--force", "-o", "alone.json")
            accepted(*words, *beside, *limit, "--force", "-o", "both.json")
            alone, both = (CorruptionResult.load(f"{name}.json").outcomes for name in ("alone", "both"))
            clean = both.pop(CLEAN)
            assert (clean.accuracy, clean.images) == (1, limit[1] if limit else 7)
            assert both == alone
    assert "--data photos: the uncorrupted images of a tree lie in a folder; name it" in refused(
        *words, "--data", "photos"
    )


def test_a_run_reads_uncorrupted_images_at_its_size(accepted, photographs, place):
    write_run(place / "run", classes=("blue", "green", "red"), data="folder", image_size=28)
    for part in ("train", "val"):
        shutil.copytree(photographs, place / "both" / part)
    accepted("corrupt", "both/val", "--resize", 32, "--crop", 28, "--corruptions", "fog", "-o", "t", "--tree")
    found = []
    for data in ("both", "both/val"):
        accepted("evaluate", "run", "--corrupted", "t", "--data", data, "--force", "-o", "it.json")
        found.append(CorruptionResult.load("it.json").outcomes)
    assert found[0] == found[1]


def test_uncorrupted_images_of_stored_arrays_are_prepared_as_these_were(accepted, photographs):
    accepted("corrupt", "photographs", *FILES[2:], "--corruptions", "fog", "-o", "arrays", "--limit", 6)
    found = accepted("evaluate", *MODEL, "--corrupted", "arrays", *FILES, *NAMED, "--limit", 3, "--json")
    assert (json.loads(found.out)["clean"], json.loads(found.out)["images"]) == (1, 3)


def test_the_layout_of_arrays_and_a_sheet(accepted, photographs, place):
    words = ("corrupt", "photographs", *FILES[2:], "--corruptions", "fog", "--severity", 2)
    accepted(*words, "-o", "arrays", "-o", "sheet.png")
    assert np.load(place / "arrays" / "fog.npy").shape == (12, 32, 32, 3)
    assert Image.open(place / "sheet.png").width > 128


@pytest.mark.parametrize("words", [("--resize", 40), ("--labels", "names.txt"), ("--skip-bad",)])
def test_stored_images_take_no_options_that_they_would_not_use(accepted, refused, photographs, words):
    accepted("corrupt", "photographs", *FILES[2:], "--corruptions", "fog", "--severity", 2, "-o", "arrays")
    assert words[0] in refused("evaluate", *MODEL, "--corrupted", "arrays", *words).partition("leave out")[2]
    if words[0] != "--resize":
        accepted("corrupt", "photographs", *FILES[2:], "--corruptions", "fog", "--severity", 2, "-o", "t", "--tree")
        assert words[0] in refused("evaluate", *MODEL, "--corrupted", "t", *words).partition("leave out")[2]
