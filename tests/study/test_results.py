import json
import math
import os
from dataclasses import replace

import pytest
from scipy import stats

from freqfast.records import plain
from freqfast.study import (
    Estimate,
    StudyResults,
    gather,
    legend,
    published_path,
    read_results,
    results_table,
    summarise,
    tables,
    write_results,
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
