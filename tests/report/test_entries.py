"""Runs as the report page reads them, and what it refuses."""

import re
from dataclasses import replace

import pytest

from freqfast.models.classifier import hash_weights
from freqfast.records import write_record
from freqfast.report.entries import load_entries, unique_labels
from freqfast.robustness import CLEAN, CorruptionResult, Provenance
from freqfast.runs.directory import RunDirectory
from freqfast.runs.run import load_run
from freqfast.spectra import measure_spectra
from freqfast.spectra.h5 import write_spectra
from tests.support.finished import image_results


def test_corrupt_files(make_run):
    """Each in turn, whole again before the next."""
    run = make_run("a", analyses=image_results())
    for file, content, message in (
        ("report.json", '{"schema": 1, "mean15": 2}', "report.json: "),
        ("evaluation.json", "{}", "evaluation.json"),
        ("environment.json", "[]", "environment.json"),
        ("analysis/heatmap.json", "{}", "heatmap.json: schema None is not the one that this version reads"),
        ("analysis/heatmap.json", '{"schema": 1, "analysis": "reliance"}', "heatmap.json: analysis must be 'heatmap'"),
        ("spectra.h5", "no HDF5", "spectra.h5"),
    ):
        whole = (run / file).read_bytes()
        (run / file).write_text(content)
        with pytest.raises(ValueError, match=re.escape(message)):
            load_entries([run])
        (run / file).write_bytes(whole)


def test_a_missing_evaluation(make_run):
    for run in (make_run("a"), make_run("held", holdout=5)):
        (run / "evaluation.json").unlink()
        reason = "; only a run itself measures the images that it holds out" if run.name == "held" else ""
        with pytest.raises(FileNotFoundError, match=re.escape(f"{run / 'evaluation.json'} is missing{reason}") + "$"):
            load_entries([run])


@pytest.mark.parametrize("modulation", [False, True])
def test_an_evaluation_and_an_analysis_of_another_model(make_run, modulation):
    path = make_run("a", modulation=modulation, analyses=image_results())
    run, weights = RunDirectory(path), hash_weights(load_run(path).model)
    made = Provenance("a", weights, (0.5,) * 3, (0.25,) * 3, "float32", "c", None, 0, (0, 9), "0", (CLEAN,))
    found = replace(CorruptionResult.load(run.evaluation), provenance=made)
    reliance = replace(image_results()["reliance"], weights_sha256=weights)
    found.save(run.evaluation)
    write_record(run.analysis("reliance"), reliance)
    [entry] = load_entries([path])
    assert (entry.result.provenance, entry.analyses["reliance"].weights_sha256) == (made, weights)
    write_record(run.analysis("reliance"), replace(reliance, weights_sha256="0"))
    with pytest.raises(ValueError, match=r"reliance\.json is of another model than the run's; make it again"):
        load_entries([path])
    replace(found, provenance=replace(made, weights_sha256="0")).save(run.evaluation)
    with pytest.raises(ValueError, match=r"evaluation\.json is of another model than the run's; make it again"):
        load_entries([path])


def test_the_evaluation_and_the_report_of_another_run(make_run):
    path, other = make_run("a"), make_run("b", seed=1)
    own = (path / "evaluation.json").read_bytes()
    (path / "evaluation.json").write_bytes((other / "evaluation.json").read_bytes())
    with pytest.raises(ValueError, match=r"evaluation\.json is of another model than the run's; make it again"):
        load_entries([path])
    (path / "evaluation.json").write_bytes(own)
    run = load_run(path)
    for sha256 in (hash_weights(run.model), "0"):
        assert load_run(path)
        write_record(run.directory.report, replace(run.report, weights_sha256=sha256))
    with pytest.raises(ValueError, match=r"report\.json is of another model than .*model\.safetensors"):
        load_run(path)


@pytest.mark.parametrize("modulation", [False, True])
def test_the_spectra_of_another_run(make_run, modulation):
    path, other = make_run("a", modulation=modulation), make_run("b", modulation=modulation, seed=1)
    own, theirs = (RunDirectory(run).spectra for run in (path, other))
    assert load_entries([path, other])
    own.write_bytes(theirs.read_bytes())
    with pytest.raises(ValueError, match=r"spectra\.h5 is of another model than the run's; make it again or remove it"):
        load_entries([path])
    write_spectra(own, measure_spectra(load_run(path).model, "conv2"))
    assert load_entries([path])
    write_spectra(own, replace(measure_spectra(load_run(path).model), layer="conv9"))
    with pytest.raises(ValueError, match="is of another model than the run's"):
        load_entries([path])


def test_labels_are_the_shortest_ends_that_differ(tmp_path):
    paths = [tmp_path / "x" / "a", tmp_path / "y" / "a", tmp_path / "y" / "b"]
    assert unique_labels(paths) == ["x/a", "y/a", "y/b"]
    assert unique_labels(paths[1:]) == ["a", "b"]
    stamped = [tmp_path / f"{name}-20261127-205156-84997{i}" for i, name in enumerate(("low", "low", "high"))]
    assert unique_labels(stamped[1:]) == ["low", "high"]
    assert unique_labels(stamped) == [stamped[0].name, stamped[1].name, "high"]
    with pytest.raises(ValueError, match="is named twice; name each run once"):
        unique_labels([paths[0], tmp_path / "y" / ".." / "x" / "a"])
    with pytest.raises(ValueError, match="name at least one run directory"):
        load_entries([])
