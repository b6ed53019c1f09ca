"""Runs of this machine merged with what others published, and the notes on what stands in one table."""

from dataclasses import replace

import pytest

from freqfast.runs.environment import Git
from freqfast.study import StudyResults, merge, summarise
from tests.support.runs import ENVIRONMENT


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
