import json

import numpy as np
import pytest
from PIL import Image

from freqfast.corruptions import BAR, CORRUPTIONS, corrupt
from freqfast.data import load_data
from freqfast.robustness.archive.reading import stored_source


@pytest.fixture
def no_frost(monkeypatch):
    """As if the distribution with the photographs were not installed."""
    monkeypatch.setattr("freqfast.corruptions.photographs.DISTRIBUTION", "freqfast-no-such-distribution")


def test_writes_the_test_set_in_the_published_layout(call, place):
    words = (
        "corrupt",
        "photos",
        "--out",
        "c",
        "--limit",
        3,
        "--seed",
        5,
        "--corruption",
        "fog",
        "--corruption",
        "snow",
    )
    result = call(*words)
    assert (result.code, result.err) == (0, "")
    assert result.out == ("c: 3 images of photos, corruptions: 2, severities: 5; files written: 3, verified: 0\n")
    test = load_data("photos").test.head(3)
    source = stored_source(place / "c")
    names, cells = source.corruptions, source.cells()
    assert names == ("snow", "fog")
    for cell in cells:
        np.testing.assert_array_equal(cell.images, corrupt(test.images, cell.corruption, cell.severity, 5))
        np.testing.assert_array_equal(cell.labels, test.labels)
    assert json.loads((place / "c" / "manifest.json").read_text())["source"] == "photos"
    assert "files written: 0, verified: 3" in call(*words).out


def test_the_second_set(call, place):
    words = ("corrupt", "photos", "--set", "bar", "--severity", 3, "--limit", 2)
    result = call(*words, "--out", "c", "--show", "sheet.png", "--image", 1)
    assert (result.code, result.err) == (0, "")
    image = load_data("photos").test.images[1]
    with Image.open("sheet.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    for name in BAR:
        expected = corrupt(image[None], name, 3, index=[1])[0]
        np.testing.assert_array_equal(np.load(place / "c" / f"{name}.npy")[1], expected)
    assert contains(pixels, expected.repeat(4, 0).repeat(4, 1))
    assert set(json.loads((place / "c" / "manifest.json").read_text())["files"]) == {
        "labels.npy",
        *(f"{name}.npy" for name in BAR),
    }


def test_a_path_names_a_test_set(call, tree, place):
    result = call("corrupt", tree, "--out", "c", "--corruption", "contrast", "--severity", 4, "--severity", 2)
    assert (result.code, result.err) == (0, "")
    test = load_data("cifar10", tree).test
    cells = stored_source(place / "c").cells()
    cells = list(cells)
    assert [cell.severity for cell in cells] == [2, 4]
    np.testing.assert_array_equal(cells[1].images, corrupt(test.images, "contrast", 4))
    np.testing.assert_array_equal(cells[1].labels, test.labels)


def test_evaluates_what_it_wrote(call, checkpoint):
    call("corrupt", "photos", "--out", "c", "--limit", 4, "--corruption", "fog", "--severity", 3, "--severity", 5)
    result = call("evaluate", checkpoint, "--cifar10c", "c", "--json")
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert list(report["accuracy"]["fog"]) == ["3", "5"]
    assert report["mean15"] is None


def test_a_damaged_file_is_made_anew_and_named(call, place):
    words = ("corrupt", "photos", "--out", "c", "--limit", 3, "--corruption", "fog")
    call(*words)
    path = place / "c" / "fog.npy"
    sound = path.read_bytes()
    path.write_bytes(sound[:-10])
    result = call(*words)
    assert result.code == 0
    assert result.out.startswith(
        f"c/fog.npy was damaged (it had {len(sound) - 10} bytes, not {len(sound)}) and has been"
    )
    assert path.read_bytes() == sound


def test_without_photographs_the_other_18_are_written(no_frost, call, refused, place):
    result = call("corrupt", "photos", "--out", "c", "--limit", 1, "--severity", 1)
    assert (result.code, result.err) == (0, "")
    assert set(stored_source(place / "c").corruptions) == set(CORRUPTIONS) - {"frost"}
    last = result.out.splitlines()[-1]
    assert last.startswith("frost is left out: ")
    assert "pip install 'freqfast[frost]'" in last
    assert "--frost-dir" in last
    assert "freqfast[frost]" in refused("corrupt", "photos", "--out", "d", "--corruption", "frost")


def test_frost_dir_without_photographs(refused, tmp_path):
    assert "frost1.png" in refused("corrupt", "photos", "--out", "c", "--frost-dir", tmp_path)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["photos"], "--out"),
        (["nowhere", "--out", "c"], "nowhere does not exist"),
        (["photos", "--out", "c", "--corruption", "rain"], "'rain'"),
        (["photos", "--out", "c", "--set", "rain"], "'rain' is not one of 'c', 'bar'"),
        (
            ["photos", "--out", "c", "--set", "c", "--corruption", "fog"],
            "--set names the corruptions; leave out --corr",
        ),
        (["photos", "--out", "c", "--set", "bar", "--frost-dir", "x"], "frost is not among the corruptions; leave out"),
        (["photos", "--out", "c", "--image", 5], "without --show no image is drawn; leave out --image"),
        (["nowhere", "--show", "sheet.xyz"], "cannot write sheet.xyz: its name must end in .png or .svg or .pdf"),
        (["nowhere", "--show", "."], ". is a folder; name a file"),
        (["nowhere", "--show", "none/sheet.png"], "folder none does not exist"),
        (["photos", "--show", "sheet.png", "--image", 1000], "--image 1000: there are 1000 test images"),
        (["photos", "--show", "sheet.png", "--image", 5, "--limit", 5], "there are 5 test images"),
    ],
)
def test_bad_input_is_one_line(refused, words, named):
    assert named in refused("corrupt", *words)


@pytest.mark.parametrize("words", [["--severity", 6], ["--severity", 0], ["--limit", 0], ["--image", -1], ["a", "b"]])
def test_wrong_usage(call, place, words):
    result = call("corrupt", "photos", "--out", "c", *words)
    assert (result.code, result.out) == (2, "")
    assert list(place.iterdir()) == []


def test_other_settings_are_refused(call, refused):
    words = ("corrupt", "photos", "--out", "c", "--corruption", "contrast", "--limit", 3)
    call(*words)
    assert "c was begun with seed 0, not 1" in refused(*words, "--seed", 1)


def test_interrupt(call, place, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("freqfast.corruptions.digital.contrast", stop)
    result = call("corrupt", "photos", "--out", "c", "--corruption", "fog", "--corruption", "contrast", "--limit", 2)
    assert result.code == 130
    assert result.err == "freqfast: interrupted; the same call goes on from the last whole file\n"
    assert stored_source(place / "c").corruptions == ("fog",)


def test_a_full_disk_is_one_line(call, place, full_disk):
    load_data("photos")
    with full_disk(40_000):
        result = call("corrupt", "photos", "--out", "c", "--limit", 9, "--corruption", "contrast")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("freqfast: c/contrast.npy cannot be written (File too large)")
    assert result.err.count("\n") == 1
    assert sorted(p.name for p in (place / "c").iterdir()) == ["labels.npy", "manifest.json"]


def test_contact_sheet(call, place):
    words = ("corrupt", "photos", "--corruption", "fog", "--severity", 3, "--image", 2)
    result = call(*words, "--show", "sheet.png")
    assert (result.code, result.out, result.err) == (0, "sheet.png: contact sheet of photos\n", "")
    assert [p.name for p in place.iterdir()] == ["sheet.png"]
    with Image.open("sheet.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    image = load_data("photos").test.images[2]
    for shown in (image, corrupt(image[None], "fog", 3, index=[2])[0]):
        assert contains(pixels, shown.repeat(4, 0).repeat(4, 1))


def contains(picture, part):
    """Whether the part lies somewhere in the picture, pixel by pixel."""
    height, width = part.shape[:2]
    rows, columns = picture.shape[0] - height + 1, picture.shape[1] - width + 1
    starts = (picture[:rows, :columns] == part[0, 0]).all(2) & (picture[height - 1 :, width - 1 :] == part[-1, -1]).all(
        2
    )
    return any(np.array_equal(picture[r : r + height, c : c + width], part) for r, c in np.argwhere(starts))


def test_sheet_and_folder_in_one_call(call, place):
    result = call(
        "corrupt", "photos", "--out", "c", "--show", "s.pdf", "--corruption", "fog", "--severity", 1, "--limit", 2
    )
    assert (result.code, result.err) == (0, "")
    assert (place / "s.pdf").read_bytes().startswith(b"%PDF")
    assert stored_source(place / "c").corruptions == ("fog",)
