"""What `freqfast evaluate` keeps: result files, shards and their merge, and comparisons."""

import errno
import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from freqfast.corruptions import CORRUPTIONS
from freqfast.robustness import CorruptionResult
from freqfast.robustness.cells import CLEAN
from tests.support.finished import write_run
from tests.support.stored import write_arrays


@pytest.fixture
def full(tmp_path):
    """All 19 corruptions of six images."""
    return write_arrays(tmp_path / "full", CORRUPTIONS, 6)


def without_command(text):
    content = json.loads(text)
    content["provenance"].pop("command")
    return content


def test_merged_shards_are_the_whole(call, checkpoint, full, place):
    whole = call("evaluate", checkpoint, "--corrupted", full, "--out", "whole.json", "--json")
    for i in (1, 2, 3):
        part = call("evaluate", checkpoint, "--corrupted", full, "--shard", f"{i}/3", "--out", f"{i}.json")
        assert part.out.startswith(f"{i}.json: shard {i}/3, ")
    merged = call("evaluate", "3.json", "1.json", "2.json", "--out", "merged.json", "--json")
    assert without_command(merged.out) == without_command(whole.out)
    assert json.loads(merged.out)["provenance"]["command"] is None  # of three commands
    files = [without_command((place / name).read_text()) for name in ("merged.json", "whole.json")]
    assert files[0] == files[1]
    assert call("evaluate", "whole.json", "--json").out == whole.out
    assert call("evaluate", "whole.json").out.count("│ fog ") == 1


def test_shards_that_do_not_belong_together(call, refused, checkpoint, rival, archive):
    for i, model in ((1, checkpoint), (2, rival)):
        call("evaluate", model, "--corrupted", archive, "--shard", f"{i}/2", "--out", f"{i}.json")
    assert "1.json and 2.json are not of one evaluation, they differ in weights_sha256 (" in refused(
        "evaluate", "1.json", "2.json"
    )
    assert "the results lack fog 2, fog 4, contrast 1 and 2 more of" in refused("evaluate", "1.json")


def test_merge_takes_result_files_alone(refused, archive):
    Path("1.json").write_text("{}")
    line = refused("evaluate", "1.json", "--corrupted", archive, "--limit", 3, "--seed", 0)
    assert "1.json is a result, which is reported on; leave out --corrupted, --limit, --seed" in line
    assert "so --baseline run must be one too" in refused("evaluate", "1.json", "--baseline", "run")
    assert "absent.json does not exist; name a result file" in refused("evaluate", "1.json", "absent.json")
    assert "1.json" in refused("evaluate", "1.json")


def test_a_baseline_is_a_model_or_its_results(call, checkpoint, rival, full):
    words = ("--corrupted", full, "--json")
    together = json.loads(call("evaluate", checkpoint, *words, "--baseline", rival, "--out", "ours.json").out)
    theirs = json.loads(call("evaluate", rival, *words, "--out", "theirs.json").out)
    later = json.loads(call("evaluate", checkpoint, *words, "--baseline", "theirs.json").out)
    merged = json.loads(call("evaluate", "ours.json", "--baseline", "theirs.json", "--json").out)
    comparison = together["comparison"]
    assert comparison.pop("baseline") == str(rival)
    for other in (later, merged):
        assert other["comparison"].pop("baseline") == "theirs.json"
        assert other | {"provenance": None} == together | {"provenance": None}
    assert comparison["differences"]["mean15"]["difference"] == pytest.approx(together["mean15"] - theirs["mean15"])
    assert comparison["relative_mce"] is None  # no clean images are at hand


def test_a_comparison_in_words_and_pictures(accepted, checkpoint, rival, full, place):
    words = ("evaluate", checkpoint, "--corrupted", full, "--baseline", rival)
    result = accepted(*words, "-o", "cells.csv")
    lines = result.out.splitlines()
    assert f"against {rival}:" in lines
    assert f"; against {rival}: " in lines[0]
    for mean in ("mean15", "mean7", "mean19"):
        assert any(line.startswith(f"{mean}: ") and " % (95 %: " in line for line in lines)
        assert any(line.startswith(f"  {mean}: ") and " points (95 %: " in line for line in lines)
    assert any(line.startswith("  mCE: ") for line in lines)
    assert "  relative mCE: - (no clean accuracy)" in lines
    assert any(line.startswith("  McNemar by cell, p < 0.05: better in ") for line in lines)
    assert ",difference,only_model,only_baseline,p\n" in (place / "cells.csv").read_text()
    accepted(*words, "--corruptions", "fog", "-o", "report.png")
    assert (place / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_baseline_on_other_images_is_refused_before_the_measurement(call, refused, checkpoint, archive, full):
    call("evaluate", checkpoint, "--corrupted", full, "--out", "theirs.json", "--corruptions", "fog")
    words = ("evaluate", checkpoint, "--corrupted", archive, "--baseline", "theirs.json")
    assert "theirs.json was measured on other images (6 a cell, seed None) than are evaluated here (4" in refused(
        *words
    )
    words = ("evaluate", checkpoint, "--corrupted", full, "--corruptions", "snow", "--baseline", "theirs.json")
    assert "theirs.json was measured on none of these corruptions" in refused(*words)


def test_a_comparison_that_fails_costs_itself_alone(call, checkpoint, archive, full):
    """What was measured is printed nevertheless."""
    for images, name in ((archive, "ours"), (full, "theirs")):
        call("evaluate", checkpoint, "--corrupted", images, "--out", f"{name}.json", "--corruptions", "fog")
    found = call("evaluate", "ours.json", "--baseline", "theirs.json")
    assert (found.code, found.out) == (2, call("evaluate", "ours.json").out)
    assert "theirs.json was measured on other images of fog 1 (6, checksum " in found.err


def test_a_baseline_s_clean_images_may_be_others(call, accepted, checkpoint):
    words = ("evaluate", checkpoint, "--data", "photos", "--corruptions", "fog", "--limit")
    for count in (2, 3):
        call(*words, count, "--out", f"{count}.json")
    two, three = (CorruptionResult.load(f"{count}.json") for count in (2, 3))
    CorruptionResult({**two.outcomes, CLEAN: three.outcomes[CLEAN]}).save("run.json")  # more images clean, as in a run
    found = accepted("evaluate", "2.json", "--baseline", "run.json", silent=True)
    lines = found.out.splitlines()
    assert "  clean: not paired, since it was measured on other images there, or in another order" in lines
    assert "  mean over all that both have: +0.00 points (95 %: -)" in lines
    assert "  McNemar by cell, p < 0.05: better in 0, worse in 0 of 5" in lines


def test_a_full_disk_leaves_the_former_file(call, accepted, checkpoint, archive, place, monkeypatch):
    words = ("evaluate", checkpoint, "--corrupted", archive, "--force")
    accepted(*words, "--out", "r.json", "-o", "r.csv", "-o", "r.png")
    former = {path.name: path.read_bytes() for path in place.iterdir()}

    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr("pathlib.Path.write_text", full)
    result = call(*words, "--out", "r.json", "-o", "other.png")
    assert (result.code, result.err) == (1, "freqfast: r.json cannot be written (No space left on device)\n")
    (place / "other.png").unlink()  # it was made nevertheless
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    for option, name in (("--out", "r.json"), ("-o", "r.csv"), ("-o", "r.png")):
        result = call(*words, option, name)
        assert (result.code, result.err) == (1, f"freqfast: {name} cannot be written (No space left on device)\n")
        assert "mean over all measured" in result.out  # what was measured is not lost
    assert {path.name: path.read_bytes() for path in place.iterdir()} == former


def test_a_closed_pipe_costs_no_file(call, checkpoint, archive, place, monkeypatch):
    closed = Mock(side_effect=BrokenPipeError(errno.EPIPE, "Broken pipe"))
    monkeypatch.setattr("freqfast.cli.evaluation_report._print", closed)
    call("evaluate", checkpoint, "--corrupted", archive, "--out", "r.json", "-o", "r.csv", "-o", "r.png")
    assert sorted(path.name for path in place.iterdir()) == ["r.csv", "r.json", "r.png"]


def test_a_run_s_evaluation_is_of_its_own_network_and_normalisation(accepted, refused, checkpoint, archive, place):
    write_run(place / "run")
    words = ("--corrupted", archive, "--limit", 1, "--corruptions", "fog", "--force", "-o")
    refusal = "run/evaluation.json is a file of the run run; choose another path"
    assert refusal in refused("evaluate", checkpoint, *words, "run/evaluation.json")
    accepted("evaluate", "run", *words, "own.json")
    assert refusal in refused("evaluate", "own.json", "--force", "-o", "run/evaluation.json")
    accepted("evaluate", "run/model.safetensors", *words, "run/evaluation.json")
    line = refused("evaluate", "run", "--mean", "0,0,0", *words, "run/evaluation.json")
    assert "run/evaluation.json is the record of a run, of its own normalisation; leave out --mean" in line


def test_another_precision_of_the_baseline_is_told(call, checkpoint, archive):
    for precision in ("float32", "bfloat16"):
        words = ("--corrupted", archive, "--limit", 1, "--corruptions", "fog", "--precision", precision)
        call("evaluate", checkpoint, *words, "-o", f"{precision}.json")
    told = call("evaluate", "float32.json", "--baseline", "bfloat16.json").err
    assert "freqfast: warning: the model ran in float32, bfloat16.json in bfloat16, which moves accuracies too" in told
