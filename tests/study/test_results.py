import json
from dataclasses import replace

import pytest

from freqfast.study import (
    StudyResults,
    merge,
    published_path,
    read_results,
    results_table,
    summarise,
    tables,
    write_results,
)


@pytest.fixture
def rows(make_row):
    return (
        make_row("baseline", 0, 0.86, 0.64),
        make_row("baseline", 1, 0.87, 0.65),
        make_row("low", 0, 0.85, 0.70, seconds=11.0),
        make_row("low", 1, 0.87, 0.71, seconds=13.0),
        make_row("high", 2, 0.80),
    )


def test_summary_by_hand(study, rows):
    baseline, low, high = summarise(study, rows)
    assert (low.arm, low.description, low.seeds) == ("low", "low", (0, 1))
    assert low.means["clean"].mean == pytest.approx(0.86)
    assert low.means["clean"].half_width == pytest.approx(12.706205 * 0.01, rel=1e-6)
    assert low.means["noise"].mean == pytest.approx(0.605)
    assert low.differences["clean"].mean == pytest.approx(-0.005)
    assert low.differences["clean"].half_width == pytest.approx(12.706205 * 0.005, rel=1e-6)
    assert low.differences["mean15"].mean == pytest.approx(0.06)
    assert low.differences["mean15"].half_width == pytest.approx(0, abs=1e-9)
    assert low.relative_time.mean == pytest.approx((1.1 + 1.3) / 2)
    assert low.relative_time.n == 2
    assert baseline.differences == {}
    assert baseline.relative_time is None
    assert set(high.means) == {"clean"}
    assert high.differences == {}  # no seed in common with the baseline
    assert high.relative_time is None


def test_seconds_of_different_machines_are_not_compared(study, make_row):
    rows = [
        make_row("baseline", 0, 0.8, processor="fast"),
        make_row("low", 0, 0.8, seconds=100.0, processor="slow"),
    ]
    assert summarise(study, rows)[1].relative_time is None


def test_the_table_as_markdown(study, rows):
    assert results_table(summarise(study, rows)) == (
        "| arm | n | clean | diff | mean15 | diff | time |\n"
        "| --- | --: | --: | --: | --: | --: | --: |\n"
        "| baseline | 2 | 86.5 ±6.4 | - | 64.5 ±6.4 | - | - |\n"
        "| low | 2 | 86.0 ±12.7 | -0.5 ±6.4 | 70.5 ±6.4 | +6.0 ±0.0 | 1.20 ±1.27 |\n"
        "| high | 1 | 80.0 - | - | - | - | - |\n"
        "\n"
        "| arm | noise | diff | blur | diff |\n"
        "| --- | --: | --: | --: | --: |\n"
        "| baseline | 54.5 ±6.4 | - | 74.5 ±6.4 | - |\n"
        "| low | 60.5 ±6.4 | +6.0 ±0.0 | 80.5 ±6.4 | +6.0 ±0.0 |\n"
        "| high | - | - | - | - |\n"
    )


def test_an_estimate_of_fewer_seeds_says_so(study, rows, make_row):
    (_, (_, low)), *_ = tables(summarise(study, (*rows[:4], make_row("low", 2, 0.89))))
    assert low[1:6] == ["3", "87.0 ±5.0", "-0.5 ±6.4 (n=2)", "70.5 ±6.4 (n=2)", "+6.0 ±0.0 (n=2)"]


def test_failed_runs_are_named_in_the_table(study, rows):
    summaries = summarise(study, rows[:3], ["low/seed-2", "high/seed-0", "high/seed-1"])
    ((_, cells), *_) = tables(summaries)
    assert [row[:2] for row in cells] == [["baseline", "2"], ["low", "1, 1 failed"], ["high", "0, 2 failed"]]
    assert set(cells[2][2:]) == {"-"}
    assert summaries[1].failed == (2,)


def test_a_second_set_of_corruptions_has_its_columns(study, rows):
    measured = replace(rows[0], report={**rows[0].report, "mean_bar": 0.7})
    header, cells = tables(summarise(study, [measured]))[0]
    assert header[:8] == ["arm", "n", "clean", "diff", "mean15", "diff", "mean_bar", "diff"]
    assert cells[0][6] == "70.0 -"


def test_round_trip(study, rows, tmp_path):
    path = published_path(tmp_path / "made.toml")
    assert path == tmp_path / "made.results.json"
    write_results(path, StudyResults(study, rows, {"high/seed-0": "diverged"}, ("a note",)))
    assert read_results(path) == rows
    content = json.loads(path.read_text(encoding="utf-8"))
    assert list(content) == [
        "schema", "freqfast", "title", "description", "baseline", "table", "runs", "failures", "notes",
    ]  # fmt: skip
    assert content["schema"] == 1
    assert content["table"][1]["means"]["clean"] == {
        "mean": pytest.approx(0.86), "half_width": pytest.approx(0.12706, rel=1e-4), "n": 2,
    }  # fmt: skip
    assert content["runs"][0] | {"recipe": None} == {
        "arm": "baseline", "seed": 0, "recipe": None, "report": rows[0].report, "environment": {"processor": "x"},
    }  # fmt: skip
    assert content["runs"][0]["recipe"]["lr"] == 0.1
    assert content["failures"] == {"high/seed-0": "diverged"}
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum('"arm": "low"' in line for line in lines) == 3  # its summary and its two runs
    write_results(path, StudyResults(study, ()))
    assert read_results(path) == ()


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "3", "{}", '{"schema": 1}', '{"schema": 2, "runs": []}', '{"schema": "1", "runs": []}',
        '{"schema": 1, "runs": [3]}', '{"schema": 1, "runs": [{"arm": "x"}]}', "[" * 5000,
        '{"schema": 1, "runs": [{"arm": "x", "recipe": {"wdith": 1}, "report": {}, "environment": {}}]}',
        '{"schema": 1, "runs": [{"arm": "x", "recipe": {"description": "x"}, "report": {}, "environment": {}}]}',
        '{"schema": 1, "runs": [{"arm": "x", "recipe": {"description": "x"}, "report": {"clean": NaN, "precision":'
        ' "float32", "seconds": {"fit": 1}}, "environment": {}}]}',
        '{"schema": 1, "runs": [{"arm": "x", "recipe": {"description": "x"}, "report": {"clean": 0.5, "seconds":'
        ' {"fit": 1}}, "environment": {}}]}',
        *(
            '{"schema": 1, "runs": [{"arm": "x", "recipe": {"description": "x"}, "report": {"clean": 0.5, "precision":'
            f' "float32", "seconds": {{"fit": 1}}}}, "environment": {{"data": {data}}}}}]}}'
            for data in ("3", '{"sha256": []}')
        ),
    ],
)  # fmt: skip
def test_what_is_no_result_file_is_one_line(tmp_path, content):
    path = tmp_path / "x.results.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="is no result file of a study: ") as caught:
        read_results(path)
    assert "\n" not in str(caught.value)


def test_published_rows_stay_where_this_machine_lacks_them(study, rows):
    merged = merge(rows[2:], StudyResults(study, rows[:2], {"low/seed-2": "diverged"}))
    assert merged.rows == rows
    assert merged.failures == {"low/seed-2": "diverged"}
    assert merged.notes == ()
    assert merge(rows, StudyResults(study, rows)).notes == ()


def test_seconds_may_differ_numbers_may_not(study, rows, make_row):
    slower = make_row("baseline", 0, 0.86, 0.64, seconds=99.0)
    assert merge([slower], StudyResults(study, rows)).notes == ()
    other = make_row("baseline", 0, 0.85, 0.64)
    merged = merge([other], StudyResults(study, rows))
    assert merged.notes == ("published baseline/seed-0 differs: clean 85.00, here 86.00",)
    assert merged.rows == rows
    here, there = (
        replace(rows[2], report={**rows[2].report, "accuracy": {"fog": {"1": value, "2": 0.4}}}) for value in (0.5, 0.6)
    )
    assert merge([there], StudyResults(study, (here,))).notes == ("published low/seed-0 differs: not in the means",)


def test_runs_in_different_precisions_are_told(study, rows, make_row):
    published, here = (
        replace(row, report={**row.report, "precision": precision})
        for row, precision in ((make_row("baseline", 0, 0.85, 0.64), "bfloat16"), (rows[0], "float32"))
    )
    others = [replace(row, report={**row.report, "precision": "bfloat16"}) for row in rows[1:3]]
    assert merge([published, *others], StudyResults(study, (here,))).notes == (
        "published baseline/seed-0 differs (bfloat16 there, float32 here): clean 85.00, here 86.00",
        "the runs differ in precision (1 in float32, 2 in bfloat16), so differences between them may come from that; "
        "set precision in the study's settings",
    )
    assert merge(others, StudyResults(study, ())).notes == ()


def on(row, data):
    return replace(row, environment={**row.environment, "data": {"sha256": data}})


def test_runs_on_different_data_are_told_and_not_compared(study, make_row):
    rows = [on(make_row("baseline", seed, 0.85, 0.64), "a" * 64) for seed in (0, 1)]
    rows += [on(make_row("low", 0, 0.86, 0.67), "a" * 64), on(make_row("low", 1, 0.99, 0.99), "b" * 64)]
    merged = merge(rows, StudyResults(study, ()))
    assert merged.notes == (
        "the runs are of different data (3 of aaaaaaaaaaaa, 1 of bbbbbbbbbbbb), and only those of the same are "
        "compared: take one for all, by --data",
    )
    _, low = summarise(study, merged.rows)
    assert (low.means["mean15"].n, low.differences["mean15"].n) == (2, 1)
    assert low.differences["mean15"].mean == pytest.approx(0.03)
    assert merge(rows[:3], StudyResults(study, ())).notes == ()


def test_a_run_without_the_second_set_is_not_finished_where_the_study_asks_for_it(study, rows):
    asking = replace(study, bar=True)
    more = replace(rows[0], report={**rows[0].report, "mean_bar": 0.7, "bar": {"lines": {"1": 0.7}}})
    local = StudyResults(asking, rows[:2])
    assert StudyResults(study, rows[:2]).finished == ("baseline/seed-0", "baseline/seed-1")
    assert (local.finished, merge([more], local).finished) == ((), ("baseline/seed-0",))
    assert merge(rows[:1], StudyResults(asking, (more,))) == StudyResults(asking, (more,))


def test_published_rows_of_another_definition_are_left_out(study, rows, make_row):
    narrow = make_row("high", 0, 0.7, width=8)
    gone, other = replace(rows[0], arm="gone"), make_row("low", 3, 0.85)
    merged = merge([narrow, gone, other], StudyResults(study, rows))
    assert merged.rows == rows
    assert merged.notes == (
        "published high/seed-0 is left out: it was made with another recipe (width 8, not 64)",
        "published gone/seed-0 is left out: the study has no such arm",
        "published low/seed-3 is left out: the arm has no such seed",
    )
    renamed = replace(rows[2], recipe=replace(rows[2].recipe, description="better words"))
    assert merge([renamed], StudyResults(study, ())).notes == ()
    assert merged.left_out == (narrow, gone, other)
    assert merge([narrow], StudyResults(study, (make_row("high", 0, 0.8),))).left_out == ()


def test_a_published_row_that_measured_more_stays_where_it_agrees(study, make_row):
    def row(clean, fog, frost=None):
        found = make_row("baseline", 0, clean, None if frost is None else 0.64)
        cells = {"fog": {"1": fog}, **({} if frost is None else {"frost": {"1": frost}})}
        extent = {"accuracy": cells, "corrupted": 0.5 if frost is None else 0.6, "missing": [] if frost else ["frost"]}
        return replace(found, report={**found.report, **extent})

    here = row(0.86, 0.5)
    for more, notes in (
        (row(0.86, 0.5, frost=0.7), ()),
        (row(0.85, 0.5, frost=0.7), ("published baseline/seed-0 differs: clean 85.00, here 86.00",)),
        (row(0.86, 0.6, frost=0.7), ("published baseline/seed-0 differs: not in the means",)),
    ):
        merged = merge([more], StudyResults(study, (here,)))
        assert merged.notes == notes
        assert merged.rows == ((here,) if notes else (more,))
        reverse = merge([here], StudyResults(study, (more,)))
        assert (reverse.rows, len(reverse.notes)) == ((more,), len(notes))


def test_what_either_measured_is_kept(study, make_row):
    published, here = make_row("baseline", 0, 0.86, 0.64), make_row("baseline", 0, 0.86)
    here = replace(here, report={**here.report, "mean_bar": 0.63, "missing": ["frost"]})
    (row,) = merge([published], StudyResults(study, (here,))).rows
    assert row.measures() == published.measures() | {"mean_bar": 0.63}


def test_a_run_that_is_finished_elsewhere_has_not_failed(study, rows):
    local = StudyResults(study, (), {"baseline/seed-0": "disk died", "high/seed-0": "diverged"})
    assert merge(rows, local).failures == {"high/seed-0": "diverged"}


@pytest.mark.parametrize("key", ["processor", "platform", "gpu", "device", "threads"])
def test_seconds_are_compared_on_the_same_hardware_only(study, make_row, key):
    def row(arm, value):
        return replace(make_row(arm, 0, 0.8), environment={"processor": "x", "python": value, key: value})

    assert summarise(study, [row("baseline", "a"), row("low", "b")])[1].relative_time is None
    assert summarise(study, [row("baseline", "a"), row("low", "a")])[1].relative_time.mean == 1


def test_versions_may_differ(study, rows):
    old, new = (replace(rows[0], report={**rows[0].report, "version": version}) for version in ("0.1", "0.2"))
    assert merge([old], StudyResults(study, (new,))).notes == ()


def test_the_mean_of_all_19_is_no_family_of_corruptions(study, rows):
    measured = replace(rows[0], report={**rows[0].report, "mean19": 0.63})
    first, second = tables(summarise(study, [measured]))
    assert first[0] == ["arm", "n", "clean", "diff", "mean15", "diff", "time"]
    assert second[0] == ["arm", "noise", "diff", "blur", "diff"]


def test_notes_of_this_machine_come_first(study, rows, make_row):
    merged = merge([make_row("low", 3, 0.85)], StudyResults(study, rows, notes=("a note",)))
    assert merged.notes == ("a note", "published low/seed-3 is left out: the arm has no such seed")


def test_a_baseline_that_took_no_time_has_no_ratio(study, make_row):
    rows = [make_row("baseline", 0, 0.8, seconds=0.0), make_row("low", 0, 0.8)]
    assert summarise(study, rows)[1].relative_time is None
