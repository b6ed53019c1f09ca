import json

import numpy as np
import pytest

from freqfast.analysis import (
    ANALYSES,
    Ablation,
    HeatMap,
    Reliance,
    filter_quality,
    read_analysis,
    write_analysis,
)
from freqfast.runs.directory import RunDirectory
from freqfast.spectral.bands import Bands

EXAMPLES = (
    HeatMap(
        error=[[0.1, 0.2], [0.3, 0.4]], clean_error=0.05, norm=4.0, seed=1, images=7, data="photos", data_sha256="ab",
    ),
    Reliance(cutoffs=[0, 0.3], low=[0.1, 0.2], high=[0.9, 0.3], band=[0.4, 0.3], clean=0.9, images=7),
    Ablation(
        bands=Bands.equal_area(2), layer="conv1", counts=[3, 1], filters=[0.1, 0.8], control=[0.2, 0.7],
        response=[0.3, 0.6], clean=0.9, images=7,
    ),
    filter_quality(np.random.default_rng(0).standard_normal((2, 3, 3, 3)), "conv1"),
)  # fmt: skip


@pytest.mark.parametrize("found", EXAMPLES, ids=lambda found: found.kind)
def test_json_round_trip(found, tmp_path):
    path = tmp_path / "found.json"
    write_analysis(path, found)
    again = read_analysis(path)
    assert type(again) is type(found)
    assert again.to_dict() == found.to_dict() == json.loads(path.read_text())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("found", EXAMPLES[:3], ids=lambda found: found.kind)
def test_files_of_before_the_data_was_kept(found, tmp_path):
    older = {name: value for name, value in found.to_dict().items() if not name.startswith("data")}
    path = tmp_path / "found.json"
    path.write_text(json.dumps(older))
    assert read_analysis(path).to_dict() == older | {"data": None, "data_sha256": None}


def test_every_kind_has_an_example_and_a_place():
    assert {found.kind: type(found) for found in EXAMPLES} == ANALYSES
    assert RunDirectory("runs/a").analysis("heatmap").as_posix() == "runs/a/analysis/heatmap.json"


@pytest.mark.parametrize(
    ("found", "change", "message"),
    [
        (0, {"error": [[0.1, 1.2]]}, "error must lie in 0..1, got 0.1 to 1.2"),
        (0, {"error": [[0.1, "x"]]}, "error must hold numbers"),
        (0, {"error": []}, "error must have two dimensions"),
        (0, {"error": [[float("nan")]]}, "error must lie in 0..1"),
        (0, {"images": 0}, "images must be an integer from 1, got 0"),
        (0, {"images": True}, "images must be an integer from 1, got True"),
        (0, {"data": 3}, "data must be text, got 3"),
        (0, {"data_sha256": ["a"]}, "data_sha256 must be text"),
        (0, {"clean_error": [0.1]}, "clean_error must have shape \\(\\), got \\(1,\\)"),
        (0, {"surprise": 1}, "surprise"),
        (1, {"cutoffs": [0.3, 0.1]}, "cutoffs must increase"),
        (1, {"low": [0.1]}, "low must have shape \\(2,\\), got \\(1,\\)"),
        (2, {"bands": {"edges": [0, 1], "names": ["a", "b"]}}, "edges must be one more than names"),
        (2, {"counts": [-1, 2]}, "counts must lie in"),
        (3, {"kernels": "many"}, "kernels must be an integer"),
        (3, {"schema": 2}, "its schema is not the one"),
        (3, {"analysis": "tea leaves"}, "it holds none of the analyses heatmap, reliance"),
        (3, {"analysis": ["heatmap"]}, "it holds none of the analyses|unhashable"),
    ],
)
def test_unsound_files_are_one_clear_line(found, change, message, tmp_path):
    path = tmp_path / "found.json"
    path.write_text(json.dumps(EXAMPLES[found].to_dict() | change))
    with pytest.raises(ValueError, match=message) as error:
        read_analysis(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_what_is_no_analysis_at_all(text, tmp_path):
    path = tmp_path / "found.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not an analysis by freqfast"):
        read_analysis(path)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; `freqfast heatmap RUN`"):
        read_analysis(tmp_path / "absent.json")
