"""Results as files, and analyses by name, ours and those of other packages."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from pydantic import Field

from freqfast.analysis import (
    Analysis,
    AnalysisResult,
    ImageResult,
    filter_quality,
    find_analysis,
    list_analyses,
    read_analysis,
)
from freqfast.records import plain, write_record
from tests.support.finished import image_results

QUALITY = filter_quality(np.random.default_rng(0).standard_normal((2, 3, 3, 3)), "conv1")
RESULTS = {**image_results(), "quality": QUALITY}


def test_every_analysis_has_a_result_of_its_name_and_words_for_it():
    assert list_analyses().keys() == RESULTS.keys()
    for name, found in RESULTS.items():
        analysis = find_analysis(name)
        assert (analysis.name, analysis.result) == (name, type(found))
        assert analysis.needs_images == isinstance(found, ImageResult)
        assert analysis.describe("run a", found).startswith("run a")


def percent(digits, *shares):
    return tuple(f"{100 * share:.{digits}f}" for share in shares)


def test_tables_and_words_have_their_numbers_in_percent():
    heatmap, reliance, ablation = map(find_analysis, ("heatmap", "reliance", "ablation"))
    one = RESULTS["reliance"]
    assert reliance.summarise(one)[0].rows[1] == ("0.20", *percent(2, one.low[1], one.high[1], one.band[1]))
    words = "a: below 0.20 cycles/pixel {} %, above {} %, whole 80.0 %"
    assert reliance.describe("a", one) == words.format(*percent(1, one.low[1], one.high[1]))
    one = RESULTS["ablation"]
    numbers = percent(2, one.filters[1], one.control[1], one.response[1])
    assert ablation.summarise(one)[0].rows[1] == ("high", "1", *numbers)
    words = "; a without high filters {} %, without high frequencies {} %"
    assert ablation.describe("a", one).endswith(words.format(*percent(1, one.filters[1], one.response[1])))
    one = RESULTS["heatmap"]
    words = "a: mean error {} %, at most {} %, 20.0 % unperturbed"
    assert heatmap.describe("a", one) == words.format(*percent(1, one.error.mean(), one.error.max()))
    one = replace(RESULTS["quality"], sparsity=0.25)
    assert find_analysis("quality").summarise(one)[1] == "sparsity: 25.00 %"


@pytest.mark.parametrize("name", RESULTS)
def test_a_file_is_read_as_it_was_written(name, tmp_path):
    path = tmp_path / "found.json"
    write_record(path, RESULTS[name])
    again = read_analysis(path)
    assert type(again) is type(RESULTS[name])
    assert plain(again) == plain(RESULTS[name]) == json.loads(path.read_text())
    values = plain(again)
    newer = {key: values.pop(key) for key in ("data", "data_sha256", "weights_sha256", "command") if key in values}
    path.write_text(json.dumps(values))  # as version 0.1 wrote it
    assert plain(read_analysis(path)) == values | dict.fromkeys(newer)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("heatmap", {"error": [[0.1, 1.2]]}, "error: must lie in 0..1, got 0.1 to 1.2"),
        ("heatmap", {"error": [[0.5, -0.1]]}, "error: must lie in 0..1, got -0.1 to 0.5"),
        ("heatmap", {"error": []}, "error must have two dimensions"),
        ("heatmap", {"error": [["0.5"]]}, r"error: must hold numbers, got \[\['0.5'\]\]"),
        ("reliance", {"low": [None, 0.5, 0.5]}, "low: must hold numbers, got .None"),
        ("reliance", {"band": [True] * 3}, "band: must hold numbers, got .True"),
        ("heatmap", {"images": 0}, "images must be greater than or equal to 1, got 0"),
        ("heatmap", {"surprise": 1}, "unknown key 'surprise'"),
        ("reliance", {"cutoffs": [0.3, 0.1, 0.2]}, "cut-offs must increase"),
        ("reliance", {"low": [0.1]}, r"low must have shape \(3,\), got \(1,\)"),
        ("ablation", {"bands": {"edges": [0, 1], "names": ["a", "b"]}}, "bands: edges must be one more than names"),
        ("ablation", {"counts": [-1, 2]}, "counts must not be negative"),
        ("ablation", {"counts": [1.5, 2]}, "counts: must hold integers, got .1.5, 2"),
        ("quality", {"schema": 2}, "schema 2 is not the one that this version reads"),
        ("quality", {"analysis": "astrology"}, "unknown analysis 'astrology'; the analyses are heatmap, reliance"),
    ],
)
def test_corrupt_files_are_one_clear_line(name, change, message, tmp_path):
    path = tmp_path / "found.json"
    path.write_text(json.dumps(plain(RESULTS[name]) | change))
    with pytest.raises(ValueError, match=message) as error:
        read_analysis(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_what_another_package_registers_must_be_an_analysis_of_that_name(install):
    source = "from freqfast.analysis.quality import QUALITY as taken\nnumber = 3\n"
    install("analyses", source, taken="taken", number="number", heatmap="number")
    others = {name: line for name, line in list_analyses().items() if name not in RESULTS}
    assert others == dict.fromkeys(("number", "taken"), "An analysis by other-analyses.")
    for name, got in (("taken", "the analysis 'quality'"), ("number", "a int")):
        message = f"analysis entry point '{name}' must be an Analysis of this name, got {got}"
        with pytest.raises(ValueError, match=message):
            find_analysis(name)
    assert find_analysis("heatmap").title == "Fourier heat map"  # ours come first


def test_an_analysis_of_a_module_whose_annotations_are_text(install, tmp_path):
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import Literal\n"
        "from freqfast.analysis import Analysis, AnalysisResult\n"
        "@dataclass(frozen=True, eq=False, kw_only=True)\nclass Size(AnalysisResult):\n"
        "    analysis: Literal['size'] = 'size'\n    filters: int\n"
        "def measure(model): return Size(filters=model)\nSIZE = Analysis(measure, Size, None, '', '', None, None)\n"
    )
    install("analyses", source, size="SIZE")
    found = find_analysis("size").run(model=8)
    write_record(tmp_path / "size.json", found)
    assert plain(read_analysis(tmp_path / "size.json")) == plain(found)
    with pytest.raises(ValueError, match="filters must be a valid integer, got 'eight'"):
        find_analysis("size").run(model="eight")


def test_an_option_may_be_a_path():
    class Place(AnalysisResult):
        analysis = "place"

    def measure(model, place: Annotated[Path | None, Field(description="Where.")] = None): ...

    analysis = Analysis(measure, Place, None, "", "", None, None)
    analysis.check_options({"place": Path("there")})
    with pytest.raises(ValueError, match="place must be a valid string, got 3"):
        analysis.check_options({"place": 3})


def test_options_are_the_parameters_with_a_description():
    options = {name: list(find_analysis(name).options) for name in RESULTS}
    assert options == {
        "heatmap": ["norm", "seed", "grid"],
        "reliance": [],
        "ablation": ["bands", "layer", "seed"],
        "features": [],
        "quality": ["layer"],
    }
