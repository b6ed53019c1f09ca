import errno
import json
from dataclasses import replace

import numpy as np
import pytest

from freqfast.data.images import ImageSet
from freqfast.models.classifier import Classifier
from freqfast.robustness import CorruptionResult, corrupted_source, evaluate_source
from freqfast.robustness.rows import cell_rows, write_csv


@pytest.fixture
def source(noise):
    return corrupted_source(ImageSet(noise(9), np.arange(9) % 2), ("contrast", "pixelate"))


@pytest.fixture
def parts(bright, source):
    return [(f"{i}.json", evaluate_source([bright], source, (i, 3))[0]) for i in (1, 2, 3)]


def test_what_is_saved_is_loaded(bright, source, tmp_path):
    (report,) = evaluate_source([bright], source)
    report.save(tmp_path / "r.json")
    assert CorruptionResult.load(tmp_path / "r.json") == report
    assert json.loads((tmp_path / "r.json").read_text())["schema"] == "freqfast-evaluation-1"
    bare = CorruptionResult({})
    bare.save(tmp_path / "r.json")
    assert CorruptionResult.load(tmp_path / "r.json") == bare


def test_merged_files_are_those_of_the_whole(bright, source, parts, tmp_path):
    evaluate_source([bright], source)[0].save(tmp_path / "whole.json")
    CorruptionResult.merge(parts[::-1]).save(tmp_path / "merged.json")
    assert (tmp_path / "whole.json").read_bytes() == (tmp_path / "merged.json").read_bytes()


def test_shards_that_do_not_belong_together(bright, source, parts):
    other = Classifier(bright.model, (0.5,) * 3, (1,) * 3, precision="float32")
    with pytest.raises(ValueError, match=r"1\.json and x are not of one evaluation, they differ in mean \("):
        CorruptionResult.merge([parts[0], ("x", evaluate_source([other], source, (2, 3))[0])])
    reseeded = replace(source, seed=5)
    with pytest.raises(ValueError, match=r"they differ in seed \(0, 5\)"):
        CorruptionResult.merge([parts[0], ("x", evaluate_source([bright], reseeded, (2, 3))[0])])
    fewer = replace(source, severities=(1, 2))
    with pytest.raises(ValueError, match=r"they differ in cells \(11 cells, 5 cells\)"):
        CorruptionResult.merge([parts[0], ("x", evaluate_source([bright], fewer, (2, 3))[0])])


def test_names_may_differ(parts):
    moved = replace(parts[1][1], provenance=replace(parts[1][1].provenance, model="elsewhere", source="there"))
    assert CorruptionResult.merge([parts[0], ("2", moved), parts[2]]) == CorruptionResult.merge(parts)


def test_overlaps_and_gaps_are_named(parts):
    with pytest.raises(ValueError, match=r"1\.json and again both hold clean, contrast 3, pixelate 1 and 1 more; name"):
        CorruptionResult.merge([*parts, ("again", parts[0][1])])
    with pytest.raises(ValueError, match=r"the results lack contrast 1, contrast 4, pixelate 2 and 1 more of the"):
        CorruptionResult.merge([parts[0], parts[2]])
    with pytest.raises(ValueError, match="no results to merge"):
        CorruptionResult.merge([])
    with pytest.raises(ValueError, match="bare does not say what it is an evaluation of"):
        CorruptionResult.merge([parts[0], ("bare", CorruptionResult({}))])


def edit(content, path, value):
    *parents, last = path
    for key in parents:
        content = content[key]
    content[last] = value


CELL = ("outcomes", "contrast", "1")


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("schema",), "freqfast-evaluation-2", "schema"),
        (("outcomes",), [], "AttributeError"),
        ((*CELL, "images"), 10**6, "1000000 images"),
        ((*CELL, "images"), 9.0, "is no count"),
        ((*CELL, "images"), True, "is no count"),
        ((*CELL, "correct"), "!!!!", "base64"),
        ((*CELL, "bins", 0), [1, 1], "not enough values"),
        ((*CELL, "bins", 0), [10**30, 0, 0], "OverflowError"),
        ((*CELL, "bins"), None, "TypeError"),
        (("outcomes", "contrast", "one"), {}, "invalid literal for int"),
        (("outcomes", "contrast", "6"), {}, "'contrast' 6 is no corruption and severity"),
        (("outcomes", "\x1b[2J"), {"1": {}}, "'\\x1b[2J' 1 is no corruption"),
        (("provenance", "mean"), "abc", "could not convert"),
        (("provenance", "model"), 5, "model is 5"),
        (("provenance", "cells"), [["fog"]], "not enough values"),
        (("provenance", "cells"), [["fog", 0]], "'fog' 0 is no corruption"),
        (("provenance",), {"model": "x"}, "KeyError"),
    ],
)
def test_unsound_files_are_named(bright, source, tmp_path, path, value, reason):
    (report,) = evaluate_source([bright], source)
    report.save(file := tmp_path / "r.json")
    content = json.loads(file.read_text())
    edit(content, path, value)
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"r\.json is not a sound result of freqfast evaluate \(") as caught:
        CorruptionResult.load(file)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"schema": NaN}'])
def test_what_is_no_result_file(tmp_path, content):
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"r\.json is not a sound result"):
        CorruptionResult.load(tmp_path / "r.json")
    with pytest.raises(FileNotFoundError, match=r"absent is no file; name a result that"):
        CorruptionResult.load(tmp_path / "absent")


def test_a_full_disk_leaves_the_former_file(parts, tmp_path, monkeypatch):
    parts[0][1].save(file := tmp_path / "r.json")
    before = file.read_bytes()

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match="No space left"):
        parts[1][1].save(file)
    assert file.read_bytes() == before
    assert list(tmp_path.glob(".*")) == []


# Rows


def test_rows_are_cells(bright, source, tmp_path):
    (report,) = evaluate_source([bright], source)
    rows = cell_rows(report)
    assert [(row["corruption"], row["severity"]) for row in rows] == source.keys
    assert [row["family"] for row in rows[::5]] == ["", "digital", "digital"]
    for row in rows:
        assert (
            row["right"] / row["images"]
            == row["accuracy"]
            == report.outcomes[row["corruption"], row["severity"]].accuracy
        )
        assert row["low"] <= row["accuracy"] <= row["high"]
    write_csv(tmp_path / "r.csv", report)
    lines = (tmp_path / "r.csv").read_text().splitlines()
    assert lines[0] == "corruption,severity,family,images,right,accuracy,low,high,ece"
    assert len(lines) == 12
