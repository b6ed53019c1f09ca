"""The results of a study: gathered from run directories, and merged with published rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from freqfast.records import as_html
from freqfast.runs.directory import RunDirectory
from freqfast.runs.report import RunReport
from freqfast.study.c_bar import read_c_bar
from freqfast.study.definition import PlannedRun, Study
from freqfast.study.folder import StudyFolder
from freqfast.study.row import ResultRow
from freqfast.study.statistics import image_groups
from freqfast.study.table import legend, on_common_data, summarise, tables


@dataclass(frozen=True)
class StudyResults:
    """All that is known of a study.

    Attributes:
        study: The study.
        rows: The finished runs, in the study's order.
        failures: What went wrong, by the run's name; a run that is finished, here or elsewhere, has none.
        notes: What was left out or disagrees, one line each.
        left_out: Published rows that the study does not define (or no longer), and that no local run replaces.

    Examples:
        >>> StudyResults(Study("Nothing", "", "", ()), rows=()).finished
        ()
    """

    study: Study
    rows: tuple[ResultRow, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: tuple[ResultRow, ...] = ()

    def __post_init__(self) -> None:
        """Leave out the failures of finished runs."""
        left = {name: error for name, error in self.failures.items() if name not in self.finished}
        object.__setattr__(self, "failures", left)

    def _repr_html_(self) -> str:
        summaries = summarise(self.study, self.rows, self.failures)
        shown = [(header, *rows) for header, rows in tables(summaries)]
        return as_html(self.study.title, *shown, legend(summaries), *self.notes)

    @property
    def finished(self) -> tuple[str, ...]:
        """Names of the runs that have everything that the study asks for."""
        return tuple(row.name for row in self.rows if not self.study.c_bar or row.report.mean_bar is not None)


def gather(study: Study, out: str | Path) -> StudyResults:
    """The results that a study's folder holds, finished or failed.

    Args:
        study: The study.
        out: Its folder.

    Examples:
        >>> from freqfast import Recipe
        >>> from freqfast.study import Arm, Study
        >>> study = Study(title="t", description="", baseline="a", arms=(Arm("a", Recipe("one"), seeds=(0,)),))
        >>> gather(study, "no such folder").rows
        ()
    """
    folder, rows, failures = StudyFolder(out), [], {}
    for run in (run for arm in study.arms for run in arm.runs):
        try:
            if (failure := folder.read_failure(run)) is not None:
                failures[run.name] = failure
            if (row := _read_row(run, folder, study.c_bar)) is not None:
                rows.append(row)
        except (ValueError, OSError) as error:
            failures[run.name] = str(error)
    return StudyResults(study, tuple(rows), failures, _notes_on(rows))


def _read_row(run: PlannedRun, folder: StudyFolder, c_bar: bool) -> ResultRow | None:
    """A run's row; None if it is not finished."""
    directory = folder.run(run)
    if not directory.is_finished:
        return None

    from freqfast.runs.run import load_run  # torch: not for results that are in a file

    found = load_run(directory.path)
    if difference := run.difference(found.recipe):
        raise ValueError(f"{directory.path} {difference}; remove it, or rename the arm")
    report, weights = replace(found.report, intervals=None, ece=None), found.weights_sha256
    groups = _groups(directory, weights, report)
    if c_bar and (measured := read_c_bar(directory)) is not None:
        if measured.weights_sha256 not in (None, weights):
            raise ValueError(f"{directory.c_bar} is of another model than the run's; remove it and run the study again")
        report = replace(report, mean_bar=measured.mean_bar, bar=measured.accuracy)
        groups |= {"mean_bar": measured.groups} if measured.groups else {}
    data = replace(found.environment.data, path=None)
    environment = replace(found.environment, data=data, start_path=None, command=None)
    return ResultRow(run.arm, found.recipe, report, environment, groups)


def _groups(directory: RunDirectory, weights: str, report: RunReport) -> dict[str, tuple[float, ...]]:
    """Each measure of a run by groups of the images; empty where the outcomes by image are gone, or of other images."""
    from freqfast.corruptions import MEANS
    from freqfast.robustness import CLEAN, CorruptionResult

    if not directory.evaluation.exists():
        return {}
    result = CorruptionResult.load(directory.evaluation)
    result.check_origin(directory.evaluation, weights, report.accuracy)
    if not result.is_reported(report.clean, report.accuracy):
        return {}
    scores = {name: result.image_scores(corruptions) for name, corruptions in MEANS.items()}
    scores["clean"] = result.outcomes[CLEAN].correct if CLEAN in result.outcomes else None
    return {name: image_groups(score) for name, score in scores.items() if score is not None}


def merge(published: Sequence[ResultRow], local: StudyResults) -> StudyResults:
    """Local results and, for runs that are not finished here, the published ones.

    Published rows that the study does not define are left out with a note. If a run is in both, the local row is taken,
    with a note if the two differ. The published row is taken only if the two agree where both measured, and it measured
    all that the local one did and more. Runs without a mean15, in different precisions, of different versions of
    freqfast, from different weights or on different data get a note too.

    Args:
        published: Rows of a result file.
        local: Results of this machine.

    Examples:
        >>> merge((), StudyResults(Study("Nothing", "", "", ()), ())).rows
        ()
    """
    planned = {run.name: run for arm in local.study.arms for run in arm.runs}
    rows = {row.name: row for row in local.rows}
    notes, left_out = [note for note in local.notes if note not in _notes_on(local.rows)], []
    for row in published:
        here = rows.get(row.name)
        run = planned.get(row.name)
        problem = run.difference(row.recipe) if run else "the study has no such arm or seed"
        if problem:
            notes.append(f"published {row.name} is left out: {problem}")
            if here is None:
                left_out.append(row)
        elif here is None:
            rows[row.name] = row
        elif not here.same_numbers(row):
            notes.append(f"published {row.name} differs{_difference(row, here)}")
        elif row.measures().keys() > here.measures().keys():
            rows[row.name] = row
    found = replace(local, rows=tuple(rows[name] for name in planned if name in rows), left_out=tuple(left_out))
    return replace(found, notes=(*notes, *_notes_on(found.rows)))


def _difference(published: ResultRow, here: ResultRow) -> str:
    theirs, ours = published.measures(), here.measures()
    changes = [
        f"{key} {100 * theirs[key]:.2f}, here {100 * ours[key]:.2f}"
        for key in theirs
        if key in ours and ours[key] != theirs[key]
    ]
    before, now = published.report.precision, here.report.precision
    precisions = f" ({before} there, {now} here)" if before != now else ""
    return f"{precisions}: {'; '.join(changes) or 'not in the means'}"


def _notes_on(rows: Sequence[ResultRow]) -> tuple[str, ...]:
    """What a reader should know of rows that stand in one table."""
    notes = [
        f"{row.name} was not measured under {', '.join(row.report.missing)}, so it has no mean15"
        for row in rows
        if row.report.missing
    ]
    if len(precisions := Counter(row.report.precision for row in rows)) > 1:
        counts = ", ".join(f"{count} in {precision}" for precision, count in precisions.items())
        notes.append(
            f"the runs differ in precision ({counts}), so differences between them may come from that; "
            "set precision in the study's settings"
        )
    if len(versions := Counter(row.environment.freqfast for row in rows)) > 1:
        counts = ", ".join(f"{count} of {version}" for version, count in versions.items())
        notes.append(
            f"the runs are of different versions of freqfast ({counts}), so differences between them may come from "
            "that; the changelog says what changes numbers"
        )
    starts: dict[str, set[str]] = {}
    for row in rows:
        if row.environment.start_sha256 is not None:
            model = f"{row.recipe.model} with {dict(sorted(row.recipe.model_options.items()))}"
            starts.setdefault(model, set()).add(row.environment.start_sha256[:12])
    notes += [
        f"the runs of {model} start from different weights ({', '.join(sorted(found))}), so differences between them "
        "may come from that; remove those of one kind and run the study again"
        for model, found in starts.items()
        if len(found) > 1
    ]
    common = on_common_data(rows)
    if others := [row.name for row in rows if row.data != common[0].data]:
        notes.append(
            f"left out of the table, since on other data than most runs ({common[0].data[:12]}): {', '.join(others)}"
        )
    return tuple(notes)
