"""`freqfast corrupt`."""

import json
from unittest.mock import Mock

import numpy as np
import pytest
from freqfast.cli.command import complete_corruption
from PIL import Image

from freqfast.corruptions import C_BAR, CORRUPTIONS, IMAGENET_C_BAR, corrupt
from freqfast.data import load_data
from freqfast.report.sheet import contact_sheet, most_colourful
from freqfast.robustness.archive.reading import stored_source
from tests.support.cells import cell_of, cells_of


def test_writes_the_test_set_in_the_published_layout(call, accepted, refused, place):
    words = ("corrupt", "photos", "--out", "c", "--limit", 3, "--corruptions", "fog,snow", "--seed")
    result = accepted(*words, 5, silent=True)
    assert (
        result.out
        == "c: 3 images of photos, corruptions: 2, severities: 5, parameters: cifar10; files written: 3, verified: 0\n"
    )
    test = load_data("photos").test[:3]
    source = stored_source(place / "c")
    assert source.corruptions == ("snow", "fog")
    for cell in cells_of(source):
        np.testing.assert_array_equal(cell.images, corrupt(test.pixels, cell.corruption, cell.severity, 5))
        np.testing.assert_array_equal(cell.labels, test.labels)
    assert json.loads((place / "c" / "manifest.json").read_text())["source"] == "photos"
    assert "files written: 0, verified: 3" in call(*words, 5).out
    assert "c was begun with seed 5, not 1" in refused(*words, 1)


def test_a_path_names_a_test_set(accepted, tree, place):
    words = ("corrupt", tree, "--out", "c", "--corruptions", "shot_noise", "--severity", 4, "--severity", 2)
    accepted(*words, silent=True)
    test = load_data("cifar10", tree).test
    source = stored_source(place / "c")
    assert source.severities == (2, 4)
    np.testing.assert_array_equal(
        cell_of(source, ("shot_noise", 4)).images, corrupt(test.pixels, "shot_noise", 4, seed=0)
    )
    np.testing.assert_array_equal(source.labels, test.labels)


def test_a_table_that_is_named(call, refused, place):
    words = ("corrupt", "photos", "--corruptions", "c-bar", "--severity", 1, "--limit", 1, "--out", "c")
    assert ", parameters: imagenet;" in call(*words, "--parameters", "imagenet").out
    assert set(stored_source(place / "c").corruptions) == set(IMAGENET_C_BAR)
    assert json.loads((place / "c" / "manifest.json").read_text())["table"] == "imagenet"
    assert "c was begun with table imagenet, not cifar10" in refused(*words)


def test_a_shell_completes_both_c_bars():
    assert complete_corruption("p") == ["pixelate", "pinch_and_twirl", "perlin_noise", "plasma_noise"]
    assert complete_corruption("fog,sparkles") == ["fog,sparkles"]


def test_c_bar_with_a_contact_sheet(accepted, place):
    words = ("corrupt", "photos", "--corruptions", "c-bar", "--severity", 3, "--limit", 2)
    result = accepted(*words, "--out", "c", "-o", "sheet.png", silent=True)
    assert result.out.startswith("sheet.png: contact sheet of photos\n")
    assert stored_source(place / "c").corruptions == C_BAR
    assert sorted(path.name for path in place.iterdir()) == ["c", "sheet.png"]


def test_a_contact_sheet_of_what_the_options_say(accepted, frost_dir):
    words = ("corrupt", "photos", "--corruptions", "frost,shot_noise", "--severity", 4)
    words += ("--severity", 2, "--seed", 5, "--parameters", "imagenet", "--frost-dir", frost_dir, "-o", "sheet.png")
    images = load_data("photos").test.pixels
    accepted(*words, silent=True)
    options = {"index": (index := most_colourful(images)), "frost_dir": frost_dir, "table": "imagenet"}
    contact_sheet(images[index], ("frost", "shot_noise"), (2, 4), 5, **options).savefig("expected.png", dpi="figure")
    with Image.open("sheet.png") as picture, Image.open("expected.png") as expected:
        np.testing.assert_array_equal(picture, expected)


def test_a_damaged_file_is_made_anew_and_named(call, accepted, place):
    words = ("corrupt", "photos", "--out", "c", "--limit", 3, "--corruptions", "fog")
    call(*words)
    path = place / "c" / "fog.npy"
    sound = path.read_bytes()
    path.write_bytes(sound[:-10])
    result = accepted(*words)
    assert result.out.startswith("c/fog.npy was damaged (")
    assert path.read_bytes() == sound


def test_without_photographs_the_other_18_are_written(no_frost, accepted, refused, place):
    result = accepted("corrupt", "photos", "--out", "c", "--limit", 1, "--severity", 1, silent=True)
    assert set(stored_source(place / "c").corruptions) == set(CORRUPTIONS) - {"frost"}
    assert result.out.splitlines()[-1].startswith("frost is left out: ")
    assert "freqfast[frost]" in refused("corrupt", "photos", "--out", "d", "--corruptions", "frost")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("photos", "--out"),
        ("nowhere --out c", "nowhere does not exist"),
        ("photos --out c --corruptions rain", "'rain'"),
        ("photos --out c --severity 6", "--severity"),
        ("photos --out c --corruptions c-bar --frost-dir x", "frost is not among the corruptions; leave out"),
        ("photos --out c --frost-dir .", "frost1.png"),
        ("photos -o c -o d", "name one folder to write by -o"),
    ],
)
def test_bad_input_is_one_line(refused, words, named):
    assert named in refused("corrupt", *words.split())


def test_an_interrupt_keeps_the_whole_files(call, place, monkeypatch):
    monkeypatch.setattr("freqfast.corruptions.digital.contrast", Mock(side_effect=KeyboardInterrupt))
    result = call("corrupt", "photos", "--out", "c", "--corruptions", "fog,contrast", "--limit", 2)
    assert result.code == 130
    assert result.err == "freqfast: interrupted; the same call goes on from the last whole file\n"
    assert stored_source(place / "c").corruptions == ("fog",)


def test_a_full_disk_is_one_line(call, place, full_disk):
    load_data("photos")
    with full_disk(40_000):
        result = call("corrupt", "photos", "--out", "c", "--limit", 9, "--corruptions", "contrast")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("freqfast: c/contrast.npy cannot be written (File too large)")
    assert result.err.count("\n") == 1
    assert sorted(p.name for p in (place / "c").iterdir()) == ["labels.npy", "manifest.json"]
