import json
import math
import os
from dataclasses import replace

import pytest
from scipy import stats

from freqfast.records import plain
from freqfast.runs.environment import Git
from freqfast.study import (
    Estimate,
    StudyResults,
    gather,
    legend,
    merge,
    published_path,
    read_results,
    results_table,
    summarise,
    tables,
    write_results,
)
from tests.support.runs import ENVIRONMENT


@pytest.fixture
def rows(make_row):
    return (
        make_row("baseline", 0, 0.86, 0.64),
        make_row("baseline", 1, 0.87, 0.65),
        make_row("low", 0, 0.85, 0.70, seconds=11.0),
        make_row("low", 1, 0.87, 0.72, seconds=13.0),
        make_row("high", 2, 0.80),
    )


# The table


def test_summary_by_hand(study, rows):
    baseline, low, high = summarise(study, rows)  # of which the means are in the table below
    assert (low.arm, low.description, low.seeds) == ("low", "low", (0, 1))
    # Variances in 1e-4, each with one degree of freedom. The pooled one, 1.25 with two, gives no wider interval.
    of_baseline, of_low = 0.5, 2.0
    for name in ("clean", "mean15"):
        for found, variance, freedom in (
            (baseline.means, of_baseline, 1),
            (low.means, of_low, 1),
            (low.differences, 2.5, 2.5**2 / (of_baseline**2 + of_low**2)),
        ):
            half = stats.t.ppf(0.975, freedom) * (variance / 2) ** 0.5 / 100
            assert found[name].half_width == pytest.approx(half, rel=1e-6)
    assert low.relative_time == Estimate(pytest.approx((1.1 + 1.3) / 2), None, 2)
    assert (baseline.differences, baseline.relative_time) == ({}, None)
    assert high.differences == {"clean": Estimate(pytest.approx(0.8 - 0.865), None, 1)}
    assert high.relative_time is None  # no seed in common with the baseline


def test_a_seed_that_only_the_baseline_has_counts(study, rows, make_row):
    low = summarise(study, (*rows[:4], make_row("baseline", 2, 0.88)))[1].differences["clean"]
    assert (low.n, low.mean) == (2, pytest.approx(0.86 - 0.87))
    variances = (1.0 / 3, 2.0 / 2)  # in 1e-4, with two degrees of freedom and one
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2)
    assert low.half_width == pytest.approx(stats.t.ppf(0.975, freedom) * sum(variances) ** 0.5 / 100)


@pytest.mark.parametrize(
    ("key", "seconds"),
    [*((key, 10.0) for key in ("processor", "platform", "gpu", "device", "threads")), ("python", 0.0)],
)
def test_time_is_relative_on_the_same_hardware_only(study, make_row, key, seconds):
    """And to a baseline that took some."""

    def row(arm, value, seconds=10.0):
        return make_row(arm, 0, 0.8, seconds=seconds, environment={key: value})

    assert summarise(study, [row("baseline", 1, seconds), row("low", 2)])[1].relative_time is None
    assert summarise(study, [row("baseline", 1), row("low", 1)])[1].relative_time.mean == 1


def test_table_as_markdown(study, rows):
    assert results_table(summarise(study, rows)) == (
        "| arm | n | clean | diff | mean15 | diff | time |\n"
        "| --- | --: | --: | --: | --: | --: | --: |\n"
        "| baseline | 2 | 86.5 ±6.4 | - | 64.5 ±6.4 | - | - |\n"
        "| low | 2 | 86.0 ±12.7 | -0.5 ±6.9 | 71.0 ±12.7 | +6.5 ±6.9 | 1.20 |\n"
        "| high | 1 | 80.0 | -6.5 | - | - | - |\n"
        "\n"
        "| arm | noise | diff | blur | diff |\n"
        "| --- | --: | --: | --: | --: |\n"
        "| baseline | 54.5 ±6.4 | - | 74.5 ±6.4 | - |\n"
        "| low | 61.0 ±12.7 | +6.5 ±6.9 | 81.0 ±12.7 | +6.5 ±6.9 |\n"
        "| high | - | - | - | - |\n"
        "\n"
        "± half of a 95 % confidence interval over the seeds alone; none from one seed\n"
    )


def test_the_images_are_counted_where_their_outcomes_are_known(study, rows):
    groups = (0.7, 0.8, 0.9)
    rows = [replace(row, groups={"clean": groups if row.arm == "low" else (0.8, 0.8, 0.8)}) for row in rows[:4]]
    alone, counted = summarise(study, [replace(row, groups={}) for row in rows])[1], summarise(study, rows)[1]
    images = 4.302653 * 0.1 / 3**0.5  # t on two degrees of freedom
    for of_alone, of_counted in ((alone.means, counted.means), (alone.differences, counted.differences)):
        expected = math.hypot(of_alone["clean"].half_width, images)
        assert of_counted["clean"].half_width == pytest.approx(expected, rel=1e-6)
        assert of_counted["mean15"] == of_alone["mean15"]
    assert legend([counted]) == (
        "± half of a 95 % confidence interval over seeds and images, in part over the seeds alone for mean15, noise, "
        "blur; none from one seed"
    )


def test_mean_bar_has_a_column_and_mean19_none(study, make_row):
    row = make_row("baseline", 0, 0.86, 0.64, report={"mean_bar": 0.7, "mean19": 0.63})
    (header, _), (families, _) = tables(summarise(study, [row]))
    assert header == ["arm", "n", "clean", "diff", "mean15", "diff", "mean_bar", "diff", "time"]
    assert families == ["arm", "noise", "diff", "blur", "diff"]


def test_mean7_is_over_what_training_has_no_relative_of(make_row):
    names = ("snow", "frost", "fog", "brightness", "elastic_transform", "pixelate", "jpeg_compression")
    accuracy = {name: dict.fromkeys(range(1, 6), 0.1 * i) for i, name in enumerate(names)}
    accuracy |= {name: dict.fromkeys(range(1, 6), 1.0) for name in ("contrast", "gaussian_noise", "zoom_blur")}
    row = make_row("baseline", 0, 0.86, report={"accuracy": accuracy})
    assert row.measures() == {"clean": 0.86, "mean7": pytest.approx(0.3)}
    del accuracy["fog"][5]
    assert "mean7" not in make_row("baseline", 0, 0.86, report={"accuracy": accuracy}).measures()


def test_a_study_without_its_baseline_has_no_differences(study, rows):
    assert legend(summarise(study, rows[::2])) == "no intervals: no arm has two seeds"
    (low,) = summarise(study, rows[2:4])
    assert (low.differences, low.relative_time, low.means["clean"].n) == ({}, None, 2)


def test_estimate_of_fewer_seeds_names_their_number(study, rows, make_row):
    (_, (_, low)), *_ = tables(summarise(study, (*rows[:4], make_row("low", 2, 0.89))))
    assert low[1:6] == ["3", "87.0 ±5.0", "+0.5 ±4.9", "71.0 ±12.7 (n=2)", "+6.5 ±6.9 (n=2)"]


def test_failed_runs_are_counted(study, rows):
    summaries = summarise(study, rows[:3], ["low/seed-2", "high/seed-0", "high/seed-1"])
    ((_, cells), *_) = tables(summaries)
    assert [row[:2] for row in cells] == [["baseline", "2"], ["low", "1, 1 failed"], ["high", "0, 2 failed"]]
    assert set(cells[2][2:]) == {"-"}
    assert summaries[1].failed == (2,)


def test_pipe_in_place_of_an_error_is_told_and_not_waited_for(study, tmp_path):
    error = tmp_path / "runs" / "baseline" / "seed-0.error"
    error.parent.mkdir(parents=True)
    os.mkfifo(error)
    assert gather(study, tmp_path).failures == {"baseline/seed-0": f"{error} is no regular file"}


# The result file


def test_result_file_round_trip(study, rows, tmp_path):
    rows = (replace(rows[0], groups={"clean": (0.85, 0.87)}), *rows[1:])
    path = published_path(tmp_path / "made.toml")
    assert path == tmp_path / "made.results.json"
    write_results(path, StudyResults(study, rows, {"high/seed-0": "diverged"}, ("a note",), left_out=rows[:1]))
    assert read_results(path) == (*rows, rows[0])
    content = json.loads(path.read_text(encoding="utf-8"))
    assert " ".join(content) == "schema freqfast title description baseline table runs failures notes"
    assert (content["schema"], content["title"], content["baseline"]) == (1, "Made up", "baseline")
    assert content["table"][1]["means"]["clean"] == {
        "mean": pytest.approx(0.86), "half_width": pytest.approx(0.1270620, rel=1e-4), "n": 2, "counts_images": False,
    }  # fmt: skip
    run = content["runs"][0]
    assert list(run) == ["arm", "seed", "recipe", "report", "environment", "groups"]
    assert "groups" not in content["runs"][1]  # as in files of version 0.1
    assert (run["arm"], run["seed"]) == ("baseline", 0)
    assert run["recipe"] == plain(rows[0].recipe)
    assert run["report"].items() <= plain(rows[0].report).items()
    assert {"mean19", "mean_bar"} <= run["report"].keys()
    assert not {"intervals", "ece", "bar"} & run["report"].keys()  # not measured
    assert not {"command", "start_path"} & run["environment"].keys()
    assert (content["failures"], content["notes"]) == ({"high/seed-0": "diverged"}, ["a note"])
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum('"arm": "low"' in line for line in lines) == 3  # its summary and its two runs
    write_results(path, StudyResults(study, ()))
    assert read_results(path) == ()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", 2, "schema 2 is not the one"),
        ("recipe", {"wdith": 1}, r"runs\.0\.recipe: .*(wdith|missing)"),
        ("report", {}, r"runs\.0\.report\.recipe is missing"),
    ],
)
def test_invalid_result_file_names_the_key(study, rows, tmp_path, key, value, message):
    path = tmp_path / "x.results.json"
    write_results(path, StudyResults(study, rows[:1]))
    content = json.loads(path.read_text())
    (content if key in content else content["runs"][0])[key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"^{path}: {message}") as caught:
        read_results(path)
    assert "\n" not in str(caught.value)


# Merging with what other machines published


def test_published_rows_stay_where_this_machine_lacks_them(study, rows):
    merged = merge(rows[2:], StudyResults(study, rows[:2], {"low/seed-2": "diverged", "low/seed-0": "disk died"}))
    assert merged.rows == rows
    assert merged.failures == {"low/seed-2": "diverged"}  # the other is finished elsewhere
    assert merged.notes == merge(rows, StudyResults(study, rows)).notes == ()


@pytest.mark.parametrize(
    ("report", "note"),
    [
        ({}, None),
        ({"version": "0.0"}, None),
        ({"clean": 0.85}, "published baseline/seed-0 differs: clean 85.00, here 86.00"),
        ({"accuracy": {"fog": {1: 0.75}}}, "published baseline/seed-0 differs: not in the means"),
    ],
)
def test_numbers_must_agree_seconds_and_versions_need_not(study, rows, make_row, report, note):
    published = make_row("baseline", 0, 0.86, 0.64, seconds=99.0, report=report)
    merged = merge([published], StudyResults(study, rows, notes=("a note",)))
    assert merged.notes == (("a note",) if note is None else ("a note", note))
    assert merged.rows == rows


def test_runs_in_different_precisions_are_noted(study, rows, make_row):
    published = [make_row("baseline", seed, 0.85, 0.64, report={"precision": "bfloat16"}) for seed in (0, 1)]
    assert merge(published, StudyResults(study, rows[:1])).notes == (
        "published baseline/seed-0 differs (bfloat16 there, float32 here): clean 85.00, here 86.00",
        "the runs differ in precision (1 in float32, 1 in bfloat16), so differences between them may come from that; "
        "set precision in the study's settings",
    )
    assert merge(published, StudyResults(study, ())).notes == ()


def test_runs_of_different_versions_are_noted(study, rows, make_row):
    older = make_row("low", 2, 0.85, environment={"freqfast": "0.0.9"})
    assert merge([older], StudyResults(study, rows)).notes == (
        f"the runs are of different versions of freqfast (5 of {ENVIRONMENT.freqfast}, 1 of 0.0.9), so differences "
        "between them may come from that; the changelog says what changes numbers",
    )
    other = make_row("low", 2, 0.85, environment={"git": Git("c" * 40, modified=True)})
    assert merge([other], StudyResults(study, rows)).notes == ()


def test_runs_that_start_from_different_weights_are_noted(study, rows, make_row):
    """A file of weights that has changed between runs has the same name in their recipes."""

    def row(arm, seed, digest, path="w.pth"):
        options = {"model": "timm:resnet18", "model_options": {"weights": path}}
        return make_row(arm, seed, 0.85, environment={"start_sha256": digest * 64}, **options)

    same = [*rows[:2], row("low", 0, "a"), row("low", 1, "a"), row("high", 0, "b", "other.pth")]
    assert merge((), StudyResults(study, tuple(same))).notes == ()
    assert merge((), StudyResults(study, (*same, row("baseline", 2, "b")))).notes == (
        "the runs of timm:resnet18 with {'weights': 'w.pth'} start from different weights (aaaaaaaaaaaa, "
        "bbbbbbbbbbbb), so differences between them may come from that; remove those of one kind and run the study "
        "again",
    )


def test_runs_on_other_data_than_most_are_left_out_of_the_table_with_a_note(study, make_row):
    def row(arm, seed, clean, data="a"):
        data = replace(ENVIRONMENT.data, sha256=data * 64)
        return make_row(arm, seed, clean, clean - 0.2, environment={"data": data})

    rows = [row("baseline", 0, 0.85), row("baseline", 1, 0.86), row("low", 0, 0.86), row("low", 1, 0.88)]
    odd = [row("baseline", 2, 0.35, "b"), row("high", 0, 0.99, "b")]
    merged = merge([*rows, *odd], StudyResults(study, ()))
    assert merged.notes == (
        "left out of the table, since on other data than most runs (aaaaaaaaaaaa): baseline/seed-2, high/seed-0",
    )
    assert summarise(study, merged.rows) == summarise(study, rows)
    assert len(merged.rows) == 6
    assert merge(rows, StudyResults(study, ())).notes == ()


def test_run_is_finished_with_cifar10_c_bar_if_the_study_asks_for_it(study, rows, make_row):
    asking = replace(study, c_bar=True)
    more = make_row("baseline", 0, 0.86, 0.64, report={"mean_bar": 0.7, "bar": {"lines": {1: 0.7}}})
    local = StudyResults(asking, rows[:2])
    assert StudyResults(study, rows[:2]).finished == ("baseline/seed-0", "baseline/seed-1")
    assert (local.finished, merge([more], local).finished) == ((), ("baseline/seed-0",))
    assert merge(rows[:1], StudyResults(asking, (more,))) == StudyResults(asking, (more,))
    without_mean15 = replace(more, report=replace(more.report, mean15=None))
    assert merge(rows[:1], StudyResults(asking, (without_mean15,))).finished == ("baseline/seed-0",)


def test_published_rows_of_another_definition_are_left_out(study, rows, make_row):
    narrow = make_row("high", 0, 0.7, model_options={"width": 8})
    gone, other = replace(rows[0], arm="gone"), make_row("low", 3, 0.85)
    merged = merge([narrow, gone, other], StudyResults(study, rows))
    assert merged.rows == rows
    assert merged.notes == (
        "published high/seed-0 is left out: was made with another recipe (model_options {'width': 8}, not {})",
        "published gone/seed-0 is left out: the study has no such arm or seed",
        "published low/seed-3 is left out: the study has no such arm or seed",
    )
    renamed = replace(rows[2], recipe=replace(rows[2].recipe, description="better words"))
    assert merge([renamed], StudyResults(study, ())).notes == ()
    assert merged.left_out == (narrow, gone, other)
    assert merge([narrow], StudyResults(study, (make_row("high", 0, 0.8),))).left_out == ()


def test_a_published_row_that_measured_more_counts_if_it_agrees(study, make_row):
    here = make_row("baseline", 0, 0.86, report={"accuracy": {"fog": {1: 0.5}}, "missing": ("frost",)})
    lacking = "baseline/seed-0 was not measured under frost, so it has no mean15"
    for clean, fog, note in (
        (0.86, 0.5, None),
        (0.85, 0.5, "clean 85.00, here 86.00"),
        (0.86, 0.6, "not in the means"),
    ):
        more = make_row("baseline", 0, clean, 0.64, report={"accuracy": {"fog": {1: fog}, "frost": {1: 0.7}}})
        merged = merge([more], StudyResults(study, (here,), notes=("a note", lacking)))
        assert merged.rows == ((here,) if note else (more,))
        assert merged.notes[1:] == ((f"published baseline/seed-0 differs: {note}", lacking) if note else ())
    assert merge([here], StudyResults(study, ())).notes == (lacking,)
