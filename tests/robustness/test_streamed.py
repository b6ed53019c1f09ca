"""Evaluation and writing of images in files, which are decoded and corrupted batch by batch."""

import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from freqfast.corruptions import corrupt
from freqfast.data import Images, Preprocessing, list_images
from freqfast.robustness import CorruptionResult, corrupted_source, evaluate_source
from freqfast.robustness.archive.trees import is_tree, tree_source, uncorrupted, write_tree
from freqfast.robustness.archive.writing import write_archive
from tests.support.cells import cell_of
from tests.support.networks import classifier_of
from tests.support.trees import write_colours


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_colours(tmp_path_factory.mktemp("colours"), 5)


@pytest.fixture
def files(folder):
    images = list_images(folder, Preprocessing(resize=36, crop=32))
    return images, images.classes


@pytest.fixture
def classifier():
    """Finds the brightest colour; its classes are in the order of the folder's: blue, green, red."""
    swap = nn.Conv2d(3, 3, 1, bias=False)
    swap.weight.data = torch.eye(3).flip(0)[:, :, None, None]
    model = nn.Sequential(swap, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return classifier_of(model, batch_size=4)


def test_files_give_what_arrays_give_on_any_number_of_threads(files, classifier, tmp_path):
    images, classes = files
    arrays, results, stored = replace(images, pixels=np.asarray(images.pixels)), [], []
    for name, one, threads in (("streamed", images, 3), ("whole", arrays, 1)):
        torch.set_num_threads(threads)
        results += evaluate_source([classifier], corrupted_source(one, ["fog"], seed=2, classes=classes))
        write_archive(tmp_path / name, one, ["gaussian_noise"], [1, 4], classes=classes)
        stored.append((tmp_path / name / "gaussian_noise.npy").read_bytes())
    streamed, whole = results
    assert streamed.outcomes == whole.outcomes
    assert streamed.provenance.differences(whole.provenance) == []
    assert streamed.clean > 0.5
    assert stored[0] == stored[1]


def test_the_reading_of_files_for_their_hash_is_reported(files, monkeypatch):
    monkeypatch.setattr("freqfast.data.images._PART", 4)
    images, calls = files[0], []
    corrupted_source(images, ["fog"], progress=lambda *call: calls.append(call))
    assert calls == [(done, 15, "reading images") for done in (4, 8, 12, 15)]
    corrupted_source(replace(images, pixels=np.asarray(images.pixels)), ["fog"], progress=pytest.fail)  # takes no time


def test_a_tree_is_written_and_evaluated(files, classifier, tmp_path):
    images, classes = files
    out = tmp_path / "tree"
    assert write_tree(out, images, classes, ["contrast", "pixelate"], [1, 5], source="colours") == 60
    path = out / "contrast" / "5" / "red" / "red-3.JPEG"
    with Image.open(path) as image:
        assert (image.format, image.size) == ("JPEG", (32, 32))
        assert image.quantization[0][0] == 5  # of the standard's 16: quality 85, as published
    row = next(row for row, file in enumerate(images.pixels.paths) if file.stem == "red-3")
    expected = corrupt(np.asarray(images.pixels), "contrast", 5)[row].astype(int)
    assert np.abs(np.asarray(Image.open(path)).astype(int) - expected).mean() < 8

    assert is_tree(out)
    source = tree_source(out)
    assert set(source.corruptions) == {"contrast", "pixelate"}
    assert (source.severities, source.classes) == ((1, 5), classes)
    np.testing.assert_array_equal(source.labels, images.labels)
    (found,) = evaluate_source([classifier], source)
    assert found.accuracy["pixelate"][1] > 0.5
    (part,) = evaluate_source([classifier], tree_source(out, limit=6, required=["pixelate"]))
    assert part.images == 6
    shards = [(f"{k}/2", evaluate_source([classifier], source, (k, 2))[0]) for k in (1, 2)]
    assert CorruptionResult.merge(shards).outcomes == found.outcomes
    (out / "labels.npy").touch()  # it decides between the layouts
    assert not is_tree(out)


@pytest.mark.parametrize("limit", [None, 4])
def test_the_uncorrupted_images_are_those_of_the_cells_also_of_a_part(files, tmp_path, limit):
    """Of fewer images their mixed order is another one."""
    images, classes = files
    write_tree(tmp_path, images[:11], classes, ["fog"], [1])
    cell = list_images(tmp_path / "fog" / "1")
    found = uncorrupted(tmp_path / "fog" / "1", limit, images, classes)
    assert [path.stem for path in found.pixels.paths] == [path.stem for path in cell.pixels.paths[:limit]]
    assert [path.stem for path in found.pixels.paths] != [path.stem for path in images.pixels.paths[: len(found)]]
    with pytest.raises(ValueError, match=r"1 has .*, which the uncorrupted images lack; name those it was"):
        uncorrupted(tmp_path / "fog" / "1", None, images[np.arange(5, 15)], classes)


def test_classes_are_those_of_the_manifest_in_its_order(files, tmp_path):
    images, classes = Images(files[0].pixels[:4], np.array([0, 2, 2, 2])), ("zebra", "gnu", "ant")
    assert write_tree(tmp_path, images, classes, iter(["fog", "fog"]), [1]) == 4
    source = tree_source(tmp_path, required=["fog", "fog"])
    assert (source.keys, source.classes) == ([("fog", 1)], classes)
    named = [path.parent.name for path in cell_of(source, ("fog", 1)).images.paths]
    assert [classes[label] for label in source.labels] == named
    assert sorted(source.labels) == [0, 2, 2, 2]


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, -1], "ab", "labels must be class numbers, got -1 to 0"),
        ([0, 5], "ab", "labels must be class numbers, got 0 to 5 for 2 classes"),
        ([0, 1], ("a", ".."), r"class '\.\.' cannot be a folder's name"),
        ([0, 1], ("a", ".b"), r"class '\.b' cannot be a folder's name"),
        ([0, 1], ("crane", "crane"), "two classes are called 'crane', and would share a folder"),
        ([0, 1], ("a", "caf\udce9"), r"'caf\\udce9' is not UTF-8, as manifest"),
    ],
)
def test_labels_and_classes_that_no_tree_can_have(files, tmp_path, labels, classes, message):
    images = Images(files[0].pixels[:2], np.array(labels))
    with pytest.raises(ValueError, match=message):
        write_tree(tmp_path / "tree", images, classes, ["fog"], [1])
    assert not (tmp_path / "tree").exists()


def test_files_that_are_missing_are_told_before_any_is_read(files, tmp_path):
    """And those that are too many when their cell is."""
    write_tree(tmp_path, *files, ["fog"], [1, 2])
    red = tmp_path / "fog" / "2" / "red"
    more = Path(shutil.copy(red / "red-3.JPEG", red / "red-9.JPEG"))
    with pytest.raises(ValueError, match="fog/2 holds other images than fog 1"):
        tree_source(tmp_path).read("fog", 2)
    more.unlink()
    for severity in ("1", "2"):
        (tmp_path / "fog" / severity / "red" / "up").symlink_to(tmp_path)
    (tmp_path / "fog" / "2" / "red" / "red-3.JPEG").unlink()
    with pytest.raises(ValueError, match="fog/2 holds other images than fog 1"):
        tree_source(tmp_path)
    (tmp_path / "fog" / "1" / "red" / "red-3.JPEG").unlink()
    with pytest.raises(ValueError, match=r"fog/1 holds \d+ images, not the 15 of manifest\.json; remove"):
        tree_source(tmp_path)


def test_a_tree_goes_on_where_it_stopped(files, tmp_path):
    images, classes = files
    out = tmp_path / "tree"
    with pytest.raises(KeyboardInterrupt):
        write_tree(out, images, classes, ["fog"], [1, 2], progress=Mock(side_effect=[None, None, KeyboardInterrupt]))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.JPEG")}
    assert len(before) == 15
    with pytest.raises(ValueError, match="lacks fog 1 or a part of it; finish it or name the corruptions that it has"):
        tree_source(out)
    assert write_tree(out, images, classes, ["fog"], [1, 2]) == 15
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())

    damaged = next(iter(before))
    sound = damaged.read_bytes()
    damaged.write_bytes(sound[:-9])
    reported = []
    assert write_tree(out, images, classes, ["fog"], [1, 2], progress=lambda *call: reported.append(call)) == 15
    assert damaged.read_bytes() == sound
    assert reported == [(0, 2, "verifying fog 1"), (1, 2, "verifying fog 2"), (15, 15, "fog 1")]  # of what it lacks
    with pytest.raises(ValueError, match="was begun with seed 0, not 1; keep its settings or choose another folder"):
        write_tree(out, images, classes, ["fog"], [1, 2], seed=1)


def test_frost_of_other_photographs_is_refused(files, tmp_path, frost_dir):
    images, classes = files
    other = Path(shutil.copytree(frost_dir, tmp_path / "other"))
    Image.new("RGB", (400, 300), "white").save(other / "frost4.jpg")
    out = tmp_path / "tree"
    write_tree(out, images, classes, ["fog"], [1])
    write_tree(out, images, classes, ["fog", "frost"], [1], frost_dir=frost_dir)
    with pytest.raises(ValueError, match="was begun with other photographs of frost"):
        write_tree(out, images, classes, ["frost"], [1], frost_dir=other)
    assert write_tree(out, images, classes, ["snow"], [1], frost_dir=other) == 15


def test_wrong_trees_and_images_of_one_name(files, tmp_path):
    images, classes = files
    assert not is_tree(tmp_path)
    assert not is_tree(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="holds no <corruption>/<severity>/<class>/ folders"):
        tree_source(tmp_path)
    write_tree(tmp_path, images, classes, ["fog"], [1, 2])
    write_tree(tmp_path / "other", images, classes, ["snow"], [1])
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        tree_source(tmp_path, limit=0)
    with pytest.raises(FileNotFoundError, match="holds no frost; it holds fog"):
        tree_source(tmp_path, required=["frost"])
    with pytest.raises(FileNotFoundError, match=r"holds none of frost, snow$"):
        tree_source(tmp_path, only=["frost", "snow"])
    (tmp_path / "manifest.json").unlink()  # as of a published tree
    with pytest.raises(ValueError, match="fog is there, but not in the manifest"):
        write_tree(tmp_path, images, classes, ["fog"], [1, 2])
    (tmp_path / "snow" / "1" / "red").mkdir(parents=True)
    with pytest.raises(ValueError, match="lacks snow 2 or a part of it; finish it or name the"):
        tree_source(tmp_path)
    twice = Images(images.pixels[np.array([0, 0])], images.labels[[0, 0]])
    with pytest.raises(ValueError, match="two images would be written as"):
        write_tree(tmp_path, twice, classes, ["fog"])


def test_a_published_tree_is_known_by_the_bytes_of_its_files(files, tmp_path):
    write_tree(tmp_path / "one", *files, ["fog"], [1, 2])
    (tmp_path / "one" / "manifest.json").unlink()
    other = Path(shutil.copytree(tmp_path / "one", tmp_path / "other"))
    assert tree_source(other).sha256 == tree_source(tmp_path / "one").sha256
    first = tree_source(other).read("fog", 2)[0].paths[0]
    first.write_bytes(first.read_bytes() + b"\0")
    assert tree_source(other).sha256 != tree_source(tmp_path / "one").sha256


@pytest.mark.parametrize("other", [{"crop": 28}, {"resize": 24, "crop": 24}, {"resize": 28, "interpolation": "box"}])
def test_shards_of_a_tree_that_were_scaled_in_different_ways_are_not_merged(files, classifier, tmp_path, other):
    write_tree(tmp_path, *files, ["fog"], [1, 2])
    (first,) = evaluate_source([classifier], tree_source(tmp_path, preprocessing=Preprocessing(resize=28)), (1, 2))
    (second,) = evaluate_source([classifier], tree_source(tmp_path, preprocessing=Preprocessing(**other)), (2, 2))
    with pytest.raises(ValueError, match="not of one evaluation, they differ in source_sha256"):
        CorruptionResult.merge([("1/2", first), ("2/2", second)])


def test_some_of_the_classes(classifier, files):
    """A network of more classes is judged among those that the images have."""
    images, classes = files
    rows = np.flatnonzero(images.labels != 1)
    two = Images(images.pixels[rows], (images.labels[rows] > 0).astype(np.int64))
    names = ("blue", "red")
    among = classifier.among(names, trained=classes)
    (found,) = evaluate_source([among], corrupted_source(two, ["brightness"], classes=names))
    logits = classifier.logits(np.asarray(two.pixels))[:, [0, 2]]
    assert found.clean == pytest.approx((logits.argmax(1).numpy() == two.labels).mean())
    assert torch.equal(among.among(["red", "blue"]).logits(np.asarray(two.pixels)), logits[:, [1, 0]])
    with pytest.raises(ValueError, match="'cyan' is none of the 3 classes of net"):
        classifier.among(["cyan"], trained=classes)
    with pytest.raises(ValueError, match="the classes of net are not known"):
        classifier.among(["red"])
