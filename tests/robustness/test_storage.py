"""Result files, and the merging of what they hold."""

import base64
import json
import os
from dataclasses import fields, replace

import numpy as np
import pytest

from freqfast.data.images import Images
from freqfast.robustness import CorruptionResult, corrupted_source, evaluate_source
from freqfast.robustness.provenance import Provenance
from tests.support.networks import classifier_of


@pytest.fixture
def source(noise):
    return corrupted_source(Images(noise(9), np.arange(9) % 2), ("contrast", "pixelate"))


@pytest.fixture
def result(bright, source):
    return evaluate_source([bright], source)[0]


@pytest.fixture
def parts(bright, source):
    return [(f"{i}.json", evaluate_source([bright], source, (i, 3))[0]) for i in (1, 2, 3)]


def test_round_trip(result, tmp_path):
    result.save(tmp_path / "r.json")
    assert CorruptionResult.load(tmp_path / "r.json") == result
    content = json.loads((tmp_path / "r.json").read_text())
    assert list(content) == ["schema", "freqfast", "provenance", "outcomes"]
    cell = result.outcomes["contrast", 1]
    assert content["outcomes"]["contrast"]["1"] == {
        "images": 9, "correct": base64.b64encode(cell.correct_bits).decode(),
        "bins": [list(bin_) for bin_ in cell.bins], "images_crc32": cell.images_crc32,
    }  # fmt: skip
    (tmp_path / "r.json").write_text(json.dumps(content | {"of a later version": 1}))
    assert CorruptionResult.load(tmp_path / "r.json") == result
    bare = CorruptionResult({})
    bare.save(tmp_path / "r.json")
    assert CorruptionResult.load(tmp_path / "r.json") == bare


def test_shards_that_do_not_belong_together(bright, source, parts):
    other = classifier_of(bright.model, std=(1,) * 3)
    for classifier, of, difference in (
        (other, source, r"mean \(.*\)"),
        (bright, replace(source, seed=5), r"seed \(0, 5\)"),
        (bright.among("ba", "ab"), source, r"outputs \(None, \[1, 0\]\)"),
        (bright, replace(source, severities=(1, 2)), r"cells \(11 cells, 5 cells\)"),
    ):
        message = rf"1\.json and x are not of one evaluation, they differ in {difference}"
        with pytest.raises(ValueError, match=message):
            CorruptionResult.merge([parts[0], ("x", evaluate_source([classifier], of, (2, 3))[0])])


def test_all_that_is_said_of_an_evaluation_must_agree_except_names(result):
    other = Provenance(
        model="m", weights_sha256="w", mean=(0.1,) * 3, std=(0.2,) * 3, precision="bfloat16", source="s",
        source_sha256="h", seed=9, image_range=(0, 1), labels_sha256="l", cells=(("fog", 1),), command="c",
        imagenet=True, outputs=(1, 0),
    )  # fmt: skip
    named = {difference.partition(" ")[0] for difference in result.provenance.differences(other)}
    assert named == {field.name for field in fields(other)} - {"model", "source", "command"}


def test_overlaps_and_gaps_are_named(parts):
    with pytest.raises(ValueError, match=r"1\.json and again both hold clean, contrast 3, pixelate 1 and 1 more; name"):
        CorruptionResult.merge([*parts, ("again", parts[0][1])])
    with pytest.raises(ValueError, match=r"the results lack contrast 1, contrast 4, pixelate 2 and 1 more of the"):
        CorruptionResult.merge([parts[0], parts[2]])
    with pytest.raises(ValueError, match="no results to merge"):
        CorruptionResult.merge([])
    with pytest.raises(ValueError, match="bare does not say what it is an evaluation of"):
        CorruptionResult.merge([parts[0], ("bare", CorruptionResult({}))])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema", "freqfast-evaluation-2", "schema 'freqfast-evaluation-2' is not the one"),
        ("outcomes.contrast.1.images", 10**6, "outcomes.contrast.1: 1000000 images, but bits for 16"),
        ("outcomes.contrast.1.correct", "abc", "outcomes.contrast.1.correct Base64 decoding error"),
        ("outcomes.contrast.1.bins", [[1, 0, 0]], "outcomes.contrast.1.bins must have at least 15 items"),
        ("outcomes.contrast.1.bins", [[10**30, 0, 0]] * 15, "outcomes.contrast.1.bins.0.0 must be less than"),
        ("outcomes.contrast.one", {}, "outcomes.contrast.one must be a valid integer"),
        ("provenance.mean", "abc", "provenance.mean must be a valid array"),
        ("provenance.cells", [["\x1b[2J", 1]], r"provenance.cells.0: '\\x1b\[2J' 1 is no corruption"),
        ("provenance", {"model": "x"}, "provenance.weights_sha256 is missing"),
    ],
)
def test_unsound_files_are_named(result, tmp_path, path, value, message):
    result.save(file := tmp_path / "r.json")
    content = inner = json.loads(file.read_text())
    *parents, last = path.split(".")
    for key in parents:
        inner = inner[key]
    inner[last] = value
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"r\.json: {message}") as caught:
        CorruptionResult.load(file)
    assert "\n" not in str(caught.value)


def test_unknown_cells(result, tmp_path):
    for key in (("contrast", 6), ("\x1b[2J", 1)):
        CorruptionResult({key: result.outcomes["contrast", 1]}).save(tmp_path / "r.json")
        with pytest.raises(ValueError, match=r"outcomes: .* is no corruption and severity"):
            CorruptionResult.load(tmp_path / "r.json")


def test_files_that_are_no_results(tmp_path):
    file = tmp_path / "r.json"
    for content in (b"", b"[1]", b"{}", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"r\.json"):
            CorruptionResult.load(file)
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        CorruptionResult.load(tmp_path / "absent")
    os.truncate(file, 2**32)
    with pytest.raises(ValueError, match=r"r\.json has 4,294,967,296 bytes, more than"):
        CorruptionResult.load(file)
