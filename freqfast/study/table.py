"""The table of a study: arms by measures, with intervals and differences to the baseline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from freqfast.study.definition import Study
from freqfast.study.results import ResultRow
from freqfast.study.statistics import Estimate, estimate, paired_difference

__all__ = ["ArmSummary", "results_table", "summarise", "table_cells"]

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
        differences: Paired differences to the baseline, by measure; none for the baseline itself.
        relative_time: Seconds per epoch over the baseline's, mean over the seeds that ran on the same hardware as the
            baseline's; None if there are none.
    """

    arm: str
    description: str
    seeds: tuple[int, ...]
    means: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    relative_time: float | None


def summarise(study: Study, rows: Sequence[ResultRow]) -> list[ArmSummary]:
    """The arms of a study that have finished runs, in its order."""
    baseline = [row for row in rows if row.arm == study.baseline]
    summaries = []
    for arm in study.arms:
        own = sorted((row for row in rows if row.arm == arm.name), key=lambda row: row.seed)
        if not own:
            continue
        names = list(dict.fromkeys(name for row in own for name in row.measures()))
        means = {name: estimate(_by_seed(own, name).values()) for name in names}
        differences = {name: paired_difference(_by_seed(own, name), _by_seed(baseline, name)) for name in names}
        summaries.append(
            ArmSummary(
                arm.name,
                arm.recipe.description,
                tuple(row.seed for row in own),
                {name: value for name, value in means.items() if value is not None},
                {k: v for k, v in differences.items() if v is not None} if arm.name != study.baseline else {},
                _relative_time(own, baseline),
            )
        )
    return summaries


def _by_seed(rows: Sequence[ResultRow], measure: str) -> dict[int, float]:
    values = {row.seed: row.measures().get(measure) for row in rows}
    return {seed: value for seed, value in values.items() if value is not None}


def _relative_time(rows: Sequence[ResultRow], baseline: Sequence[ResultRow]) -> float | None:
    """Mean ratio of seconds per epoch over the seeds that both ran on the same hardware."""
    others = {row.seed: row for row in baseline}
    pairs = [(row, others[row.seed]) for row in rows if row.seed in others]
    ratios = [
        row.seconds_per_epoch / other.seconds_per_epoch
        for row, other in pairs
        if row.hardware == other.hardware and other.seconds_per_epoch > 0
    ]
    found = estimate(ratios)
    return None if found is None else found.mean


def table_cells(summaries: Sequence[ArmSummary]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a study's table as text, percent with one decimal; a dash for what is not known.

    Measures that no arm has are left out.
    """
    measured = list(dict.fromkeys(name for summary in summaries for name in summary.means))
    families = [name for name in measured if name not in (*HEADLINES, "mean19")]
    columns: list[tuple[str, Callable[[ArmSummary], str]]] = [
        ("arm", lambda summary: summary.arm),
        ("n", lambda summary: str(len(summary.seeds))),
    ]
    for name in (name for name in HEADLINES if name in measured):
        columns.append((name, lambda summary, name=name: _cell(summary.means.get(name))))
        columns.append(("diff", lambda summary, name=name: _cell(summary.differences.get(name), "+")))
    columns += [(name, lambda summary, name=name: _cell(summary.means.get(name))) for name in families]
    columns.append(("time", lambda s: "-" if s.relative_time is None else f"{s.relative_time:.2f}"))
    return [label for label, _ in columns], [[text(summary) for _, text in columns] for summary in summaries]


def _cell(value: Estimate | None, sign: str = "") -> str:
    if value is None:
        return "-"
    half = "-" if value.half_width is None else f"±{100 * value.half_width:.1f}"
    return f"{100 * value.mean:{sign}.1f} {half}"


def results_table(summaries: Sequence[ArmSummary]) -> str:
    """A study's table as Markdown."""
    header, rows = table_cells(summaries)
    rule = ["---", *["--:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *rows))
