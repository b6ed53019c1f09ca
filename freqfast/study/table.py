"""The tables of a study: arms by measures, with intervals and differences to the baseline."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from freqfast.study.definition import Study, run_name
from freqfast.study.results import ResultRow
from freqfast.study.statistics import Estimate, estimate, paired_difference

__all__ = ["ArmSummary", "results_table", "summarise", "tables"]

HEADLINES = ("clean", "mean15", "mean_bar")  # measures whose differences to the baseline the table shows


@dataclass(frozen=True)
class ArmSummary:
    """What a study found for an arm. Accuracies are fractions.

    Attributes:
        arm: Name of the arm.
        description: What it is.
        seeds: The seeds of its finished runs.
        means: Mean and interval by measure: "clean", "mean15", "mean19", "mean_bar" and the families of corruptions,
            those that were measured.
        differences: Paired differences to the baseline, by measure, over seeds that ran on the same data as the
            baseline's; none for the baseline itself.
        relative_time: Seconds of training per epoch over the baseline's, from the seeds that ran on the same hardware
            as the baseline's; None if there are none, and for the baseline itself.
        failed: The seeds of its runs that failed.
    """

    arm: str
    description: str
    seeds: tuple[int, ...]
    means: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    relative_time: Estimate | None
    failed: tuple[int, ...] = ()


def summarise(study: Study, rows: Sequence[ResultRow], failures: Collection[str] = ()) -> list[ArmSummary]:
    """The arms of a study that have finished or failed runs, in its order.

    Args:
        study: The study.
        rows: The finished runs.
        failures: Names of the runs that failed.
    """
    baseline = [row for row in rows if row.arm == study.baseline]
    summaries = []
    for arm in study.arms:
        own = sorted((row for row in rows if row.arm == arm.name), key=lambda row: row.seed)
        failed = tuple(seed for seed in sorted(arm.seeds) if run_name(arm.name, seed) in failures)
        if not own and not failed:
            continue
        names = list(dict.fromkeys(name for row in own for name in row.measures()))
        means = {name: estimate(_by_seed(own, name).values()) for name in names}
        pairs = [row for row in baseline if any((row.seed, row.data) == (one.seed, one.data) for one in own)]
        differences = {name: paired_difference(_by_seed(own, name), _by_seed(pairs, name)) for name in names}
        summaries.append(
            ArmSummary(
                arm.name,
                arm.recipe.description,
                tuple(row.seed for row in own),
                {name: value for name, value in means.items() if value is not None},
                {k: v for k, v in differences.items() if v is not None} if arm.name != study.baseline else {},
                _relative_time(own, baseline) if arm.name != study.baseline else None,
                failed,
            )
        )
    return summaries


def _by_seed(rows: Sequence[ResultRow], measure: str) -> dict[int, float]:
    values = {row.seed: row.measures().get(measure) for row in rows}
    return {seed: value for seed, value in values.items() if value is not None}


def _relative_time(rows: Sequence[ResultRow], baseline: Sequence[ResultRow]) -> Estimate | None:
    """Ratio of seconds per epoch over the seeds that both ran on the same hardware."""
    others = {row.seed: row for row in baseline}
    pairs = [(row, others[row.seed]) for row in rows if row.seed in others]
    return estimate(
        row.seconds_per_epoch / other.seconds_per_epoch
        for row, other in pairs
        if row.hardware == other.hardware and other.seconds_per_epoch > 0
    )


Cells = tuple[list[str], list[list[str]]]
"""Header and rows of a table as text."""


def tables(summaries: Sequence[ArmSummary]) -> list[Cells]:
    """The tables of a study: clean accuracy, means and time; then, if measured, the families of corruptions.

    Percent with one decimal, ± half of the 95 % interval, and from how many seeds where those are not all n; each
    measure is followed by its paired difference to the baseline; a dash for what is not known. Measures that no arm has
    are left out. Time is in multiples of the baseline's.
    """
    measured = list(dict.fromkeys(name for summary in summaries for name in summary.means))
    families = [name for name in measured if name not in (*HEADLINES, "mean19")]
    arm, n = ("arm", lambda summary: summary.arm), ("n", _count)
    time = ("time", lambda s: _written(s.relative_time, s, "{:.2f}"))
    found = [_cells([arm, n, *_columns(name for name in HEADLINES if name in measured), time], summaries)]
    if families:
        found.append(_cells([arm, *_columns(families)], summaries))
    return found


Column = tuple[str, Callable[[ArmSummary], str]]


def _columns(measures: Iterable[str]) -> list[Column]:
    columns: list[Column] = []
    for name in measures:
        columns.append((name, lambda s, name=name: _written(s.means.get(name), s, "{:.1f}", 100)))  # type: ignore[misc]
        columns.append(("diff", lambda s, name=name: _written(s.differences.get(name), s, "{:+.1f}", 100)))  # type: ignore[misc]
    return columns


def _cells(columns: Sequence[Column], summaries: Sequence[ArmSummary]) -> Cells:
    return [label for label, _ in columns], [[text(summary) for _, text in columns] for summary in summaries]


def _count(summary: ArmSummary) -> str:
    failed = f", {len(summary.failed)} failed" if summary.failed else ""
    return f"{len(summary.seeds)}{failed}"


def _written(value: Estimate | None, summary: ArmSummary, digits: str, times: float = 1) -> str:
    if value is None:
        return "-"
    of = "" if value.n == len(summary.seeds) else f" (n={value.n})"
    half = "-" if value.half_width is None else "±" + digits.replace("+", "").format(times * value.half_width)
    return f"{digits.format(times * value.mean)} {half}{of}"


def results_table(summaries: Sequence[ArmSummary]) -> str:
    """A study's tables as Markdown."""
    return "\n".join(_markdown(*cells) for cells in tables(summaries))


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["--:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *rows))
