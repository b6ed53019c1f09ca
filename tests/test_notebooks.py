"""What a notebook shows of results, and the bar that it draws."""

import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from freqfast import load_run, measure_spectra
from freqfast.analysis import AnalysisResult, filter_quality
from freqfast.corruptions import MEANS
from freqfast.data import load_data
from freqfast.data.images import Images
from freqfast.progress import notebook_progress
from freqfast.records import as_html
from freqfast.robustness import CorruptionResult, compare, evaluate_images
from freqfast.robustness.archive.writing import write_archive
from freqfast.study import StudyResults, legend, load_study, published_path, read_results, summarise
from tests.support.finished import image_results, measured, write_run
from tests.support.parsed_page import Page
from tests.support.trees import make_tree

ROOT = Path(__file__).resolve().parents[1]
GREY = Images(np.full((2, 32, 32, 3), 128, np.uint8), np.array([0, 1]))
MODEL = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


def texts_of(shown):
    """The texts that a notebook shows of an object."""
    return [text for _, text in Page(shown._repr_html_()).texts]


def test_all_text_is_escaped():
    nasty = "<script>&\"'$x$"
    texts = Page(as_html(nasty, nasty, [(nasty,), (nasty,)])).texts
    assert texts == [(tags, nasty) for tags in ("p b", "p", "table tr th", "table tr td")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load_run(write_run(tmp_path_factory.mktemp("runs") / "<a>", analyses=image_results(), seed=3))


def test_a_run_shows_its_accuracies(run):
    report = run.report
    told = f"seed 3, clean 80.00 %, mean15 {100 * report.mean15:.2f} %, low filters 100 %, high filters 0 %"
    assert repr(run) == f"Run({str(run.path)!r}: mine, {told})"
    texts = texts_of(run)
    assert texts[:2] == [f"Run {run.path}", "mine: a run"]
    assert dict(zip(texts[2:7], texts[7:], strict=True))["mean15"] == f"{100 * report.mean15:.2f} %"


def test_a_result_shows_its_accuracies(run):
    result = CorruptionResult.load(run.directory.evaluation)
    means = f"mean15 {100 * result.mean15:.2f} %, mean7 {100 * result.mean(MEANS['mean7']):.2f} %"
    told = f"clean 80.00 %, {means}; 76 cells of 1,000 images"
    assert repr(result) == f"CorruptionResult({told})"
    texts = texts_of(result)
    assert texts[0] == "Accuracy"
    assert {"clean", "80.00", "77.41 to 82.36", "fog", f"{100 * result.mean(['fog']):.2f}"} <= set(texts)
    assert repr(CorruptionResult({})) == "CorruptionResult(nothing measured; 0 cells of 0 images)"
    few = measured({("fog", 1): 0.5, ("snow", 1): 0.4})
    assert repr(few) == "CorruptionResult(mean of those measured 45.00 %; 2 cells of 1,000 images)"


def test_a_comparison_shows_its_differences():
    cells = measured({("fog", 1): 0.5, ("snow", 1): 0.4}), measured({("fog", 1): 0.4, ("snow", 1): 0.4})
    texts = texts_of(compare(*cells, "<mine>"))
    assert texts[0] == "Against <mine>"
    assert texts[texts.index("corrupted") + 1] == "+5.00"


def test_a_study_shows_its_table():
    file = ROOT / "recipes" / "studies" / "small.toml"
    results = StudyResults(load_study(file), read_results(published_path(file)))
    texts = texts_of(results)
    assert texts[0] == results.study.title
    assert {"arm", "mean15", "baseline", "antialiasing", "noise"} <= set(texts)
    assert legend(summarise(results.study, results.rows)) in texts


def test_spectra_show_their_bands():
    spectra = measure_spectra(torch.nn.Conv2d(3, 4, 3), target={"low": 1.0})
    texts = texts_of(spectra)
    assert texts[:6] == [repr(spectra), "band", "filters (%)", "energy (%)", "target (%)", "low"]
    assert texts[8] == "100.0"
    assert "target (%)" not in measure_spectra(torch.nn.Conv2d(3, 4, 3))._repr_html_()


def test_analyses_show_their_summaries():
    for result in (*image_results().values(), filter_quality(torch.randn(4, 3, 3, 3))):
        expected = [type(result).definition.title]
        for part in type(result).definition.summarise(result):
            expected += [part] if isinstance(part, str) else [part.title, *part.header, *chain(*part.rows)]
        assert texts_of(result) == expected
    assert AnalysisResult(analysis="of nobody")._repr_html_() is None


def test_a_bar_in_notebooks_alone(monkeypatch, capsys):
    assert notebook_progress() is None
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    bar = notebook_progress()  # outside of IPython fastprogress draws it as text
    for done in (1, 2):
        bar(done, 2, f"epoch {done}")
    bar(1, 4, "fog 1")
    drawn = capsys.readouterr().out
    assert "100.00% [2/2 " in drawn
    assert "epoch 2" in drawn
    assert "25.00% [1/4 " in drawn


@pytest.mark.parametrize(
    "work",
    [
        lambda folder: load_data("cifar10", make_tree(folder)),
        lambda folder: evaluate_images(MODEL, GREY, mean=(0,) * 3, std=(1,) * 3, corruptions=["contrast"]),
        lambda folder: write_archive(folder / "c", GREY, ["contrast"]),
    ],
    ids=["data", "evaluation", "archive"],
)
def test_long_work_draws_a_bar(tmp_path, monkeypatch, capsys, work):
    monkeypatch.setenv("FREQFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    work(tmp_path)
    assert "100.00% [" in capsys.readouterr().out
