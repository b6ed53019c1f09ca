"""What a study's runs gave: gathered from run directories, and merged with what other machines published."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from freqfast.records import plain, record_from
from freqfast.runs.directory import RunDirectory
from freqfast.runs.environment import Environment
from freqfast.runs.recipe import Recipe, differing_fields
from freqfast.runs.report import RunReport
from freqfast.study.bar import lacks_bar, read_bar
from freqfast.study.definition import PlannedRun, Study, run_name

__all__ = ["ResultRow", "StudyResults", "failure_file", "gather", "merge", "run_folder", "stale"]

_MEASURES = ("clean", "mean15", "mean19", "mean_bar")
# Of a report: what two runs of the same recipe may differ in, and what follows from how much was measured.
_NOT_COMPARED = ("recipe", "version", "seconds", "corrupted", "missing")


@dataclass(frozen=True)
class ResultRow:
    """A finished run.

    Attributes:
        arm: Name of its arm.
        recipe: What was run.
        report: The content of its ``report.json``, but for intervals and calibration of each cell; with ``bar``, the
            accuracy on CIFAR-10-C-bar by corruption and severity, where that was measured.
        environment: The content of its ``environment.json``, but for the data's path.

    """

    arm: str
    recipe: Recipe
    report: RunReport
    environment: Environment

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.recipe.seed

    @property
    def name(self) -> str:
        """How messages call it, see `run_name`."""
        return run_name(self.arm, self.seed)

    @property
    def precision(self) -> str:
        """What it was computed in; "auto" chooses by the machine."""
        return self.report.precision

    @property
    def data(self) -> str | None:
        """SHA-256 of the images that it was trained and judged on, in their order; None if it was not kept."""
        return self.environment.data.sha256

    @property
    def hardware(self) -> tuple[Any, ...]:
        """What seconds depend on: they compare between runs only where this is the same."""
        return tuple(getattr(self.environment, key) for key in ("processor", "platform", "gpu", "device", "threads"))

    @property
    def seconds_per_epoch(self) -> float:
        """Seconds of training per epoch."""
        return self.report.seconds.fit / self.recipe.epochs

    def measures(self) -> dict[str, float]:
        """The accuracies that were measured, fractions by name: clean, the means, the families of corruptions."""
        found = {name: getattr(self.report, name) for name in _MEASURES} | dict(self.report.families)
        return {name: value for name, value in found.items() if value is not None}

    def same_numbers(self, other: "ResultRow") -> bool:
        """Whether another row reports the same, seconds aside, where both measured something."""
        ours, theirs = ({k: v for k, v in plain(row.report).items() if k not in _NOT_COMPARED} for row in (self, other))
        return _agree(ours, theirs)


def _agree(a: object, b: object) -> bool:
    """Whether two values of reports are equal, tables in what both have; None is not measured."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return all(_agree(a[key], b[key]) for key in a.keys() & b.keys())
    return a is None or b is None or a == b


def _united(a: RunReport, b: RunReport) -> RunReport:
    """What either of two reports has; the first one's where both have it."""
    return record_from(_union(plain(a), plain(b)), RunReport)


def _union(a: Any, b: Any) -> Any:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return {key: _union(a.get(key), b.get(key)) for key in (*a, *(key for key in b if key not in a))}
    return b if a is None else a


@dataclass(frozen=True)
class StudyResults:
    """All that is known of a study.

    Attributes:
        study: The study.
        rows: The finished runs, in the study's order.
        failures: What went wrong, by the run's name.
        notes: What was left out or does not agree, a line each.
        left_out: Published rows that the study does not define (any more) and nothing here replaces.
    """

    study: Study
    rows: tuple[ResultRow, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: tuple[ResultRow, ...] = ()

    @property
    def finished(self) -> tuple[str, ...]:
        """Names of the runs that have all that the study asks for."""
        return tuple(row.name for row in self.rows if not self.study.bar or "mean_bar" in row.measures())


def run_folder(out: Path, run: PlannedRun) -> Path:
    """The run directory of a run below a study's folder."""
    return out / "runs" / run.name


def failure_file(out: Path, run: PlannedRun) -> Path:
    """Where a failed run leaves its error, one line, and below it the traceback."""
    return run_folder(out, run).with_suffix(".error")


def stale(run: PlannedRun, recipe: Recipe) -> str | None:
    """How a recipe differs from what the study says of the run; None if it does not."""
    names = differing_fields(run.recipe, recipe)
    if not names:
        return None
    changes = (f"{name} {getattr(recipe, name)!r}, not {getattr(run.recipe, name)!r}" for name in names)
    return f"was made with another recipe ({'; '.join(changes)})"


def gather(study: Study, out: str | Path) -> StudyResults:
    """The results that a study's folder holds, finished or failed."""
    from freqfast.runs.run import load_run  # torch: not for results that are in a file

    out, order = Path(out), [arm.name for arm in study.arms]
    rows, failures, notes = [], {}, []
    for run in sorted(study.runs(), key=lambda run: order.index(run.arm)):
        folder = run_folder(out, run)
        try:
            if RunDirectory(folder).is_finished:
                found = load_run(folder)
                if difference := stale(run, found.recipe):
                    raise ValueError(f"{folder} {difference}; remove it, or name the arm anew")
                report = replace(found.report, intervals=None, ece=None, **(read_bar(folder) if study.bar else {}))
                data = replace(found.environment.data, path=None)
                row = ResultRow(run.arm, found.recipe, report, replace(found.environment, data=data, command=None))
                if missing := found.report.missing:
                    notes.append(f"{row.name} was not measured under {', '.join(missing)}, so it has no mean15")
                rows.append(row)
                if not (study.bar and lacks_bar(folder)):
                    continue
            if failure_file(out, run).exists():
                failures[run.name] = failure_file(out, run).read_text(encoding="utf-8").partition("\n")[0]
        except (ValueError, OSError) as error:
            failures[run.name] = str(error)
    return StudyResults(study, tuple(rows), failures, tuple(notes))


def merge(published: Sequence[ResultRow], local: StudyResults) -> StudyResults:
    """Local results and, for runs that are not finished here, those published before.

    Published rows of other recipes than the study now defines, or of arms or seeds that it has not, are left out with a
    note. Of a run of both the one here counts, with a note if they differ; if they agree in what both measured and the
    published one measured more, it counts, with what only the one here measured. Runs in different precisions or on
    different data get a note too.
    """
    rows = {(row.arm, row.seed): row for row in local.rows}
    arms = {arm.name: arm for arm in local.study.arms}
    notes, left_out = [], []
    for row in published:
        name, here = row.name, rows.get((row.arm, row.seed))
        if row.arm not in arms:
            notes.append(f"published {name} is left out: the study has no such arm")
            left_out.append(row)
        elif row.seed not in arms[row.arm].seeds:
            notes.append(f"published {name} is left out: the arm has no such seed")
            left_out.append(row)
        elif difference := stale(PlannedRun(row.arm, replace(arms[row.arm].recipe, seed=row.seed)), row.recipe):
            notes.append(f"published {name} is left out: it {difference}")
            if here is None:
                left_out.append(row)
        elif here is None:
            rows[row.arm, row.seed] = row
        elif here.same_numbers(row) and row.measures().keys() - here.measures().keys():
            rows[row.arm, row.seed] = replace(row, report=_united(row.report, here.report))
        elif not here.same_numbers(row):
            ours, theirs = here.measures(), row.measures()
            changes = (
                f"{key} {100 * theirs[key]:.2f}, here {100 * ours[key]:.2f}"
                for key in theirs
                if key in ours and ours[key] != theirs[key]
            )
            in_other = f" ({row.precision} there, {here.precision} here)" if row.precision != here.precision else ""
            notes.append(f"published {name} differs{in_other}: {'; '.join(changes) or 'not in the means'}")
    order = {name: i for i, name in enumerate(arms)}
    if len(precisions := Counter(row.precision for row in rows.values())) > 1:
        counts = ", ".join(f"{count} in {precision}" for precision, count in precisions.items())
        notes.append(
            f"the runs differ in precision ({counts}), so differences between them may come from that; "
            "set precision in the study's settings"
        )
    if len(orders := Counter(row.data for row in rows.values())) > 1:
        counts = ", ".join(f"{count} of {data[:12] if data else 'unknown'}" for data, count in orders.items())
        notes.append(
            f"the runs are of different data ({counts}), and only those of the same are compared: take one for all, "
            "by --data"
        )
    found = replace(local, rows=tuple(sorted(rows.values(), key=lambda row: (order[row.arm], row.seed))))
    return replace(
        found,
        failures={name: error for name, error in local.failures.items() if name not in found.finished},
        notes=(*local.notes, *notes),
        left_out=tuple(left_out),
    )
